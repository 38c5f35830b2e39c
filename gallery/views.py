"""Pages of assets, collections and tags. What they show of search, they load by the name of its address."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.files import File
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Lower
from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from gallery.errors import Code, Refused
from gallery.filters import AssetFilter
from gallery.forms import CollectionForm, EditForm, UploadForm
from gallery.images import ACCEPTED
from gallery.media import send_original, send_rendition
from gallery.models import Asset, Collection, Tag
from gallery.uploads import Details, Stored, store_upload
from gallery.web import (
    MemberRequest,
    Request,
    for_members,
    for_readers,
    get_editable_asset,
    get_editable_collection,
    get_readable_asset,
    is_fragment,
    names_offered,
    respond,
    wants_json,
)

#: An id, as addresses have it; what is longer is no number of the database's.
_ID = r"[0-9]{1,18}"
_PAGE_SIZE = 60
_COLLECTIONS_A_PAGE, _TAGS_A_PAGE = 60, 300
#: Seconds. Counting 100,000 assets takes some 10 ms, too much for each page.
_COUNTS_MAX_AGE = 5
#: Pending assets asked after at once, by id; as many as fit in an address.
_MOST_STATES = 200

_forms = require_http_methods(["GET", "HEAD", "POST"])


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
    chosen = AssetFilter(request.GET, Asset.objects.visible_to(request.user))
    context = {"filter": chosen, "page": _page(chosen.matching(), request), "carried": _carried(request)}
    if "before" in request.GET and is_fragment(request):
        return render(request, "gallery/_tiles.html", context)
    context |= {"chips": _chips(chosen, request), "counts": _counts(), **names_offered()}
    return respond(request, "gallery/gallery.html", "gallery/_assets.html", context)


def _page(assets: QuerySet[Asset], request: Request) -> Page:
    if before := request.GET.get("before"):
        if not re.fullmatch(_ID, before):
            raise Http404
        assets = assets.filter(pk__lt=int(before))
    found = list(assets.only("title", "width", "height", "status", "error").order_by("-pk")[: _PAGE_SIZE + 1])
    shown = found[:_PAGE_SIZE]
    return Page(shown, older=_carried(request, before=shown[-1].pk) if len(found) > _PAGE_SIZE else "")


def _carried(request: Request, *, without: str = "", before: int | None = None) -> str:
    """The filters in force, as links carry them on."""
    filters = request.GET.copy()
    for name in [*filters]:
        if name in {"before", without} or not filters[name]:
            del filters[name]
    if before:
        filters["before"] = str(before)
    return filters.urlencode()


def _chips(chosen: AssetFilter, request: Request) -> list[Chip]:
    return [
        Chip(chosen.form[name].label, _shown_value(chosen, name), f"?{_carried(request, without=name)}")
        for name in chosen.filters
        if request.GET.get(name)
    ]


def _shown_value(chosen: AssetFilter, name: str) -> str:
    value = chosen.form.cleaned_data.get(name) if chosen.is_valid() else None
    if name == "status" and value:
        return str(Asset.Status(value).label)
    return str(value or chosen.data[name])


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
    shown = get_readable_asset(request, asset_id)
    context = {"asset": shown, "may_edit": shown.may_be_edited_by(request.user), "carried": _carried(request)}
    if not is_fragment(request):
        context |= _neighbours(shown, request)
    return respond(request, "gallery/asset.html", "gallery/_state.html", context)


def _neighbours(shown: Asset, request: Request) -> dict[str, int | None]:
    """The next asset on either side among those that the filters show."""
    ids = AssetFilter(request.GET, Asset.objects.visible_to(request.user)).matching().values_list("pk", flat=True)
    return {
        "newer": ids.filter(pk__gt=shown.pk).order_by("pk").first(),
        "older": ids.filter(pk__lt=shown.pk).order_by("-pk").first(),
    }


@_forms
@for_members
def edit(request: MemberRequest, asset_id: int) -> HttpResponse:
    edited = get_editable_asset(request, asset_id)
    form = EditForm(request.POST) if request.method == "POST" else EditForm.of(edited)
    if request.method == "POST" and form.is_valid():
        form.save(edited, request.user)
        messages.success(request, "Saved.")
        return redirect(edited)
    context = {"asset": edited, "form": form, **names_offered()}
    return respond(request, "gallery/edit.html", "gallery/_edit.html", context, status=_status_of(form))


def _status_of(form: EditForm | CollectionForm) -> int:
    return HTTPStatus.BAD_REQUEST if form.is_bound and form.errors else HTTPStatus.OK


@_forms
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
    return send_original(get_readable_asset(request, asset_id))


@require_safe
@for_readers
def preview(request: Request, asset_id: int) -> HttpResponseBase:
    return send_rendition(get_readable_asset(request, asset_id).preview)


@require_safe
@for_readers
def thumbnail(request: Request, asset_id: int) -> HttpResponseBase:
    return send_rendition(get_readable_asset(request, asset_id).thumbnail)


# --- uploading ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of one file of an upload."""

    filename: str
    stored: Stored | None = None
    refused: Refused | None = None


@_forms
@for_members
def upload(request: MemberRequest) -> HttpResponse:
    """One file a request from a script, answered in JSON; all that a form holds, answered by a page."""
    form = UploadForm(request.POST if request.method == "POST" else None)
    files = request.FILES.getlist("file")
    outcomes: list[Outcome] = []
    if form.is_valid():
        details = form.details(request.user)
        outcomes = [_store(file, request.user, details) for file in files]
    if request.method == "POST" and wants_json(request):
        return _as_json(outcomes[0]) if outcomes else _invalid(form)
    context = {
        "form": form,
        "outcomes": outcomes,
        "nothing_chosen": form.is_bound and not files,
        "accepted": ACCEPTED,
        "max_megabytes": settings.MAX_UPLOAD_BYTES // 1_000_000,
        **names_offered(),
    }
    return render(request, "gallery/upload.html", context)


def _store(file: File[bytes], owner: User, details: Details) -> Outcome:
    try:
        return Outcome(file.name or "", stored=store_upload(file, owner, details))
    except Refused as refused:
        return Outcome(file.name or "", refused=refused)


def _as_json(outcome: Outcome) -> JsonResponse:
    if outcome.refused:
        answer = {"code": outcome.refused.code, "detail": outcome.refused.detail}
        return JsonResponse(answer, status=outcome.refused.http_status)
    assert outcome.stored  # noqa: S101 (one of the two is always there)
    stored, duplicate = outcome.stored.asset, outcome.stored.duplicate
    return JsonResponse(
        {
            "id": stored.pk,
            "title": stored.title,
            "status": stored.status,
            "url": stored.get_absolute_url(),
            "duplicate": duplicate,
        },
        status=HTTPStatus.OK if duplicate else HTTPStatus.CREATED,
    )


def _invalid(form: UploadForm) -> JsonResponse:
    said = [str(message) for errors in form.errors.values() for message in errors]
    answer = {"code": Code.INVALID, "detail": " ".join(said) or "There is no file in the request."}
    return JsonResponse(answer, status=HTTPStatus.BAD_REQUEST)


# --- collections and tags -----------------------------------------------------------------------------------


@_forms
@for_readers
def collections(request: Request) -> HttpResponseBase:
    if request.method == "POST":
        return _create_collection(request)  # type: ignore[arg-type]  # it lets members in alone
    return _list_collections(request, CollectionForm())


@for_members
def _create_collection(request: MemberRequest) -> HttpResponse:
    form = CollectionForm(request.POST, instance=Collection(owner=request.user))
    if not form.is_valid():
        return _list_collections(request, form)
    made = form.save()
    messages.success(request, f"Collection “{made}” is there. Choose it when you upload or edit.")
    return redirect("gallery:collections")


def _list_collections(request: Request, form: CollectionForm) -> HttpResponse:
    page = Paginator(_with_cover(Collection.objects.all()), _COLLECTIONS_A_PAGE).get_page(request.GET.get("page"))
    for collection in page:
        collection.may_edit = collection.may_be_edited_by(request.user)
    return render(request, "gallery/collections.html", {"page": page, "form": form}, status=_status_of(form))


def _with_cover(found: QuerySet[Collection]) -> QuerySet[Any]:
    """With the newest asset's id and the number of assets, each looked up for the rows of one page alone."""
    own = Asset.objects.filter(collection=OuterRef("pk")).order_by()
    counted = own.values("collection").annotate(count=Count("pk")).values("count")
    return found.annotate(cover=Subquery(own.order_by("-pk").values("pk")[:1]), count=Subquery(counted))


@_forms
@for_members
def rename_collection(request: MemberRequest, collection_id: int) -> HttpResponse:
    collection = get_editable_collection(request, collection_id)
    form = CollectionForm(request.POST if request.method == "POST" else None, instance=collection)
    if form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("gallery:collections")
    context = {"form": form}
    return respond(request, "gallery/rename.html", "gallery/_rename.html", context, status=_status_of(form))


@_forms
@for_members
def delete_collection(request: MemberRequest, collection_id: int) -> HttpResponse:
    collection = get_editable_collection(request, collection_id)
    if request.method == "POST":
        collection.delete()
        messages.success(request, f"Collection “{collection}” was deleted; its assets stay.")
        return redirect("gallery:collections")
    context = {
        "heading": f"Delete collection “{collection}”?",
        "text": "Its assets stay in the gallery; they only leave the collection.",
        "back": reverse("gallery:collections"),
    }
    return respond(request, "gallery/confirm_delete.html", "gallery/_confirm_delete.html", context)


@require_safe
@for_readers
def tags(request: Request) -> HttpResponse:
    uses = Asset.tags.through.objects.all()
    used = Tag.objects.filter(Exists(uses.filter(tag=OuterRef("pk")))).order_by(Lower("name"))
    page = Paginator(used, _TAGS_A_PAGE).get_page(request.GET.get("page"))
    # all of a page at once: looked up one by one, 300 tags of 300,000 uses took ten times as long
    counts = dict(uses.filter(tag__in=[tag.pk for tag in page]).values_list("tag").annotate(Count("pk")))
    counted = [(tag, counts.get(tag.pk, 0)) for tag in page]
    return render(request, "gallery/tags.html", {"page": page, "counted": counted})
