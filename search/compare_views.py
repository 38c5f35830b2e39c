"""The page that compares two ways to search, and what people found the better."""

import math
import secrets
from dataclasses import astuple, dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.core import signing
from django.db.models import Exists, Max, Min, OuterRef
from django.http import HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import replace_url

from gallery.errors import Refused
from gallery.models import Asset
from gallery.web import MemberRequest, for_members, is_fragment, respond, takes_forms
from search import comparing, query_pictures
from search.asked import Asked, Tile, tiles
from search.comparing import Comparison, Side
from search.forms import CompareForm, MarkForm, PictureForm
from search.models import Embedding, Preference, PreferenceQuerySet
from search.pictures import Picture

_NEEDED = 2
_SALT = "search.compare_views"


@dataclass
class Shown:
    """What was compared, or why nothing was."""

    tile: Tile | None = None
    comparison: Comparison | None = None
    refused: Refused | None = None
    sha256: str = ""

    @property
    def asked(self) -> bool:
        return bool(self.comparison or self.refused)

    @property
    def status(self) -> HTTPStatus:
        return self.refused.http_status if self.refused else HTTPStatus.OK


@takes_forms
@for_members
def compare(request: MemberRequest) -> HttpResponse:
    sides = comparing.sides()
    if len(sides) < _NEEDED:
        return render(request, "search/compare_nothing.html", {"sides": sides})
    form, shown = _form(request, sides), Shown()
    if request.FILES:
        try:
            return redirect(f"{reverse('search:compare')}?{_query(form, _kept(request))}")
        except Refused as refused:
            shown.refused = refused
    elif request.method == "POST" or form.has_query:
        shown = _show(request, form)
    address = _query(form, form.asked)
    context = {"form": form, "found": shown, "carried": urlencode(form.options), "address": address}
    if shown.comparison and shown.comparison.can_be_judged:
        left, right = (column.side.identity for column in (shown.comparison.left, shown.comparison.right))
        context |= _marks(request.user, Judged(shown.sha256, left, right, form.cleaned_data["blind"]))
    elif not shown.asked:
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
    return CompareForm(given, sides=sides)


def _kept(request: MemberRequest) -> Asked:
    """A picture from outside, so that there is an address to find the comparison at. Raises Refused."""
    form = PictureForm(request.POST, request.FILES)
    form.check()
    return Asked(query_pictures.keep(form.cleaned_data["image"], request.user).key)


def _show(request: MemberRequest, form: CompareForm) -> Shown:
    shown = Shown()
    try:
        form.check()
        [shown.tile] = tiles(form.asked, request.user)
        picture = Picture(shown.tile.source)
        shown.sha256 = picture.sha256
        left, right = form.sides
        if form.cleaned_data["blind"]:
            left, right = comparing.shuffled(left, right, by=f"{request.user.pk} {shown.sha256}")
        shown.comparison = comparing.compare(picture, form.cleaned_data["k"], left, right)
        shown.refused = shown.comparison.refused
    except Refused as refused:
        shown.refused = refused
    return shown


def _query(form: CompareForm, asked: Asked) -> str:
    """Of the address where the same is compared again."""
    return "&".join(filter(None, [asked.query(), urlencode(form.options)]))


# --- marks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """What is to be judged. The page carries it, signed, so that marks are of what was shown."""

    sha256: str
    left: str
    right: str
    is_blind: bool

    def signed(self) -> str:
        return signing.dumps(astuple(self), salt=_SALT)

    @classmethod
    def read(cls, signed: str) -> Self:
        """Raises BadSignature."""
        return cls(*signing.loads(signed, salt=_SALT))

    @property
    def marks(self) -> PreferenceQuerySet:
        """By all, of all pictures."""
        return Preference.objects.between(self.left, self.right)

    def own(self, user: User) -> PreferenceQuerySet:
        return self.marks.filter(user=user, query_sha256=self.sha256)


@require_POST
@for_members
def mark(request: MemberRequest) -> HttpResponse:
    """Keep what somebody found the better, change it, or take it back."""
    form = MarkForm(request.POST)
    try:
        judged = Judged.read(request.POST.get("judged", ""))
    except signing.BadSignature:
        return HttpResponseBadRequest("Load the page again.")
    if not form.is_valid():
        return HttpResponseBadRequest("Say which is better.")
    better = form.cleaned_data["better"]
    if better == "none":
        judged.own(request.user).delete()
    else:
        _keep(judged, request.user, {"left": judged.left, "right": judged.right}.get(better, ""))
    address = request.POST.get("address", "")
    if not is_fragment(request):
        return redirect(f"{reverse('search:compare')}?{address}")
    return render(request, "search/_mark.html", {"address": address, **_marks(request.user, judged)})


def _keep(judged: Judged, user: User, better: str) -> None:
    """A mark that is changed is no longer blind: it was told meanwhile which was which."""
    first, second = sorted([judged.left, judged.right])
    changed = {"better": better, "is_blind": False}
    made = {**changed, "is_blind": judged.is_blind}
    Preference.objects.update_or_create(
        changed, create_defaults=made, user=user, query_sha256=judged.sha256, first=first, second=second
    )


def _marks(user: User, judged: Judged) -> dict[str, Any]:
    """What was said: by this person of this picture, and then, by all of the two."""
    own = judged.own(user).first()
    said = own.better if own else None
    tally = judged.marks.tallies().first() if own else None
    return {
        "judged": judged, "own": own, "tally": tally,
        "chance": tally and _chance(tally["first_count"], tally["second_count"]),
        "is_left": said == judged.left, "is_right": said == judged.right, "is_alike": said == "",
    }  # fmt: skip


def _chance(first: int, second: int) -> float:
    """How likely marks as one-sided as these are where neither is the better: the two-sided sign test's p."""
    marks = first + second
    as_far = sum(math.comb(marks, fewer) for fewer in range(min(first, second) + 1))
    return float(min(1, 2 * as_far / 2**marks))


# --- one after another ----------------------------------------------------------------------------------------


@require_safe
@for_members
def another(request: MemberRequest) -> HttpResponse:
    """The same comparison with an asset drawn at random, of those that both encoders have embedded."""
    query = request.GET.copy()
    known = Asset.objects.visible_to(request.user).order_by("pk")
    for side in ("left", "right"):
        encoder, _, _ = query.get(side, "").partition("-")
        if encoder.isdecimal():
            own = Embedding.objects.embedded().filter(encoder=int(encoder), asset=OuterRef("pk"))
            known = known.filter(Exists(own))
    span = known.aggregate(first=Min("pk"), last=Max("pk"))
    if span["first"] is not None:
        drawn = span["first"] + secrets.randbelow(span["last"] - span["first"] + 1)
        query["asset"] = str(known.filter(pk__gte=drawn).values_list("pk", flat=True).first() or span["first"])
    return redirect(f"{reverse('search:compare')}?{query.urlencode()}")
