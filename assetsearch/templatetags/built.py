"""Scripts and styles as `make assets` built them."""

import json
from functools import cache
from pathlib import Path

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

DIST = Path(__file__).parent.parent / "static/dist"


@cache
def _manifest() -> dict[str, str]:
    return dict(json.loads((DIST / "manifest.json").read_text()))


def address(source: str) -> str:
    """Of what a source below frontend/src was built to."""
    if settings.DEBUG:
        _manifest.cache_clear()  # it is built again and again
    return static(f"dist/{_manifest()[source]}")


@register.simple_tag
def script(source: str) -> SafeString:
    return format_html('<script src="{}" type="module"></script>', address(source))


@register.simple_tag
def stylesheet(source: str) -> SafeString:
    return format_html('<link rel="stylesheet" href="{}">', address(source))
