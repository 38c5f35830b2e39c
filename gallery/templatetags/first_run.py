"""What an empty gallery says, and one that holds the sample."""

from typing import Any

from django import template

from gallery.import_models import Import
from gallery.models import Asset

register = template.Library()


@register.inclusion_tag("gallery/_first_run.html", takes_context=True)
def first_run(context: dict[str, Any]) -> dict[str, Any]:
    """For a page that found nothing to show: what to do, or what is going on."""
    user = context["user"]
    is_empty = not Asset.objects.visible_to(user).exists()
    return {
        "user": user,
        "csrf_token": context.get("csrf_token"),
        "is_empty": is_empty,
        "is_pending": not is_empty and Asset.objects.visible_to(user).filter(status=Asset.Status.PENDING).exists(),
        "going_on": Import.objects.visible_to(user).under_way().for_display().first(),
    }


@register.inclusion_tag("gallery/_sample_note.html", takes_context=True)
def sample_note(context: dict[str, Any]) -> dict[str, Any]:
    """Whose pictures are drawn, and how to be rid of them; asked for in small galleries alone."""
    runs = Import.objects.visible_to(context["user"]).filter(kind=Import.Kind.SAMPLE)
    return {"has_sample": runs.exists(), "csrf_token": context.get("csrf_token")}
