"""Keys are told of: on a page, in the dialog, and all of them."""

import re

import pytest

from assetsearch.keys import KEYS
from tests.product import ROOT

SOURCES = ROOT / "frontend/src/js"
ARROWS = {"ArrowLeft", "ArrowUp", "ArrowDown", "ArrowRight"}
#: Where in the list the keys of each script are.
PLACES = {
    "keyboard.js": "On every page",
    "dialog.js": "On every page",
    "selection.js": "Where pictures are listed",
    "bulk.js": "Where pictures are listed",
    "paging.js": "Where pictures are listed",
    "pages/search.js": "Where you search with a picture",
    "region.js": "In the picture you search with",
    "tags.js": "Where tags are typed",
    "pages/asset.js": "On the page of a picture",
    "lightbox/view.js": "Where a picture is shown large",
    "lightbox/comparison.js": "Where a picture is shown large",
    "pages/compare.js": "Where encoders are compared",
    "query-picture.js": "Where encoders are compared",
}
#: How scripts ask which key it is: by its name, by names in a list or an object, or by how it begins.
ASKED = [
    re.compile(r'\bkey [!=]== "(?P<names>[^"]+)"'),
    re.compile(r"\[(?P<listed>[^\]]+)\]\.includes\((?:\w+\.)?key\)"),
    re.compile(r'\bkey\.startsWith\("(?P<begins>\w+)"\)'),
    re.compile(r"\bkey in (?P<within>\w+)"),
    re.compile(r"\b(?P<of>\w+)\[(?:\w+\.)?key\]"),
    re.compile(r'onKey\("(?P<heard>[^"]+)"'),
    re.compile(r"const key of \[(?P<spread>[^\]]+)\]\) onKey\(key"),
    re.compile(r"Object\.keys\((?P<each>\w+)\)\) onKey\("),
]
#: And how they pass it on.
HANDED_ON = [r"acts\.[gs]et\((?:event\.)?key", r"function onKey\(key", r"\{ key\b", r"\$\{key\}"]


def listening():
    """The scripts that listen to keys, without their comments."""
    found = {path.relative_to(SOURCES).as_posix(): path.read_text() for path in SOURCES.rglob("*.js")}
    bare = {name: re.sub(r"/\*.*?\*/|//.*", "", source) for name, source in found.items()}
    return {name: source for name, source in bare.items() if re.search(r'"keydown"|\bonKey\(', source)}


def keys_in(source):
    keys = set()
    for asked in ASKED:
        for found in asked.finditer(source):
            [(kind, text)] = found.groupdict().items()
            keys |= named(kind, text, source)
    return keys


def named(kind, text, source):
    if kind in {"listed", "spread"}:
        return set(re.findall(r'"([^"]+)"', text))
    if kind == "begins":
        return {key for key in ARROWS if key.startswith(text)}
    if kind in {"within", "of", "each"}:
        (members,) = re.findall(rf"const {text} = \{{(.*?)\}}", source, flags=re.DOTALL)
        return set(re.findall(r'(?:^|,)\s*"?([\w?/]+)"?:', re.sub(r"\[.*?\]", "", members)))
    return {text}


def test_page_tells_every_key(client):
    page = client.get("/keys/").content.decode()
    assert "<html" in page
    for cap in ("?", "/", "←", "Esc", "N", "Space", "PgUp"):
        assert f"<kbd>{cap}</kbd>" in page
    for _where, keys in KEYS:
        for key in keys:
            assert str(key.meaning) in page


def test_dialog_has_the_keys_alone(client):
    part = client.get("/keys/", headers={"HX-Request": "true"}).content.decode()
    assert "<kbd>?</kbd>" in part
    assert "<html" not in part
    assert "data-close" in part


def test_every_key_that_scripts_listen_to_is_told_of_in_its_place():
    told = {str(where): {pressed for key in keys for pressed in key.pressed} for where, keys in KEYS}
    for script, source in listening().items():
        assert keys_in(source) <= told[PLACES[script]], script


def test_every_script_that_listens_to_keys_is_known():
    assert set(listening()) == set(PLACES)


def test_scripts_ask_for_keys_in_no_way_that_these_tests_overlook():
    for path in SOURCES.rglob("*.js"):
        assert not re.search(r"keyup|keypress|keyCode|[eE]vent\.code\b", path.read_text()), path
    for script, source in listening().items():
        assert keys_in(source), script
        rest = re.sub("|".join([*(asked.pattern for asked in ASKED), *HANDED_ON]), "", source)
        assert not re.findall(r".*\bkey\b.*", rest), script


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        ('if (event.key === "Delete" || key !== "x") {}', {"Delete", "x"}),
        ('["Home", "End"].includes(event.key)', {"Home", "End"}),
        ('event.key.startsWith("Arrow")', ARROWS),
        ('const TURNS = { a: 1, "b": [2, 3] };\nif (!(key in TURNS)) {}', {"a", "b"}),
        ("const did = { d: one };\ndid[originalEvent.key]?.click()", {"d"}),
        ('onKey("?", showKeys)', {"?"}),
        ('for (const key of ["1", "2"]) onKey(key, act)', {"1", "2"}),
        ("const T = { p: 1 }; for (const one of Object.keys(T)) onKey(one, act)", {"p"}),
    ],
)
def test_keys_are_read_from_scripts(source, keys):
    assert keys_in(source) == keys
