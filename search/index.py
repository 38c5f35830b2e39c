"""The only builder of vector indexes: plan, build, measure and tune, swap, drop; and measure again as time goes by."""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import takewhile

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Max, Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from search import codes, kinds, stored, tuning
from search.kinds import Coarse, Parameters
from search.kinds.base import ROWS_A_LIST
from search.models import Code, Encoder, IndexBuild, IndexBuildQuerySet, Measurement, Projection
from search.nearest import Through, plan_of, statements
from search.tuned import MEASURED_K, RECALL_SLACK, Step
from search.tuning import Trial, Tuned
from search.vectors import FloatArray

logger = logging.getLogger(__name__)

#: Any number that nothing else in this database locks.
_BUILD_LOCK = 0x41535345
#: Growth since the build after which the centres no longer fit.
_REBUILD_FACTOR = 2
#: What made a build fail is likely to make the next fail, and each takes minutes of both cores: the pause doubles with
#: each failure in a row.
_PAUSE_AFTER_FAILURE, _PAUSE_MOST = timedelta(hours=1), timedelta(days=1)
#: Measured again when the gallery has changed by this share, or after this time.
_MEASURE_CHANGE, _MEASURE_EVERY = 0.1, timedelta(days=1)
#: Searches that chose the old index just before another took over have found what they look for by then.
_GRACE_S = 1.0
_NOT_BUILT = _("The index was not built")


class BuildFailed(Exception):
    """An index could not be built; the one that served still does."""


# --- when ---------------------------------------------------------------------------------------------------------


def kind_wanted(row: Encoder) -> str:
    """Chosen by command for this encoder, or by setting for all."""
    return row.index_kind or settings.INDEX_KIND


def is_due(row: Encoder) -> bool:
    """An index would pay and there is none, or the one there is no longer does; and no build has failed just now."""
    serving, wanted = IndexBuild.objects.serving(row), kind_wanted(row)
    if wanted == kinds.EXACT:
        return serving is not None
    rows = stored.count(row)
    if rows < settings.INDEX_MIN_ROWS or row.index_builds.paused().exists() or _has_failed_lately(row, wanted, rows):
        return False
    return serving is None or serving.kind != wanted or _has_worn_out(serving, rows)


def _has_failed_lately(row: Encoder, kind: str, rows: int) -> bool:
    """With about as many rows as there are now."""
    failed = IndexBuild.objects.failed_in_a_row(row, kind).filter(rows__gt=rows // _REBUILD_FACTOR)
    pause = min(_PAUSE_MOST, _PAUSE_AFTER_FAILURE * 2 ** min(failed.count(), 10) / 2)
    return failed.filter(finished__gt=timezone.now() - pause).exists()


def _has_worn_out(build: IndexBuild, rows: int) -> bool:
    if build.tuning is None or build.recall is None or build.recall < settings.SEARCH_TARGET_RECALL - RECALL_SLACK:
        return True
    return rows >= _REBUILD_FACTOR * build.rows


def is_measurement_due(row: Encoder) -> bool:
    build = IndexBuild.objects.serving(row)
    if build is None or build.tuning is None:
        return False
    last = build.last_check
    if last is None or last.taken < timezone.now() - _MEASURE_EVERY:
        return True
    return abs(stored.count(row) - last.rows) > _MEASURE_CHANGE * last.rows


# --- build --------------------------------------------------------------------------------------------------------


def build(row: Encoder, *, kind: str | None = None, parameters: Parameters | None = None) -> IndexBuild | None:
    """Build an index beside the serving one, measure it, and let it take over. Raises BuildFailed.

    `kind` is remembered for this encoder. Of the kind "exact" nothing is built: the serving index goes, and None
    comes back.
    """
    name = kind or kind_wanted(row)
    with _one_at_a_time(), _generous():
        _remove_leftovers()
        row.index_builds.paused().update(state=IndexBuild.State.FAILED)  # this one comes instead
        made = None if name == kinds.EXACT else _build(_planned(row, name, parameters))
        if kind:  # what the setting says need not be remembered: it may change
            row.index_kind = "" if kind == settings.INDEX_KIND else kind
            row.save(update_fields=["index_kind"])
        _serve(row, made)
        _replace(beside(row).filter(kind=name), None, IndexBuild.State.REPLACED)  # it would be compared with itself
        return made


@contextmanager
def trial(row: Encoder, kind: str) -> Iterator[IndexBuild]:
    """An index built, tuned and measured as one that is to serve; it never does, and goes in the end.

    Raises BuildFailed.
    """
    with _one_at_a_time(), _generous():
        _remove_leftovers()
        before = IndexBuild.objects.aggregate(last=Coalesce(Max("pk"), 0))["last"]
        try:
            made = _build(_planned(row, kind, is_to_compare=True))
            try:
                yield made
            finally:
                _drop(made)
        finally:  # no build and no measurement of what serves: the history of these is for the admin, and for pauses
            IndexBuild.objects.filter(encoder=row, pk__gt=before).delete()


def _planned(row: Encoder, name: str, parameters: Parameters | None = None, **fields: bool) -> IndexBuild:
    rows = stored.count(row)
    if rows < ROWS_A_LIST:
        too_few = _("%(rows)s embeddings are too few for an index; %(least)s is the least.")
        raise BuildFailed(too_few % {"rows": rows, "least": ROWS_A_LIST})
    planned = {**kinds.get(name).parameters(rows, row.dimensions), **(parameters or {})}
    return IndexBuild.objects.create(encoder=row, kind=name, rows=rows, parameters=planned, **fields)


def _build(made: IndexBuild) -> IndexBuild:
    try:
        _create(made)
        _check_wanted(made)
        tuned = tuning.tune(made)
        tuning.record_trials(made, tuned.trials)
        steps = tuple(takewhile(partial(is_used, made, _typical(made)), tuned.tuning.steps))
        check = _checked(made, tuned, steps)
        _check_wanted(made)
    except Exception as error:
        _drop(made)
        reason = _why_unwanted(made) or str(error)
        _end(made, reason)
        raise BuildFailed(f"{_NOT_BUILT}: {reason}") from error
    serving = replace(tuned.tuning, steps=steps)
    made.tuning, made.recall = serving.to_json(), check.worst
    tuning.record_check(made, serving, check, made.rows)
    return made


def cancel(made: IndexBuild) -> bool:
    """Whether it was being built, or paused. What serves goes on, and for an hour none is built by itself."""
    paused = IndexBuild.objects.paused().filter(pk=made.pk)
    ended = paused.update(state=IndexBuild.State.FAILED, error=IndexBuild.CANCELLED, finished=timezone.now())
    return bool(ended) or _interrupt(made, IndexBuild.CANCELLED)


def pause(made: IndexBuild) -> bool:
    """Whether it was being built to serve. None is built by itself until it is resumed or cancelled.

    Nothing of it is kept, since Postgres cannot go on with half an index.
    """
    return not made.is_to_compare and _interrupt(made, IndexBuild.PAUSED)


def resume(made: IndexBuild) -> bool:
    """Whether it was paused. One may be built in its place."""
    return bool(IndexBuild.objects.paused().filter(pk=made.pk).update(state=IndexBuild.State.FAILED))


def _interrupt(made: IndexBuild, reason: str) -> bool:
    building = IndexBuild.objects.filter(pk=made.pk, state=IndexBuild.State.BUILDING, error="")
    if not building.update(error=reason):
        return False
    with connection.cursor() as cursor:  # whose builder is busy with a statement that takes minutes
        cursor.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND (classid::bigint << 32 | objid::bigint) = %s",
            [_BUILD_LOCK],
        )
    return True


def _check_wanted(made: IndexBuild) -> None:
    if reason := _why_unwanted(made):
        raise BuildFailed(reason)


def _why_unwanted(made: IndexBuild) -> str:
    """What somebody has had of it while it was built; empty where nobody has."""
    return IndexBuild.objects.filter(pk=made.pk).values_list("error", flat=True).first() or ""


def _end(made: IndexBuild, reason: str) -> None:
    state = IndexBuild.State.PAUSED if reason == IndexBuild.PAUSED else IndexBuild.State.FAILED
    IndexBuild.objects.filter(pk=made.pk).update(state=state, error=reason, finished=timezone.now())


def _create(made: IndexBuild) -> None:
    """CREATE INDEX, while searches and writes go on; of a kind that has codes, make those first."""
    kind = kinds.get(made.kind)
    if isinstance(kind, Coarse):
        codes.make(made, kind)
        _analyze("search_code")  # or the planner takes it for empty, and compares each row with each
    with connection.cursor() as cursor:
        cursor.execute(f"SET maintenance_work_mem = '{max(256, kind.memory_mb(made.plan))}MB'")
    try:
        _execute(kind.create_indexes(made.plan))
    except OperationalError as error:
        if "shared memory" not in str(error):
            raise
        _drop_indexes(made)  # containers have little; alone it takes longer, and none
        _execute(["SET max_parallel_maintenance_workers = 0", *kind.create_indexes(made.plan)])
    if isinstance(kind, Coarse):
        codes.complete(made, kind)  # CREATE INDEX CONCURRENTLY has waited for all older transactions
    _analyze("search_embedding, search_code, gallery_asset")


def _execute(statements: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _analyze(tables: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {tables}")


@contextmanager
def _generous() -> Iterator[None]:
    """What building takes, for this connection."""
    wanted = {
        "statement_timeout": "0",
        "maintenance_work_mem": "256MB",  # and more where the kind says so
        "max_parallel_maintenance_workers": str(os.cpu_count() or 1),
    }
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} = '{value}'" for name, value in wanted.items()))
        try:
            yield
        finally:
            cursor.execute("; ".join(f"RESET {name}" for name in wanted))


def _checked(made: IndexBuild, tuned: Tuned, used: Sequence[Step]) -> Trial:
    """How the index will serve; `used` are the steps for which it does. Raises BuildFailed where it is of no use."""
    if tuned.served is None:
        most = max(trial.worst for trial in tuned.trials)
        too_little = _(
            "a recall of %(most)s is the most that %(kind)s reaches here, and SEARCH_TARGET_RECALL is %(target)s. "
            "Choose another kind, or ask for less."
        )
        told = {"most": f"{most:.3f}", "kind": made.kind, "target": settings.SEARCH_TARGET_RECALL}
        raise BuildFailed(too_little % told)
    if not used:
        raise BuildFailed(_("Postgres reads so few rows faster without it. Exact search is the better way."))
    return tuned.served


def _typical(made: IndexBuild) -> FloatArray:
    """A vector to search for: in groups, one of the largest. For a tiny group Postgres rightly reads the table."""
    sizes = made.parameters.get("lists")
    if not isinstance(sizes, list):
        _, sample = stored.sample(made.encoder, 1)
        return sample[0]  # type: ignore[no-any-return]  # numpy's stubs
    member = Code.objects.filter(build=made, part=sizes.index(max(sizes))).values_list("asset_id", flat=True)[:1]
    return next(iter(stored.of(list(member), made.encoder).values()))


def is_used(made: IndexBuild, vector: FloatArray, step: Step) -> bool:
    """Whether Postgres' planner searches through the index, as deep as the step and under a filter likewise.

    Of an index in groups, through that of the nearest.
    """
    ways = [
        statements(made.encoder, vector, step.depth, through=Through(made, step.effort)),
        statements(
            made.encoder, vector, MEASURED_K,
            through=Through(made, step.effort_under_filter(MEASURED_K)), passing=tuning.filter_for(step),
        ),
    ]  # fmt: skip
    return all(made.index_name in plan_of(nearest) for nearest, *_ in ways)


def _serve(row: Encoder, made: IndexBuild | None) -> None:
    _replace(IndexBuild.objects.filter(encoder=row, state=IndexBuild.State.READY), made, IndexBuild.State.READY)
    if made and made.recall:
        logger.info("Index %s serves: recall %.3f.", made, made.recall)


def _replace(given_up: IndexBuildQuerySet, made: IndexBuild | None, state: IndexBuild.State) -> None:
    """Let a build come into others' place in one transaction; then drop those."""
    with transaction.atomic():
        old = list(given_up.select_for_update(of=["self"]).select_related("encoder"))
        IndexBuild.objects.filter(pk__in=[build.pk for build in old]).update(state=IndexBuild.State.REPLACED)
        if made:
            made.state, made.finished = state, timezone.now()
            made.save()
    if old:
        time.sleep(_GRACE_S)
    for replaced in old:
        _drop(replaced)


# --- beside what serves -------------------------------------------------------------------------------------------


def keep_beside(row: Encoder, kind: str) -> IndexBuild:
    """Build an index that serves nobody but those who compare it with the one that does. Raises BuildFailed.

    It gets what is embedded from now on, takes space and is not measured again; one of its kind that was kept before
    goes.
    """
    with _one_at_a_time(), _generous():
        _remove_leftovers()
        serving = IndexBuild.objects.serving(row)
        if serving and serving.kind == kind:
            raise BuildFailed(_("%(kind)s serves, and can be compared as it is.") % {"kind": kind})
        made = _build(_planned(row, kind, is_to_compare=True))
        made.measurements.filter(purpose=Measurement.Purpose.CHECK).delete()  # these tell of what serves
        _replace(beside(row).filter(kind=kind), made, IndexBuild.State.BESIDE)
        return made


def drop_beside(row: Encoder, kind: str | None = None) -> int:
    """Give up what was kept to compare, of one kind or all; how many there were. Raises BuildFailed."""
    with _one_at_a_time(), _generous():
        kept = beside(row).filter(kind=kind) if kind else beside(row)
        count = kept.count()
        _replace(kept, None, IndexBuild.State.REPLACED)
        return count


def beside(row: Encoder) -> IndexBuildQuerySet:
    return IndexBuild.objects.filter(encoder=row).beside()


# --- measure ------------------------------------------------------------------------------------------------------


def measure(row: Encoder) -> IndexBuild | None:
    """Measure the serving index again; None where none serves. Raises BuildFailed while one is being built."""
    with _one_at_a_time(), _generous():
        build = IndexBuild.objects.serving(row)
        if build is None or build.tuned is None:
            return None
        tuned, trial = tuning.remeasure(build, build.tuned)
        tuning.record_check(build, tuned, trial, tuned.rows)
        build.tuning, build.recall = tuned.to_json(), tuned.steps[0].recall
        build.save(update_fields=["tuning", "recall"])
        return build


# --- drop ---------------------------------------------------------------------------------------------------------


def _drop(made: IndexBuild) -> None:
    """The projection goes last: it tells that there is something left to drop."""
    deleted = Code.objects.filter(build=made).delete()[0]
    _drop_indexes(made)
    Code.objects.filter(build=made).delete()  # dropping has waited for whoever was still making some
    if deleted:  # at once, or the next build's codes lie behind gigabytes of these, and in memory beside them
        _execute(["VACUUM search_code"])
    Projection.objects.filter(build=made).delete()


def _drop_indexes(made: IndexBuild) -> None:
    with connection.cursor() as cursor:
        named = f"^{made.index_name}(_[0-9]+)?$"
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'i' AND relname ~ %s", [named])
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def tidy() -> None:
    """Clear away what builds that were killed left behind, unless one is at work."""
    if _leftovers():
        with suppress(BuildFailed), _one_at_a_time(), _generous():
            _remove_leftovers()


def _leftovers() -> list[IndexBuild]:
    """Builds that were interrupted, and builds that serve no more whose index or codes are there still."""
    there = Q(pk__in=_built()) | Q(projection__isnull=False)
    ended = Q(state__in=[IndexBuild.State.REPLACED, IndexBuild.State.FAILED]) & there
    return list(IndexBuild.objects.filter(Q(state=IndexBuild.State.BUILDING) | ended).select_related("encoder"))


def _built() -> list[int]:
    """Ids of the builds whose index exists."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT substring(relname FROM '^embedding_[a-z]+_([0-9]+)(?:_[0-9]+)?$')::bigint FROM pg_class"
        )
        return [build for (build,) in cursor.fetchall() if build]


def _remove_leftovers() -> None:
    """What a build that was killed left behind, before it served or while it took over."""
    for dead in _leftovers():
        _drop(dead)
        if dead.state == IndexBuild.State.BUILDING:
            _end(dead, dead.error or IndexBuild.INTERRUPTED)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """One build in the whole database; the lock goes with the connection, however that ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_BUILD_LOCK])
        if not cursor.fetchone()[0]:
            raise BuildFailed(_("Another index is being built just now."))
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_BUILD_LOCK])
