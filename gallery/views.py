"""Pages of the gallery and of one asset. What they show of search, they load by the name of its address."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from django.contrib import messages
from django.core.cache import cache
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from gallery.filters import AssetFilter
from gallery.forms import EditForm
from gallery.media import send_original, send_rendition
from gallery.models import Asset
from gallery.web import (
    MemberRequest,
    Request,
    for_members,
    for_readers,
    get_editable_asset,
    get_readable_asset,
    is_fragment,
    names_offered,
    respond,
    status_of,
    takes_forms,
)

#: An id, as addresses have it; what is longer is no number of the database's.
_ID = r"[0-9]{1,18}"
_PAGE_SIZE = 60
#: Seconds. Counting 100,000 assets takes some 10 ms, too much for each page.
_COUNTS_MAX_AGE = 5
#: Pending assets asked after at once, by id; as many as fit in an address.
_MOST_STATES = 200


@dataclass(frozen=True)
class Page:
    """Assets newest first, and the query of the page after them; empty where they are the last."""

    assets: Sequence[Asset]
    older: str


@dataclass(frozen=True)
class Chip:
    """A filter in force, and the address without it."""

    label: str
    value: str
    without: str


# --- the gallery --------------------------------------------------------------------------------------------


@require_safe
@for_readers
def gallery(request: Request) -> HttpResponse:
    chosen = _chosen(request)
    context = {"filter": chosen, "page": _page(chosen, request), "carried": chosen.query()}
    if "before" in request.GET and is_fragment(request):
        return render(request, "gallery/_tiles.html", context)
    context |= {"chips": _chips(chosen), "counts": _counts(), **names_offered()}
    return respond(request, "gallery/gallery.html", "gallery/_assets.html", context)


def _chosen(request: Request) -> AssetFilter:
    return AssetFilter(request.GET, Asset.objects.visible_to(request.user))


def _page(chosen: AssetFilter, request: Request) -> Page:
    assets: QuerySet[Asset] = chosen.matching()
    if before := request.GET.get("before"):
        if not re.fullmatch(_ID, before):
            raise Http404
        assets = assets.filter(pk__lt=int(before))
    found = list(assets.only("title", "width", "height", "status", "error").order_by("-pk")[: _PAGE_SIZE + 1])
    shown = found[:_PAGE_SIZE]
    return Page(shown, older=_older(chosen, shown[-1]) if len(found) > _PAGE_SIZE else "")


def _older(chosen: AssetFilter, last: Asset) -> str:
    return "&".join(filter(None, [chosen.query(), f"before={last.pk}"]))


def _chips(chosen: AssetFilter) -> list[Chip]:
    return [
        Chip(chosen.form[name].label, chosen.shown(name), f"?{chosen.query(without=[name])}") for name in chosen.asked
    ]


def _counts() -> dict[str, int]:
    """Assets by status, a few seconds old at most."""
    counts = cache.get_or_set("gallery.counts", Asset.objects.counts_by_status, _COUNTS_MAX_AGE) or {}
    return {**counts, "all": sum(counts.values())}


@require_safe
@for_readers
def states(request: Request) -> HttpResponse:
    """Badges of those of the assets asked after that are pending no more."""
    asked = [int(text) for text in re.findall(rf"\b{_ID}\b", request.GET.get("ids", ""))][:_MOST_STATES]
    found = Asset.objects.visible_to(request.user).only("status", "error").in_bulk(asked)
    done = [asset for asset in found.values() if asset.status != Asset.Status.PENDING]
    deleted = [asset_id for asset_id in asked if asset_id not in found]
    if not done and not deleted:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return render(request, "gallery/_states.html", {"assets": done, "deleted": deleted})


# --- one asset ----------------------------------------------------------------------------------------------


@require_safe
@for_readers
def asset(request: Request, asset_id: int) -> HttpResponse:
    shown, chosen = get_readable_asset(request, asset_id), _chosen(request)
    context = {
        "asset": shown,
        "may_edit": shown.may_be_edited_by(request.user),
        "location": shown.location_for(request.user),
        "carried": chosen.query(),
    }
    if not is_fragment(request):
        context |= _neighbours(shown, chosen)
    return respond(request, "gallery/asset.html", "gallery/_state.html", context)


def _neighbours(shown: Asset, chosen: AssetFilter) -> dict[str, int | None]:
    """The next asset on either side among those that the filters show."""
    ids = chosen.matching().values_list("pk", flat=True)
    return {
        "newer": ids.filter(pk__gt=shown.pk).order_by("pk").first(),
        "older": ids.filter(pk__lt=shown.pk).order_by("-pk").first(),
    }


@takes_forms
@for_members
def edit(request: MemberRequest, asset_id: int) -> HttpResponse:
    edited = get_editable_asset(request, asset_id)
    form = EditForm(request.POST) if request.method == "POST" else EditForm.of(edited)
    if request.method == "POST" and form.is_valid():
        form.save(edited, request.user)
        messages.success(request, "Saved.")
        return redirect(edited)
    context = {"asset": edited, "form": form, **names_offered()}
    return respond(request, "gallery/edit.html", "gallery/_edit.html", context, status=status_of(form))


@takes_forms
@for_members
def delete(request: MemberRequest, asset_id: int) -> HttpResponse:
    doomed = get_editable_asset(request, asset_id)
    if request.method == "POST":
        doomed.delete()
        messages.success(request, f"“{doomed.title}” was deleted.")
        return redirect("gallery:gallery")
    context = {
        "heading": f"Delete “{doomed.title}”?",
        "text": "The original and everything known of it will be gone. This cannot be undone.",
        "back": doomed.get_absolute_url(),
    }
    return respond(request, "gallery/confirm_delete.html", "gallery/_confirm_delete.html", context)


@require_safe
@for_readers
def download(request: Request, asset_id: int) -> HttpResponseBase:
    return send_original(get_readable_asset(request, asset_id), request.user)


@require_safe
@for_readers
def preview(request: Request, asset_id: int) -> HttpResponseBase:
    return send_rendition(get_readable_asset(request, asset_id).preview)


@require_safe
@for_readers
def thumbnail(request: Request, asset_id: int) -> HttpResponseBase:
    return send_rendition(get_readable_asset(request, asset_id).thumbnail)
