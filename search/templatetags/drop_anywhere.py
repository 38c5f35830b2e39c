"""What every page has for pictures that are dropped or pasted on it."""

from typing import Any

from django import template
from django.conf import settings
from django.template import Context

register = template.Library()


@register.inclusion_tag("search/_drop_anywhere.html", takes_context=True)
def drop_anywhere(context: Context) -> dict[str, Any]:
    return {"user": context["user"], "max_megabytes": settings.MAX_UPLOAD_BYTES // 1_000_000}
