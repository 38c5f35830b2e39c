"""Searches that members save: the list, saving, renaming, deleting. To open one is to follow its address."""

from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from gallery.errors import Refused
from gallery.filters import AssetFilter
from gallery.web import MemberRequest, for_members, respond, takes_forms
from search.asked import Asked, picture_url, tiles
from search.forms import SavedSearchForm, SearchForm
from search.query_models import QueryPicture, SavedSearch

_A_PAGE = 60


@dataclass(frozen=True)
class Shown:
    """A saved search, as the list has it: what it is by, and how many filters it has."""

    row: SavedSearch

    @cached_property
    def asked(self) -> Asked:
        return SearchForm(QueryDict(self.row.query)).asked

    @property
    def thumbnail_url(self) -> str:
        return picture_url(self.asked.first, "thumbnail")

    @property
    def filters(self) -> int:
        return len(AssetFilter.texts(QueryDict(self.row.query)))


@require_safe
@for_members
def saved(request: MemberRequest) -> HttpResponse:
    page = Paginator(request.user.saved_searches.all(), _A_PAGE).get_page(request.GET.get("page"))
    return render(request, "search/saved.html", {"page": page, "shown": [Shown(row) for row in page]})


@require_POST
@for_members
def save(request: MemberRequest) -> HttpResponse:
    """The search whose address is given, as far as it can be understood, with what it is by."""
    given = QueryDict(request.POST.get("query", ""))
    asked, row = SearchForm(given).asked, SavedSearch(owner=request.user)
    form = SavedSearchForm(request.POST, instance=row)
    try:
        by = tiles(asked, request.user)
    except Refused as refused:
        by = []
        form.add_error(None, refused.detail)
    if not by:
        form.add_error(None, _("There is no picture to search with."))
    row.query = _query(given, asked)
    if form.is_valid():
        form.save()
        row.pictures.set([tile.source for tile in by if isinstance(tile.source, QueryPicture)])
        messages.success(request, _("Saved as “%(name)s”.") % {"name": row.name})
    else:
        messages.error(request, " ".join(told for errors in form.errors.values() for told in map(str, errors)))
    return redirect(row.get_absolute_url())


def _query(given: QueryDict, asked: Asked) -> str:
    options = urlencode(SearchForm(given).options)
    return "&".join(filter(None, [asked.query(), options, AssetFilter(given).query()]))


@takes_forms
@for_members
def rename(request: MemberRequest, search_id: int) -> HttpResponse:
    row = get_object_or_404(request.user.saved_searches, pk=search_id)
    form = SavedSearchForm(request.POST or None, instance=row)
    if form.is_valid():
        form.save()
        return redirect("search:saved")
    status = HTTPStatus.BAD_REQUEST if form.is_bound else HTTPStatus.OK
    return respond(request, "search/rename_saved.html", "search/_rename_saved.html", {"form": form}, status=status)


@takes_forms
@for_members
def delete(request: MemberRequest, search_id: int) -> HttpResponse:
    """Asks first. Its pictures go with the next sweep, once nothing else keeps them."""
    row = get_object_or_404(request.user.saved_searches, pk=search_id)
    if request.method == "POST":
        row.delete()
        messages.success(request, _("“%(name)s” was deleted.") % {"name": row.name})
        return redirect("search:saved")
    context = {
        "heading": _("Delete “%(name)s”?") % {"name": row.name},
        "text": _("The search is forgotten. What it finds stays."),
        "back": reverse("search:saved"),
    }
    return respond(request, "gallery/confirm.html", "gallery/_confirm.html", context)
