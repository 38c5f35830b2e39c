"""What `make assets` built and what pages load."""

import gzip
import json
import re

import pytest
from django.conf import settings
from django.test import Client

from assetsearch.templatetags import built

MANIFEST = json.loads((built.DIST / "manifest.json").read_text())
ENTRIES = {name for name in MANIFEST if name.endswith(".js")}
#: Bytes, compressed: what a page may send of script and style.
MOST = 300_000


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


@pytest.mark.parametrize("page", sorted(ENTRIES))
def test_page_sends_little(page):
    files = with_imports(MANIFEST[page]) | with_imports(MANIFEST["app.js"]) | {MANIFEST["app.css"]}
    assert sum(len(gzip.compress((built.DIST / file).read_bytes())) for file in files) < MOST


def test_what_is_built_may_be_kept_for_ever(client: Client):
    answer = client.get(built.address("app.js"))
    assert "immutable" in answer["Cache-Control"]
