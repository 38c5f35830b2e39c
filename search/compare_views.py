"""The page that compares two ways to search, and what people found the better."""

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.db.models import Max, Min
from django.http import HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import replace_url

from gallery.errors import Refused
from gallery.models import Asset
from gallery.web import MemberRequest, for_members, get_readable_asset, is_fragment, respond, takes_forms
from search import comparing
from search.comparing import Comparison, Side
from search.evaluation.statistics import paired_significance
from search.forms import CompareForm, MarkForm
from search.models import Preference
from search.pictures import Picture

_NEEDED = 2


@dataclass
class Shown:
    """What was compared, or why nothing was."""

    asset: Asset | None = None
    comparison: Comparison | None = None
    refused: Refused | None = None
    sha256: str = ""

    @property
    def status(self) -> HTTPStatus:
        return self.refused.http_status if self.refused else HTTPStatus.OK


@takes_forms
@for_members
def compare(request: MemberRequest) -> HttpResponse:
    sides = comparing.sides()
    if len(sides) < _NEEDED:
        return render(request, "search/compare_nothing.html", {"sides": sides})
    form = _form(request, sides)
    shown = _show(request, form) if request.method == "POST" or form.has_query else Shown()
    address = _query(form, shown.asset)
    context = {"form": form, "found": shown, "carried": urlencode(form.options), "address": address}
    if shown.comparison and not shown.refused:
        context |= _marks(request, shown.comparison.left.side, shown.comparison.right.side, shown.sha256)
    elif not shown.refused:
        context["tallies"] = Preference.objects.tallies()
    response = respond(request, "search/compare.html", "search/_compared.html", context, status=shown.status)
    if shown.refused:  # worded for the reader, and shown in place of what was asked for
        response["X-Refused"] = shown.refused.code.value
    return replace_url(response, f"{reverse('search:compare')}?{address}")


def _form(request: MemberRequest, sides: list[Side]) -> CompareForm:
    given = (request.POST if request.method == "POST" else request.GET).copy()
    one, *others = sides
    given.setdefault("left", one.key)
    given.setdefault("right", next((side for side in others if side.encoder != one.encoder), others[0]).key)
    return CompareForm(given, request.FILES, sides=sides)


def _show(request: MemberRequest, form: CompareForm) -> Shown:
    shown = Shown()
    try:
        form.check()
        source = form.cleaned_data["image"]
        if not source:
            source = shown.asset = get_readable_asset(request, form.cleaned_data["asset"])
        picture = Picture(source)
        shown.sha256 = picture.sha256
        left, right = form.sides
        if form.cleaned_data["blind"]:
            left, right = comparing.shuffled(left, right, by=f"{request.user.pk} {shown.sha256}")
        shown.comparison = comparing.compare(picture, form.cleaned_data["k"], left, right)
        shown.refused = shown.comparison.refused
    except Refused as refused:
        shown.refused = refused
    return shown


def _query(form: CompareForm, asset: Asset | None) -> str:
    """Of the address where the same is compared again. A picture from outside has none."""
    picture = {"asset": asset.pk} if asset else {}
    return urlencode({**picture, **form.options})


# --- marks ----------------------------------------------------------------------------------------------------


@require_POST
@for_members
def mark(request: MemberRequest) -> HttpResponse:
    """Keep what somebody found the better, change it, or take it back."""
    form = MarkForm(request.POST, sides=comparing.sides())
    if not form.is_valid():  # an index of another kind may have taken over since the page was made
        return HttpResponseBadRequest("These two can no longer be compared. Load the page again.")
    (left, right), sha256 = form.sides, form.cleaned_data["query_sha256"]
    own = Preference.objects.between(left.name, right.name).filter(user=request.user, query_sha256=sha256)
    if form.cleaned_data["better"]:
        first, second = sorted([left.name, right.name])
        Preference.objects.update_or_create(
            {"better": form.better_name}, user=request.user, query_sha256=sha256, first=first, second=second
        )
    else:
        own.delete()
    address = request.POST.get("address", "")
    if not is_fragment(request):
        return redirect(f"{reverse('search:compare')}?{address}")
    return render(request, "search/_mark.html", {"address": address, **_marks(request, left, right, sha256)})


def _marks(request: MemberRequest, left: Side, right: Side, sha256: str) -> dict[str, Any]:
    """What was said of the pair: by this person of this picture, and by all of all."""
    of_pair = Preference.objects.between(left.name, right.name)
    tally = of_pair.tallies().first()
    chance = _chance(tally["first_count"], tally["second_count"]) if tally else 1.0
    own = of_pair.filter(user=request.user, query_sha256=sha256).first()
    said = own.better if own else None
    return {
        "left": left, "right": right, "sha256": sha256, "own": own, "tally": tally, "chance": chance,
        "is_left": said == left.name, "is_right": said == right.name, "is_alike": said == "",
    }  # fmt: skip


def _chance(first: int, second: int) -> float:
    """How likely marks as one-sided as these are where neither is the better."""
    return paired_significance([1.0] * first + [0.0] * second, [0.0] * first + [1.0] * second).p_value


# --- one after another ----------------------------------------------------------------------------------------


@require_safe
@for_members
def another(request: MemberRequest) -> HttpResponse:
    """The same comparison with an asset drawn at random."""
    ready = Asset.objects.visible_to(request.user).filter(status=Asset.Status.READY).order_by("pk")
    span = ready.aggregate(first=Min("pk"), last=Max("pk"))
    query = request.GET.copy()
    if span["first"] is not None:
        drawn = span["first"] + secrets.randbelow(span["last"] - span["first"] + 1)
        asset_ids = ready.filter(pk__gte=drawn).values_list("pk", flat=True)
        query["asset"] = str(asset_ids[:1].get())
    return redirect(f"{reverse('search:compare')}?{query.urlencode()}")
