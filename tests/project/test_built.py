"""What `make assets` built and what pages load."""

import json
import re

import pytest
from django.conf import settings
from django.templatetags.static import static
from django.test import Client

from assetsearch.templatetags import built

MANIFEST = json.loads((built.DIST / "manifest.json").read_text())
ENTRIES = {name for name in MANIFEST if name.endswith(".js")}
#: Stands by itself, without the script and style of the other pages.
REFERENCE = "pages/api_docs.js"
#: Bytes, compressed: what a page may send of script and style.
MOST = 300_000
TINY = 500


def with_imports(name: str) -> set[str]:
    """The files a browser loads for a script: itself and what it imports, and so on."""
    found, left = set(), {name}
    while left:
        found.add(file := left.pop())
        folder = (built.DIST / file).parent
        for path in re.findall(r'(?:from|import)\s*\(?"(\.[^"]+)"', (built.DIST / file).read_text()):
            left |= {str((folder / path).resolve().relative_to(built.DIST.resolve()))} - found
    return found


def test_every_source_of_a_page_is_built():
    sources = settings.BASE_DIR / "frontend/src/js"
    pages = {str(path.relative_to(sources)) for path in (sources / "pages").glob("*.js")}
    assert pages | {"app.js"} == ENTRIES
    assert all((built.DIST / file).is_file() for file in MANIFEST.values())


def sent(client: Client, *files: str) -> int:
    """Bytes of the answers by gzip, the most that browsers take by plain HTTP. What is tiny is not worth it."""
    sizes = []
    for file in files:
        answer = client.get(static(f"dist/{file}"), headers={"Accept-Encoding": "gzip"})
        sizes.append(len(answer.getvalue()))
        assert answer.get("Content-Encoding") == "gzip" or sizes[-1] < TINY, "not compressed: make run compresses it"
    return sum(sizes)


@pytest.mark.parametrize("page", sorted(ENTRIES - {REFERENCE}))
def test_page_sends_little(client: Client, page):
    files = with_imports(MANIFEST[page]) | with_imports(MANIFEST["app.js"]) | {MANIFEST["app.css"]}
    assert sent(client, *files) < MOST


def test_reference_of_the_api_sends_little(client: Client):
    assert sent(client, *with_imports(MANIFEST[REFERENCE]), MANIFEST["api_docs.css"]) < MOST


def test_style_of_the_admin_is_sent_compressed(client: Client):
    answer = client.get(static("admin/css/base.css"), headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip", "make run compresses it"


def test_what_is_built_may_be_kept_for_ever(client: Client):
    answer = client.get(built.address("app.js"))
    assert "immutable" in answer["Cache-Control"]
