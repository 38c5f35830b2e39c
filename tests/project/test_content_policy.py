"""Pages hold nothing inline, and browsers are told to run nothing that is."""

import re

import pytest
from django.conf import settings
from django.test import Client

TEMPLATES = settings.BASE_DIR / "templates"
#: A report is a file by itself, kept and sent on.
STANDS_ALONE = {"search/evaluation.html"}
INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\bsrc=)|javascript:|hx-on", re.IGNORECASE)


def templates() -> list[str]:
    names = {str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html")}
    return sorted(name for name in names - STANDS_ALONE)


@pytest.mark.parametrize("name", templates())
def test_template_holds_nothing_inline(name):
    assert not INLINE.search((TEMPLATES / name).read_text())


def test_pages_allow_only_what_is_ours(db):
    policy = Client().get("/login/")["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'self'"
    assert directives.keys() & {"script-src", "style-src"} == set()
    assert "unsafe" not in policy


def test_description_of_the_api_runs_nothing_inline(staff_client):
    page = staff_client.get("/api/v1/docs/")
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.content.decode())
    assert "script-src" not in page["Content-Security-Policy"]
