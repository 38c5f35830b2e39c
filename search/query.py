"""The only reader of vectors: like_each, like_all and like_asset of pictures, find_similar of vectors -> Answer."""

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter

import numpy as np
from django.core.cache import cache
from django.core.exceptions import EmptyResultSet
from django.utils.translation import gettext_noop as _

from gallery.errors import Code, Refused
from gallery.models import Asset, AssetQuerySet, Tag
from search import calibration, nearest, pictures, rules, serving, stored, telemetry, vectors, way, wire
from search.answers import Answer, Hit, How
from search.metrics import COSINE, Metric
from search.models import Encoder, Projection, Rule
from search.nearest import Found, MorePass, Passing
from search.pictures import Picture
from search.serving import Serving
from search.vectors import FloatArray
from search.way import Way

DEFAULT_K, MAX_K = 10, 200
#: Fetched beyond what is wanted, where some may be hidden or stand for others; and the most that is ever fetched.
_SURPLUS, _FETCHED_MOST = 20, 2000


@dataclass(frozen=True)
class Wanted:
    """What a search is to give back."""

    k: int = DEFAULT_K
    #: The assets to search among; None for every asset.
    among: AssetQuerySet | None = None
    metric: Metric = COSINE
    min_similarity: float | None = None
    #: Near-identical hits as one, with a count; among the 2,000 nearest.
    collapse: bool = False


@dataclass(frozen=True)
class Part:
    """Something to search with: a picture from outside or a stored asset, and how much it counts beside others.

    A weight below zero leads away from it.
    """

    picture: Picture
    weight: float = 1.0

    @property
    def asset(self) -> Asset | None:
        return self.picture.source if isinstance(self.picture.source, Asset) else None


def active_encoder() -> Encoder:
    """The encoder that serves. Raises Refused where none was set up."""
    found = wire.instances(Encoder, "is_active", [])
    if not found:
        raise Refused(Code.ENCODER_UNAVAILABLE, _("No encoder is set up. Run `manage.py prepare`."))
    return found[0]


@telemetry.searching()
def like_each(parts: Sequence[Part], wanted: Wanted | None = None, *, at: Serving | None = None) -> list[Answer]:
    """What looks like each of the parts, an answer for each; stored assets left out of their own. Raises Refused.

    By the encoder that serves and its index, or by what is said with `at`.
    """
    row, started = at.row if at else active_encoder(), time.perf_counter()
    queries = _vectors_of(parts, row, is_asked_by_people=at is None)
    encode_ms = _ms_since(started)
    return [
        find_similar(query, row, wanted, but=_assets([part]), at=at).after_encoding(encode_ms)
        for part, query in zip(parts, queries, strict=True)
    ]


@telemetry.searching()
def like_all(parts: Sequence[Part], wanted: Wanted | None = None) -> Answer:
    """What looks like all of the parts together, stored assets among them left out. Raises Refused."""
    row, started = active_encoder(), time.perf_counter()
    if any(part.picture.turned for part in parts):
        raise Refused(Code.INVALID, _("Pictures that are combined cannot be turned as well."))
    directions = np.concatenate(_vectors_of(parts, row))
    between = combined(directions, [part.weight for part in parts])
    encode_ms = _ms_since(started)
    return find_similar(between, row, wanted, but=_assets(parts)).after_encoding(encode_ms)


def like_asset(asset: Asset, wanted: Wanted | None = None) -> Answer:
    """What looks like a stored asset, itself left out. Raises Refused."""
    [answer] = like_each([Part(Picture(asset))], wanted)
    return answer


def _vectors_of(parts: Sequence[Part], row: Encoder, *, is_asked_by_people: bool = True) -> list[FloatArray]:
    """Unit vectors of each part, (v, dimensions) float32; what is stored is not encoded again."""
    known = [_stored_vector(part, row) for part in parts]
    encoded = _encoded([part for part, vector in zip(parts, known, strict=True) if vector is None], row)
    if encoded and is_asked_by_people:
        _remember(row, np.stack([vectors_of_one[0] for vectors_of_one in encoded]))
    made = iter(encoded)
    return [next(made) if vector is None else vector for vector in known]


def _stored_vector(part: Part, row: Encoder) -> FloatArray | None:
    if part.asset is None or part.picture.region or part.picture.turned:
        return None
    return vector_of(part.asset, row)[None, :]


def _encoded(parts: Sequence[Part], row: Encoder) -> list[FloatArray]:
    if not parts:
        return []
    with telemetry.encoding():
        return pictures.encode([part.picture for part in parts], row)


#: Seconds.
_SEEN_S = 3600
#: It would be a pity to lose some, not a fault: no search waits for the disk.
_REMEMBER = (
    "WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)) "
    "INSERT INTO search_recentquery (encoder_id, vector, created) SELECT %s, %b::halfvec, now() FROM unhurried"
)


def _remember(row: Encoder, queries: FloatArray) -> None:
    """What people search with is what an index is measured with; who turns pages asks nothing new."""
    new = [query for query in map(wire.halfvec, queries) if cache.add(_seen(query), 1, _SEEN_S)]
    if new:
        with wire.cursor() as cursor:
            for query in new:  # one as a rule, and many at once would take a pipeline to be made
                cursor.execute(_REMEMBER, (row.pk, query))


def _seen(query: wire.Wire) -> str:
    return f"search.seen.{hashlib.sha256(query).hexdigest()}"


def vector_of(asset: Asset, row: Encoder) -> FloatArray:
    """The stored vector of an asset, (dimensions,) float32. Raises Refused where there is none yet."""
    own = stored.of([asset.pk], row).get(asset.pk)
    if own is None:
        failed, pending = _("“%(title)s” could not be read."), _("“%(title)s” is still being analysed; try again soon.")
        message = failed if asset.status == Asset.Status.FAILED else pending
        raise Refused(Code.NOT_SEARCHABLE, message, {"title": asset.title})
    return own


def combined(unit_vectors: FloatArray, weights: Sequence[float]) -> FloatArray:
    """The direction between several: the weighted sum of (n, d) unit vectors, at unit length, (d,) float32.

    Raises Refused where they cancel each other out.
    """
    between = np.asarray(weights, np.float32) @ unit_vectors
    if np.linalg.norm(between) < 1e-3 * np.abs(weights).sum():
        raise Refused(Code.INVALID, _("These pictures cancel each other out: nothing is left to search for."))
    whole: FloatArray = vectors.unit(between[None, :])[0]
    return whole


def find_similar(
    query: FloatArray,
    row: Encoder,
    wanted: Wanted | None = None,
    *,
    but: Sequence[int] = (),
    at: Serving | None = None,
) -> Answer:
    """The k assets nearest to a unit vector, nearest first, as the rules would have it; `but` are left out.

    `query` is (dimensions,), or (v, dimensions) for what is nearest to any of several. Whenever k such assets exist,
    k come back.
    """
    started = time.perf_counter()
    at = at or serving.of(row)  # and not before the picture is encoded: by then another index may serve
    hits, how = _Search(np.atleast_2d(query), wanted or Wanted(), frozenset(but), at).hits()
    answer = Answer(row.name, how, hits, {"search": _ms_since(started)})
    telemetry.record(answer)
    return answer


@dataclass
class _Search:
    """One search on its way to an answer."""

    queries: FloatArray
    wanted: Wanted
    but: frozenset[int]
    at: Serving

    def hits(self) -> tuple[list[Hit], How]:
        """As many as are wanted. More are fetched where rules hide some or one stands for many."""
        at_work = list(Rule.objects.enabled()) if self.at.has_rules else []
        fetched, among = self.wanted.k, self.wanted.among
        if at_work or self.wanted.collapse:
            fetched = max(rules.depth(fetched, at_work), 2 * fetched + _SURPLUS)
        fetched += len(self.but)
        while True:
            found, how = self._found(fetched, among)
            hits = self._ranked(found, at_work)
            if len(hits) >= self.wanted.k or self._is_all(found, fetched):
                return self._numbered(hits), how
            fetched, among = min(_FETCHED_MOST, 4 * fetched), rules.without_hidden(among, at_work)

    def _is_all(self, found: Found, fetched: int) -> bool:
        """Whether fetching more would bring nothing that is wanted."""
        return len(found) < fetched or fetched >= _FETCHED_MOST or not self._is_near(found[-1][1])

    def _is_near(self, distance: float) -> bool:
        least = self.wanted.min_similarity
        return least is None or self._similarity(distance) >= least

    def _similarity(self, distance: float) -> float:
        return self.wanted.metric.similarity(distance, self.at.row.dimensions)

    def _found(self, count: int, among: AssetQuerySet | None) -> tuple[Found, How]:
        """By the way that was chosen; by the exact one where that falls short."""
        try:
            passing = None if among is None else Passing(among)
        except EmptyResultSet:
            return [], How(exact=True, metric=self.wanted.metric.name, filters="ranked")
        choose = partial(way.choose, self.at.build, count - len(self.but), self.wanted.metric, passing)
        chosen = choose()
        if chosen.most is not None:
            try:
                return self._nearest(count, passing, chosen), chosen.how
            except MorePass:
                chosen = choose()
        if chosen.through:
            with suppress(Projection.DoesNotExist):  # another index has taken over since
                found = self._nearest(count, passing, chosen)
                if len(found) >= count:
                    return found, chosen.how
        chosen = way.exact(self.wanted.metric, passing)
        return self._nearest(count, passing, chosen), chosen.how

    def _nearest(self, count: int, passing: Passing | None, chosen: Way) -> Found:
        """To any of the queries."""
        best: dict[int, float] = {}
        for query in self.queries:
            for asset_id, distance in nearest.nearest(
                self.at.row, query, count,
                metric=self.wanted.metric, through=chosen.through, passing=passing, most=chosen.most,
            ):  # fmt: skip
                best[asset_id] = min(distance, best.get(asset_id, np.inf))
        return sorted(best.items(), key=itemgetter(1))[:count]

    def _ranked(self, found: Found, at_work: Sequence[Rule]) -> list[Hit]:
        hits = self._hits(found)
        if at_work:
            Tag.objects.keep_with([hit.asset for hit in hits])
            hits = rules.applied(hits, at_work)
        if not self.wanted.collapse:
            return hits
        return rules.collapsed(hits, stored.of([hit.asset.pk for hit in hits], self.at.row))

    def _hits(self, found: Found) -> list[Hit]:
        near = {
            asset_id: distance for asset_id, distance in found if asset_id not in self.but and self._is_near(distance)
        }
        found_assets = wire.instances(Asset, "id = ANY(%s) AND trashed IS NULL", [list(near)], without=["words"])
        assets = {asset.pk: asset for asset in found_assets}
        return [
            Hit(0, self._similarity(distance), distance, assets[asset_id])
            for asset_id, distance in near.items()
            if asset_id in assets  # neither deleted nor moved to the trash just now
        ]

    def _numbered(self, hits: Sequence[Hit]) -> list[Hit]:
        numbered = [replace(hit, rank=rank) for rank, hit in enumerate(hits[: self.wanted.k], start=1)]
        return calibration.calibrated(numbered, self.at.row, self.wanted.metric)


def _assets(parts: Sequence[Part]) -> list[int]:
    return [part.asset.pk for part in parts if part.asset]


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
