"""The gallery: pages of assets, and what stands beside them."""

import re
from http import HTTPStatus

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from gallery import facets, look
from gallery.browsing import ID, ORDERS, PLACES, Browsing
from gallery.filters import Chip
from gallery.models import Asset
from gallery.web import Request, for_readers, is_fragment, names_offered, respond

#: Pending assets asked after at once, by id; as many as fit in an address.
_MOST_STATES = 200


@require_safe
@for_readers
def gallery(request: Request) -> HttpResponse:
    browsing = Browsing.of(request.GET, request.user)
    place = {name: request.GET[name] for name in PLACES if name in request.GET}
    context = {"browsing": browsing, "page": browsing.page(request.GET), "here": browsing.query(**place)}
    if is_fragment(request) and request.htmx.target != "assets":
        return render(request, "gallery/_tiles.html", {**context, "way": "up" if "before" in place else "down"})
    context |= {"way": "whole", "is_within": bool(place), "filter": browsing.chosen, "chips": _chips(browsing)}
    if not is_fragment(request):
        context |= {"awaited": facets.awaited(browsing), "orders": ORDERS, "look": look.chosen(request)}
        context |= {"looks": look.CHOICES, **names_offered()}
    response = respond(request, "gallery/gallery.html", "gallery/_assets.html", context)
    return trigger_client_event(response, "narrowed", after="swap") if is_fragment(request) else response


def _chips(browsing: Browsing) -> list[Chip]:
    return [Chip(label, value, f"?{browsing.query(without=[part])}") for part, label, value in browsing.chosen.parts]


@require_safe
@for_readers
def counts(request: Request) -> HttpResponse:
    """Facets and months. They take longer than a page of assets, which does not wait for them."""
    browsing = Browsing.of(request.GET, request.user)
    counted = facets.counts(browsing, is_anew=request.headers.get("Cache-Control") == "no-cache")
    context = {"browsing": browsing, "filter": browsing.chosen, "counts": counted}
    return respond(request, "gallery/counts.html", "gallery/_counts.html", context)


@require_safe
@for_readers
def matching(request: Request) -> JsonResponse:
    """How many assets the filters let pass at this moment."""
    return JsonResponse({"count": Browsing.of(request.GET, request.user).assets().count()})


@require_safe
@for_readers
def states(request: Request) -> HttpResponse:
    """Badges of those of the assets asked after that are pending no more."""
    asked = [int(text) for text in re.findall(rf"\b{ID}\b", request.GET.get("ids", ""))][:_MOST_STATES]
    found = Asset.objects.visible_to(request.user).only("status", "error").in_bulk(asked)
    done = [asset for asset in found.values() if asset.status != Asset.Status.PENDING]
    deleted = [asset_id for asset_id in asked if asset_id not in found]
    if not done and not deleted:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return render(request, "gallery/_states.html", {"assets": done, "deleted": deleted})
