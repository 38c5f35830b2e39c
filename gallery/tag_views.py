"""Pages of tags."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, OuterRef
from django.db.models.functions import Lower
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from gallery import tagging
from gallery.group_forms import MergeForm, TagForm
from gallery.history import Act
from gallery.models import Tag, TagQuerySet, uses_of_tags
from gallery.web import (
    MemberRequest,
    Request,
    for_members,
    for_readers,
    respond,
    say_undoable,
    status_of,
    takes_forms,
)

_TAGS_A_PAGE = 300
#: Offered while typing; who sees none that fits types on.
_MOST_OFFERED = 20
_LONGEST_TEXT = 100


@require_safe
@for_readers
def tags(request: Request) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:_LONGEST_TEXT]
    page = Paginator(_in_use(text), _TAGS_A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "text": text, "rows": _rows(page, request)}
    return respond(request, "gallery/tags.html", "gallery/_tags.html", context)


def _in_use(text: str) -> TagQuerySet:
    carried = Exists(uses_of_tags().filter(tag=OuterRef("pk")))
    return Tag.objects.filter(carried, name__icontains=text).order_by(Lower("name"))


def _rows(page: Page[Tag], request: Request) -> list[tuple[Tag, int, bool]]:
    """Each with its count, and whether it is the reader's to change."""
    shown = Tag.objects.filter(pk__in=[tag.pk for tag in page])
    # all of a page at once: looked up one by one, 300 tags of 300,000 uses took ten times as long
    uses = uses_of_tags().filter(tag__in=[tag.pk for tag in page])
    counts = dict(uses.values_list("tag").annotate(Count("pk")))
    changeable = set(shown.changeable_by(request.user).values_list("pk", flat=True))
    return [(tag, counts.get(tag.pk, 0), tag.pk in changeable) for tag in page]


@require_safe
@for_readers
def tag_names(request: Request) -> JsonResponse:
    """Names that fit what somebody types, the best first."""
    text = " ".join(request.GET.get("q", "").split())[:_LONGEST_TEXT]
    return JsonResponse([tag.name for tag in Tag.objects.offered(text)[:_MOST_OFFERED]], safe=False)


# --- one of them --------------------------------------------------------------------------------------------


@takes_forms
@for_members
def edit_tag(request: MemberRequest, tag_id: int) -> HttpResponse:
    edited = _get_changeable_tag(request, tag_id)
    before, act = edited.name, Act(request.user)
    form = TagForm(request.POST if request.method == "POST" else None, instance=edited)
    if form.is_valid():
        tagging.rename(tag_id, form.cleaned_data["name"], act)
        say_undoable(request, _("“%(tag)s” is “%(other)s” now.") % {"tag": before, "other": edited}, act)
        return redirect("gallery:tags")
    if form.taken_by:  # to have that name is to be that tag, and that is asked first
        return _ask_to_merge(request, edited, MergeForm({"into": form.taken_by.name}, tag=edited))
    context = {"tag": edited, "form": form}
    return respond(request, "gallery/edit_tag.html", "gallery/_edit_tag.html", context, status=status_of(form))


@takes_forms
@for_members
def merge_tag(request: MemberRequest, tag_id: int) -> HttpResponse:
    """Asks which other tag, then whether really, then does it."""
    merged = _get_changeable_tag(request, tag_id)
    form = MergeForm(request.POST if request.method == "POST" else None, tag=merged)
    if not form.is_valid() or "sure" not in request.POST:
        return _ask_to_merge(request, merged, form)
    other, act = form.cleaned_data["into"], Act(request.user)
    tagging.merge(tag_id, other.pk, act)
    say_undoable(request, _("“%(tag)s” is “%(other)s” now.") % {"tag": merged, "other": other}, act)
    return redirect("gallery:tags")


def _ask_to_merge(request: MemberRequest, merged: Tag, form: MergeForm) -> HttpResponse:
    context: dict[str, Any] = {"tag": merged, "form": form, "count": merged.assets.kept().count()}
    if form.is_valid():
        context["other"] = form.cleaned_data["into"]
    return respond(request, "gallery/merge_tag.html", "gallery/_merge_tag.html", context, status=status_of(form))


@takes_forms
@for_members
def delete_tag(request: MemberRequest, tag_id: int) -> HttpResponse:
    doomed = _get_changeable_tag(request, tag_id)
    if request.method == "POST":
        act = Act(request.user)
        tagging.delete(tag_id, act)
        say_undoable(request, _("Tag “%(name)s” was deleted; its assets stay.") % {"name": doomed}, act)
        return redirect("gallery:tags")
    count = doomed.assets.kept().count()
    told = ngettext("%(count)s asset carries it.", "%(count)s assets carry it.", count) % {"count": count}
    they_stay = _("They stay, without it.")
    context = {
        "heading": _("Delete tag “%(name)s”?") % {"name": doomed},
        "text": f"{told} {they_stay}",
        "back": reverse("gallery:tags"),
    }
    return respond(request, "gallery/confirm.html", "gallery/_confirm.html", context)


def _get_changeable_tag(request: MemberRequest, tag_id: int) -> Tag:
    tag = get_object_or_404(Tag, pk=tag_id)
    if not Tag.objects.filter(pk=tag_id).changeable_by(request.user).exists():
        raise PermissionDenied
    return tag
