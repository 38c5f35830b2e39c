"""Pages of collections."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from gallery import arranging
from gallery.group_forms import CollectionForm, CoverForm, PlaceForm
from gallery.history import Act
from gallery.models import Asset, AssetQuerySet, Collection, Size
from gallery.web import (
    MemberRequest,
    Request,
    for_members,
    for_readers,
    get_editable_collection,
    is_fragment,
    respond,
    say_undoable,
    status_of,
    takes_forms,
)

_COLLECTIONS_A_PAGE, _ASSETS_A_PAGE = 60, 60


@dataclass(frozen=True)
class Page:
    """Assets in the collection's order, and the last of them where more follow."""

    assets: Sequence[Asset]
    last: Asset | None


# --- all of them --------------------------------------------------------------------------------------------


@takes_forms
@for_readers
def collections(request: Request) -> HttpResponseBase:
    if request.method == "POST":
        return _create(request)  # type: ignore[arg-type]  # it lets members in alone
    return _list(request, CollectionForm())


@for_members
def _create(request: MemberRequest) -> HttpResponse:
    form = CollectionForm(request.POST, instance=Collection(owner=request.user))
    if not form.is_valid():
        return _list(request, form)
    return redirect(form.save())


def _list(request: Request, form: CollectionForm) -> HttpResponse:
    found = Collection.objects.with_cover(request.user)
    page = Paginator(found, _COLLECTIONS_A_PAGE).get_page(request.GET.get("page"))
    sizes = Collection.objects.filter(pk__in=[collection.pk for collection in page]).sizes(request.user)
    shown = [(collection, sizes.get(collection.pk, Size())) for collection in page]
    return render(
        request, "gallery/collections.html", {"page": page, "shown": shown, "form": form}, status=status_of(form)
    )


# --- one of them --------------------------------------------------------------------------------------------


@require_safe
@for_readers
def collection(request: Request, collection_id: int) -> HttpResponse:
    shown = get_object_or_404(Collection.objects.with_cover(request.user).select_related("owner"), pk=collection_id)
    may_edit = shown.may_be_edited_by(request.user)
    context: dict[str, Any] = {
        "collection": shown,
        "may_edit": may_edit,
        "arranging": may_edit and "arrange" in request.GET,
        "page": _page(request, shown),
        "carried": urlencode({"collection": shown.pk}),
    }
    if is_fragment(request):
        return render(request, "gallery/_collection_tiles.html", context)
    size = Collection.objects.filter(pk=shown.pk).sizes(request.user).get(shown.pk, Size())
    return render(request, "gallery/collection.html", {**context, "size": size})


def _page(request: Request, shown: Collection) -> Page:
    assets = _from_where_asked(request, shown).visible_to(request.user)
    found = list(assets.only("title", "format", "width", "height", "status", "error")[: _ASSETS_A_PAGE + 1])
    page = found[:_ASSETS_A_PAGE]
    return Page(page, page[-1] if len(found) > _ASSETS_A_PAGE else None)


def _from_where_asked(request: Request, shown: Collection) -> AssetQuerySet:
    """All, or those after an asset, which may have left meanwhile."""
    own = Asset.objects.filter(collection=shown)
    after = request.GET.get("after", "")
    previous = own.filter(pk=int(after)).first() if after.isdecimal() and len(after) <= _MOST_DIGITS else None
    return arranging.those_after(previous) if previous else own.arranged()


#: Of an id, or the database would not take it.
_MOST_DIGITS = 18


@takes_forms
@for_members
def edit_collection(request: MemberRequest, collection_id: int) -> HttpResponse:
    edited = get_editable_collection(request, collection_id)
    form = CollectionForm(request.POST if request.method == "POST" else None, instance=edited)
    if form.is_valid():
        messages.success(request, _("Saved."))
        return redirect(form.save())
    context = {"form": form, "collection_id": collection_id}
    return respond(
        request,
        "gallery/edit_collection.html",
        "gallery/_edit_collection.html",
        context,
        status=status_of(form),
    )


@takes_forms
@for_members
def delete_collection(request: MemberRequest, collection_id: int) -> HttpResponse:
    doomed = get_editable_collection(request, collection_id)
    if request.method == "POST":
        doomed.delete()
        messages.success(request, _("Collection “%(name)s” was deleted; its assets stay.") % {"name": doomed})
        return redirect("gallery:collections")
    context = {
        "heading": _("Delete collection “%(name)s”?") % {"name": doomed},
        "text": _("Its assets stay in the gallery. Its notes, its cover and their order are lost for good."),
        "back": doomed.get_absolute_url(),
    }
    return respond(request, "gallery/confirm.html", "gallery/_confirm.html", context)


# --- what it looks like -------------------------------------------------------------------------------------


@require_POST
@for_members
def place_asset(request: MemberRequest, collection_id: int) -> HttpResponse:
    """Moves an asset within its collection."""
    arranged = get_editable_collection(request, collection_id)
    form = PlaceForm(request.POST, collection=arranged)
    if not form.is_valid():
        return HttpResponse(form.told, status=HTTPStatus.BAD_REQUEST, headers={"X-Detail": form.told})
    act, placed = Act(request.user), form.cleaned_data["asset"]
    form.save(act)
    if act.changed:
        say_undoable(request, _("“%(title)s” was moved.") % {"title": placed}, act)
    if is_fragment(request):
        return render(request, "_toasts.html")
    return redirect(_arranging(arranged, request, placed))


@require_POST
@for_members
def choose_cover(request: MemberRequest, collection_id: int) -> HttpResponse:
    chosen_for = get_editable_collection(request, collection_id)
    form = CoverForm(request.POST, collection=chosen_for)
    if form.is_valid():
        chosen_for.cover = form.cleaned_data["asset"]
        chosen_for.save(update_fields=["cover"])
        messages.success(request, _("This is the cover now.") if chosen_for.cover else _("The newest is the cover."))
    else:
        messages.error(request, _("It is not in the collection any more."))
    return redirect(_arranging(chosen_for, request, chosen_for.cover))


def _arranging(arranged: Collection, request: Request, asset: Asset | None) -> str:
    """The page that somebody arranges, where they were."""
    after = request.POST.get("after_page", "")
    query = f"arrange=1&after={after}" if after.isdecimal() else "arrange=1"
    fragment = f"#asset-{asset.pk}" if asset else ""
    return f"{reverse('gallery:collection', args=[arranged.pk])}?{query}{fragment}"
