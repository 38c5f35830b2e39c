"""Pages of searching."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from http import HTTPStatus

from django.contrib import messages
from django.core.files import File
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import push_url, replace_url, trigger_client_event

from gallery import facets as gallery_facets
from gallery.errors import Code, Refused
from gallery.filters import AssetFilter
from gallery.ingest.fetch import fetch, in_turn
from gallery.media import send_rendition
from gallery.models import Asset, AssetQuerySet
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
    takes_forms,
)
from search import addresses, asked, pipeline, query, query_pictures, report_making, tasks
from search.answers import Answer
from search.asked import Asked, Tile
from search.context import DISMISSED
from search.forms import PictureForm, SearchForm
from search.query import Wanted
from search.query_models import QueryPicture

#: Newest assets offered to start from.
_OFFERED = 12
#: Similar assets shown on an asset's page.
_ON_ASSET_PAGE = 12


@dataclass
class Found:
    """What results show: an answer, or why there is none."""

    tiles: Sequence[Tile] = field(default_factory=list)
    answer: Answer | None = None
    refused: Refused | None = None

    @property
    def status(self) -> HTTPStatus:
        return self.refused.http_status if self.refused else HTTPStatus.OK

    @property
    def first(self) -> Tile | None:
        return self.tiles[0] if self.tiles else None

    @property
    def sha256(self) -> str:
        """Of a picture from outside that is searched with whole: an asset that has the same is identical to it."""
        first = self.first
        return first.source.sha256 if first and not first.asset and not first.region else ""


# --- the search page ----------------------------------------------------------------------------------------


@takes_forms
@for_readers
def search(request: Request) -> HttpResponse:
    """By what the address says; a picture from outside is kept first, so that there is an address to say it."""
    if request.method == "POST":
        return _take(request)
    form = SearchForm(request.GET)
    chosen = AssetFilter(request.GET, Asset.objects.readable_by(request.user))
    return _show(request, form, chosen, _find(request, form, chosen) if form.has_query else Found())


def _take(request: Request) -> HttpResponse:
    form, here = PictureForm(request.POST, request.FILES), QueryDict(request.POST.get("here", ""))
    several = request.FILES.getlist("image")
    try:
        form.check()
        if len(several) > 1 and request.user.is_authenticated:
            return redirect(report_making.of_several(several, request.user))
        with _file(request, form) as file:
            kept = query_pictures.keep(file, request.user)
    except Refused as refused:
        chosen = AssetFilter(here, Asset.objects.readable_by(request.user))
        return _show(request, SearchForm(here), chosen, Found(refused=refused))
    before = SearchForm(here).asked if form.cleaned_data["join"] else Asked()
    rest = here.copy()
    for name in asked.NAMES:
        rest.pop(name, None)
    return redirect(addresses.address(before.more_like(kept.key), rest.urlencode()))


def _file(request: Request, form: PictureForm) -> AbstractContextManager[File[bytes]]:
    """The file, or what is at the address. Raises Refused."""
    if image := form.cleaned_data["image"]:
        return nullcontext(image)
    if not request.user.is_authenticated:  # strangers could have much fetched in our name
        raise Refused(Code.NOT_SIGNED_IN, _("Sign in to search by an address."))
    with in_turn():
        return fetch(form.cleaned_data["url"])


def _find(request: Request, form: SearchForm, chosen: AssetFilter) -> Found:
    found = Found()
    try:
        found.tiles = asked.tiles(form.asked, request.user)
        form.check()
        wanted = form.wanted(chosen.among() if chosen.is_narrowing else None)
        parts = [tile.part(turned=form.cleaned_data["turned"]) for tile in found.tiles]
        if len(parts) > 1:
            found.answer = query.like_all(parts, wanted)
        else:
            [found.answer] = query.like_each(parts, wanted)
    except Refused as refused:
        found.refused = refused
    return found


def _show(request: Request, form: SearchForm, chosen: AssetFilter, found: Found) -> HttpResponse:
    carried = addresses.carried(form, chosen)
    context = {"form": form, "filter": chosen, "found": found, "asked": form.asked, "carried": carried}
    context["chips"] = addresses.chips(form, chosen)
    if found.answer:
        context["serving_encoder"] = found.answer.encoder
    is_whole = request.htmx.target != "results"  # the results alone, where filters change
    context["is_beside_results"] = is_fragment(request) and not is_whole
    if is_whole:
        context |= {**names_offered(), "newest": _newest(request)}
    fragment = "search/_search.html" if is_whole else "search/_results.html"
    response = respond(request, "search/search.html", fragment, context, status=found.status)
    if request.method != "POST":
        told = push_url if is_whole else replace_url
        response = told(response, addresses.address(form.asked, carried))
    if context["is_beside_results"]:
        response = trigger_client_event(response, "narrowed", after="swap")
    return _marked(response, found)


def _marked(response: HttpResponse, found: Found) -> HttpResponse:
    """Tells the page's script that a refusal is worded for the reader, and to be shown in its place."""
    if found.refused:
        response["X-Refused"] = found.refused.code.value
    return response


def _newest(request: Request) -> AssetQuerySet:
    ready = Asset.objects.visible_to(request.user).filter(status=Asset.Status.READY)
    return ready.only("title", "width", "height").order_by("-pk")[:_OFFERED]


@require_safe
@for_readers
def facets(request: Request) -> HttpResponse:
    """Values of filters beside results, with how many assets each leaves to search among."""
    chosen = AssetFilter(request.GET, Asset.objects.readable_by(request.user)).without(["status"])
    found = [facet for facet in gallery_facets.of(chosen) if facet.name != "status"]  # what is not ready is not found
    return render(request, "gallery/_facets.html", {"facets": found})


@require_safe
@for_readers
def query_picture(request: Request, key: str) -> HttpResponseBase:
    """Who has the id of one may see it: whoever is shown a search is to see what it is by."""
    return send_rendition(get_object_or_404(QueryPicture.objects.alive(), pk=key).preview)


# --- on an asset's page -------------------------------------------------------------------------------------


@require_safe
@for_readers
def similar(request: Request, asset_id: int) -> HttpResponse:
    """What looks like an asset, for its page; the search page shows the same, with filters."""
    asset = get_readable_asset(request, asset_id)
    if not is_fragment(request):
        return redirect(f"{reverse('search:search')}?asset={asset.pk}")
    found = Found()
    if asset.status != Asset.Status.PENDING:
        try:
            found.answer = query.like_asset(asset, Wanted(k=_ON_ASSET_PAGE))
        except Refused as refused:
            found.refused = refused
    response = render(request, "search/_similar.html", {"asset": asset, "found": found}, status=found.status)
    return _marked(response, found)


@require_POST
@for_members
def retry(request: MemberRequest, asset_id: int) -> HttpResponse:
    asset = get_editable_asset(request, asset_id)
    try:
        pipeline.retry([asset.pk], query.active_encoder())
    except Refused as refused:
        messages.error(request, refused.detail)
    else:
        tasks.queue_asset(asset.pk)
    return redirect(asset)


# --- the encoder's banner -----------------------------------------------------------------------------------


@require_POST
@for_readers
def dismiss_banner(request: Request) -> HttpResponse:
    """Not shown again in this session."""
    request.session[DISMISSED] = True
    return HttpResponse() if is_fragment(request) else redirect("search:search")
