"""Work in progress: what workers are at, how far and how fast, and what could not be done, by reason."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from gallery.import_models import Import, Refusal
from gallery.models import Asset, Viewer
from search import pipeline, switching, tasks
from search.models import Embedding, Encoder, IndexBuild
from search.switching import Standing, State

#: That a rate is measured over. Less than the latter says little of it.
_LATELY, _RATED_LEAST = timedelta(minutes=5), timedelta(seconds=5)
#: What has ended is shown for so long.
_SHOWN_FOR = timedelta(days=1)
_MOST_IMPORTS, _MOST_BUILDS, _MOST_REASONS = 20, 5, 20
#: Assets that are tried again in one transaction.
_AGAIN_AT_ONCE = 2000
#: How long the badge of all pages may show the same, seconds.
_BADGE_KEPT_S = 2
#: An encoder beside the one that serves has vectors as new as this while it is filled.
_MAKING = timedelta(seconds=30)


# --- imports ----------------------------------------------------------------------------------------------------


def imports_of(user: Viewer) -> list[Import]:
    """Under way, paused, or ended not long ago; `has_passing` where some of what was refused may pass now."""
    passing = Refusal.objects.filter(run=OuterRef("pk"), may_pass=True)
    recent = Q(state__in=Import.OPEN) | Q(finished__gt=timezone.now() - _SHOWN_FOR)
    found = Import.objects.visible_to(user).for_display().filter(recent)
    return list(found.annotate(has_passing=Exists(passing))[:_MOST_IMPORTS])


# --- embedding --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filling:
    """How far an encoder is, and how fast of late."""

    standing: Standing
    per_second: float | None

    @property
    def done(self) -> int:
        return int(self.standing.row.asset_count - self.standing.pending)

    @property
    def time_left(self) -> timedelta | None:
        if not (self.per_second and self.standing.pending and self.standing.is_filled):
            return None
        return timedelta(seconds=round(self.standing.pending / self.per_second))


def fillings(user: Viewer) -> list[Filling]:
    """The encoder that serves; for staff, others too that are worked at or were left half way."""
    rates = _rates()
    return [
        Filling(standing, rates.get(standing.row.pk) or standing.row.images_per_s)
        for standing in switching.standings()
        if standing.row.is_active or (is_staff(user) and _is_half_way(standing))
    ]


def is_staff(user: Viewer) -> bool:
    return bool(getattr(user, "is_staff", False))


def _is_half_way(standing: Standing) -> bool:
    has_begun = standing.row.embedded_count and standing.pending
    return bool(standing.is_moving or has_begun or standing.state == State.RETIRING)


def _rates() -> dict[int, float]:
    """Pictures a second by each encoder, of the last minutes."""
    made = Embedding.objects.filter(embedded_at__gt=timezone.now() - _LATELY).order_by()
    counted = made.values_list("encoder").annotate(count=Count("pk"), first=Min("embedded_at"))
    spans = {encoder: (count, timezone.now() - first) for encoder, count, first in counted}
    return {encoder: count / took.total_seconds() for encoder, (count, took) in spans.items() if took > _RATED_LEAST}


# --- index builds -----------------------------------------------------------------------------------------------

_PHASES = {
    "building index: performing k-means": _("Finding centres"),
    "building index: assigning tuples": _("Assigning vectors"),
    "building index: sorting tuples": _("Sorting"),
    "building index: loading tuples": _("Writing the index"),
}
#: Of the builds that are there, by index name: an index in groups is several.
_BUILT = """
    SELECT index_relid, phase, tuples_done, tuples_total FROM pg_stat_progress_create_index
    WHERE relid = 'search_embedding'::regclass OR relid = 'search_code'::regclass LIMIT 1
"""
#: How far a phase was when somebody first looked is known for so many seconds, and tells a rate after so many.
_PHASE_KEPT_S, _PHASE_LEAST_S = 3600, 1


@dataclass(frozen=True)
class Building:
    """A build, and how far it is while it is made."""

    build: IndexBuild
    phase: str = ""
    #: Vectors, in this phase; some phases do not count them.
    per_second: float | None = None
    expected: timedelta | None = None

    @property
    def is_going_on(self) -> bool:
        return self.build.state == IndexBuild.State.BUILDING

    @property
    def is_paused(self) -> bool:
        return self.build.state == IndexBuild.State.PAUSED

    @property
    def is_ending(self) -> bool:
        """Somebody has paused or cancelled it, and what there is of it goes."""
        return self.is_going_on and bool(self.build.error)

    @property
    def may_be_cancelled(self) -> bool:
        return self.is_paused or (self.is_going_on and not self.is_ending)

    @property
    def may_be_paused(self) -> bool:
        """One to compare with was asked for by a command, which ends with it."""
        return self.is_going_on and not self.is_ending and not self.build.is_to_compare

    @property
    def may_be_tried_again(self) -> bool:
        return self.build.state == IndexBuild.State.FAILED and self.build.encoder.is_active

    @property
    def took(self) -> timedelta:
        return (self.build.finished or timezone.now()) - self.build.started

    @property
    def percent(self) -> int | None:
        """By how long the last of its kind took."""
        return min(99, int(100 * (self.took / self.expected))) if self.expected else None

    @property
    def time_left(self) -> timedelta | None:
        return max(self.expected - self.took, timedelta(seconds=1)) if self.expected else None


def buildings() -> list[Building]:
    """Builds under way or paused, and those that failed not long ago and were followed by none that did not."""
    failed = Q(state=IndexBuild.State.FAILED, finished__gt=timezone.now() - _SHOWN_FOR) & ~Q(error=IndexBuild.PAUSED)
    rows = IndexBuild.objects.select_related("encoder").filter(
        Q(state__in=[IndexBuild.State.BUILDING, IndexBuild.State.PAUSED]) | failed
    )
    return [_told(row) for row in rows.exclude(Exists(_later_that_served()))[:_MOST_BUILDS]]


def _later_that_served() -> QuerySet[IndexBuild]:
    served = IndexBuild.objects.filter(encoder=OuterRef("encoder"), pk__gt=OuterRef("pk"))
    return served.filter(state__in=[IndexBuild.State.READY, IndexBuild.State.REPLACED])


def _told(row: IndexBuild) -> Building:
    return Building(row, *_phase(), _expected(row)) if row.state == IndexBuild.State.BUILDING else Building(row)


def _phase() -> tuple[str, float | None]:
    """What Postgres is at, and how fast; between its statements, vectors are read or the index is measured."""
    with connection.cursor() as cursor:
        cursor.execute(_BUILT)
        found = cursor.fetchone()
    if found is None:
        return str(_("Reading vectors or measuring")), None
    index_id, phase, done, total = found
    share = f" {100 * done // total} %" if total else ""
    return f"{_PHASES.get(phase, _('Building'))}{share}", _rate(f"{index_id} {phase}", done)


def _rate(of: str, done: int) -> float | None:
    """How many a second since somebody first looked."""
    key, now = f"search.work.rate.{hashlib.sha256(of.encode()).hexdigest()}", time.time()
    first_done, first = cache.get_or_set(key, (done, now), _PHASE_KEPT_S) or (done, now)
    return (done - first_done) / (now - first) if done > first_done and now - first >= _PHASE_LEAST_S else None


def _expected(row: IndexBuild) -> timedelta | None:
    """As long as the last of its kind took for each row."""
    before = IndexBuild.objects.filter(encoder=row.encoder_id, kind=row.kind, rows__gt=0, finished__isnull=False)
    last = before.exclude(state=IndexBuild.State.FAILED).order_by("-pk").first()
    return (last.finished - last.started) * (row.rows / last.rows) if last and last.finished else None


# --- what could not be done -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reason:
    """Why some assets cannot be searched by an encoder."""

    encoder_id: int
    encoder: str
    reason: str
    count: int


def reasons(user: Viewer) -> list[Reason]:
    """The most frequent first."""
    failed = Embedding.objects.failed().visible_to(user).with_reason().order_by()
    counted = failed.values_list("encoder_id", "encoder__name", "reason").annotate(count=Count("pk"))
    return [Reason(*row) for row in counted.order_by("-count", "reason")[:_MOST_REASONS]]


def failures(user: Viewer, encoder_id: int, reason: str) -> QuerySet[Embedding]:
    """Of one reason, newest first; without the vectors, which they have not."""
    found = Embedding.objects.failed().visible_to(user).with_reason().filter(encoder=encoder_id, reason=reason)
    return found.select_related("asset", "encoder").defer("vector").order_by("-pk")


def try_again(failed: QuerySet[Embedding], row: Encoder) -> int:
    """Let workers embed anew what failed; how many."""
    assets = list(failed.order_by().values_list("asset_id", flat=True))
    for start in range(0, len(assets), _AGAIN_AT_ONCE):
        pipeline.retry(assets[start : start + _AGAIN_AT_ONCE], row)
    if assets:
        tasks.queue_pending()
    return len(assets)


# --- all of it --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    imports: list[Import]
    fillings: list[Filling]
    buildings: list[Building]
    reasons: list[Reason]

    @property
    def is_going_on(self) -> bool:
        """Whether the page will soon say something else."""
        return any(self._moving())

    def _moving(self) -> Iterator[bool]:
        yield from (row.is_under_way for row in self.imports)
        yield from (filling.standing.is_moving for filling in self.fillings)
        yield from (building.is_going_on for building in self.buildings)


def of(user: Viewer) -> Work:
    """What a member sees of it: their own imports, the embedding of the gallery; staff see all."""
    return Work(imports_of(user), fillings(user), buildings() if is_staff(user) else [], reasons(user))


# --- in the corner of every page --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Badge:
    importing: int = 0  # pictures of imports under way that are not dealt with yet
    percent: int | None = None
    pending: int = 0
    is_building: bool = False
    is_filling: bool = False
    is_paused: bool = False

    @property
    def left(self) -> int:
        return self.importing + self.pending

    @property
    def is_going_on(self) -> bool:
        return bool((self.left and not self.is_paused) or self.is_building or self.is_filling)


def badge(user: User) -> Badge:
    key = f"search.work.badge.{'staff' if user.is_staff else user.pk}"
    found: Badge | None = cache.get(key)
    if found is None:
        found = _badge(user)
        if found.is_going_on:  # what begins now is seen by the next page
            cache.set(key, found, _BADGE_KEPT_S)
    return found


def _badge(user: User) -> Badge:
    done = F("stored") + F("duplicates") + F("refused")
    going_on = Q(state__in=Import.UNDER_WAY)
    imports = Import.objects.visible_to(user).open().order_by().aggregate(
        total=Sum("total", filter=going_on), done=Sum(done, filter=going_on), paused=Count("pk", filter=~going_on),
        going_on=Count("pk", filter=going_on),
    )  # fmt: skip
    total, imported = imports["total"] or 0, imports["done"] or 0
    serving: Any = Encoder.objects.filter(is_active=True).annotate(**_asides(user)).first()
    is_embedding = bool(serving and serving.pending and serving.work == Encoder.Work.FILL)
    return Badge(
        importing=max(0, total - imported),
        percent=100 * imported // total if total else None,
        pending=serving.pending if serving else 0,
        is_building=bool(serving and is_staff(user) and serving.is_building),
        is_filling=bool(serving and is_staff(user) and serving.is_filling),
        is_paused=not (imports["going_on"] or is_embedding)
        and bool(imports["paused"] or (serving and serving.pending)),
    )


def _asides(user: User) -> dict[str, Any]:
    """What is asked in passing of the encoder that serves, in one query."""
    assets = Asset.objects.kept().filter(status=Asset.Status.PENDING)
    own = assets if user.is_staff else assets.filter(owner=user)
    made = Embedding.objects.filter(embedded_at__gt=timezone.now() - _MAKING)
    counted = own.order_by().annotate(every=Value(1)).values("every").annotate(count=Count("pk")).values("count")
    return {
        "pending": Coalesce(Subquery(counted), 0),
        "is_building": Exists(IndexBuild.objects.filter(state=IndexBuild.State.BUILDING)),
        "is_filling": Exists(made.exclude(encoder=OuterRef("pk"))),
    }
