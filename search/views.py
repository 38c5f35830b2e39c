"""Pages of searching."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from django.contrib import messages
from django.core.files import File
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import replace_url

from gallery import sandbox
from gallery.errors import Code, Refused
from gallery.filters import AssetFilter
from gallery.ingest.fetch import fetch, in_turn
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
)
from search import pipeline, query, tasks
from search.answers import Answer
from search.context import DISMISSED
from search.forms import SearchForm
from search.pictures import Picture
from search.query import Part, Wanted

#: Newest assets offered to start from.
_OFFERED = 12
#: Similar assets shown on an asset's page.
_ON_ASSET_PAGE = 12


@dataclass(frozen=True)
class Fetched:
    """What was found at an address, for a page that has no copy of it."""

    name: str
    #: A data URL. The address itself would tell its server who searches.
    preview: str


@dataclass
class Found:
    """What results show: an answer, or why there is none."""

    asset: Asset | None = None
    answer: Answer | None = None
    refused: Refused | None = None
    #: Of the picture searched with. An asset that has the same is identical, not merely similar.
    sha256: str = ""
    fetched: Fetched | None = None

    @property
    def status(self) -> HTTPStatus:
        return self.refused.http_status if self.refused else HTTPStatus.OK


# --- the search page ----------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@for_readers
def search(request: Request) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    form = SearchForm(given, request.FILES)
    chosen = AssetFilter(given, Asset.objects.visible_to(request.user))
    found = _find(request, form, chosen) if request.method == "POST" or form.has_query else Found()
    carried = _carried(form, chosen)
    context = {"form": form, "filter": chosen, "found": found, "carried": carried}
    if found.answer:
        context["serving_encoder"] = found.answer.encoder
    if not is_fragment(request):
        context |= {**names_offered(), "newest": _newest(request)}
    fragment = "search/_fetched.html" if found.fetched else "search/_results.html"
    response = respond(request, "search/search.html", fragment, context, status=found.status)
    return _marked(replace_url(response, _address(found, carried)), found)


def _find(request: Request, form: SearchForm, chosen: AssetFilter) -> Found:
    found = Found()
    try:
        form.check()
        wanted = form.wanted(chosen.matching() if chosen.is_narrowing else None)
        with _source(request, form, found) as source:
            picture = Picture(source, turned=form.cleaned_data["turned"])
            [found.answer] = query.like_each([Part(picture)], wanted)
            if not found.asset:
                found.sha256 = picture.sha256
    except Refused as refused:
        found.refused = refused
    return found


@contextmanager
def _source(request: Request, form: SearchForm, found: Found) -> Iterator[File[bytes] | Asset]:
    """A file, what is at an address, or a stored asset; the first that is given. Raises Refused."""
    image, url = form.cleaned_data["image"], form.cleaned_data["url"]
    if image:
        yield image
    elif url and request.method == "POST":
        if not request.user.is_authenticated:  # strangers could have much fetched in our name
            raise Refused(Code.NOT_SIGNED_IN, "Sign in to search by an address.")
        with in_turn():
            at_url = fetch(url)
        with at_url as file:
            found.fetched = _fetched(file)
            yield file
    else:
        found.asset = get_readable_asset(request, form.cleaned_data["asset"])
        yield found.asset


def _fetched(file: TemporaryUploadedFile) -> Fetched:
    """Raises Refused where it is no picture."""
    preview = sandbox.render_file(Path(file.temporary_file_path())).thumbnail
    return Fetched(file.name or "", f"data:image/jpeg;base64,{base64.b64encode(preview).decode()}")


def _marked(response: HttpResponse, found: Found) -> HttpResponse:
    """Tells the page's script that a refusal is worded for the reader, and to be shown in its place."""
    if found.refused:
        response["X-Refused"] = found.refused.code.value
    return response


def _carried(form: SearchForm, chosen: AssetFilter) -> str:
    """The options and the filters, where they are not as they are anyway, as links carry them on."""
    return "&".join(filter(None, [urlencode(form.options), chosen.query(without=chosen.errors)]))


def _address(found: Found, carried: str) -> str:
    """Where the same search is found again. One by a picture from outside has no address of its own."""
    parts = [f"asset={found.asset.pk}"] if found.asset else []
    parts += [carried] if carried else []
    return "?".join([reverse("search:search"), *(["&".join(parts)] if parts else [])])


def _newest(request: Request) -> AssetQuerySet:
    ready = Asset.objects.visible_to(request.user).filter(status=Asset.Status.READY)
    return ready.only("title", "width", "height").order_by("-pk")[:_OFFERED]


# --- on an asset's page -------------------------------------------------------------------------------------


@require_safe
@for_readers
def similar(request: Request, asset_id: int) -> HttpResponse:
    """What looks like an asset, for its page; the search page shows the same, with filters."""
    asset = get_readable_asset(request, asset_id)
    if not is_fragment(request):
        return redirect(f"{reverse('search:search')}?asset={asset.pk}")
    found = Found(asset)
    if asset.status != Asset.Status.PENDING:
        try:
            found.answer = query.like_asset(asset, Wanted(k=_ON_ASSET_PAGE))
        except Refused as refused:
            found.refused = refused
    response = render(request, "search/_similar.html", {"found": found}, status=found.status)
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
