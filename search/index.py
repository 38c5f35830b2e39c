"""The only builder of vector indexes: plan, build, measure and tune, swap, drop.

An index is partial to its encoder, and to its own build: `WHERE encoder_id = 3 AND asset_id <> -17`. No asset has a
negative id, so the second condition holds for every row; but the planner uses an index only for a query that states
its condition. So a query that names build 17 can use that index and no other, and one that names none is exact.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from search.metrics import recall_at_k
from search.models import Embedding, Encoder, IndexBuild
from search.query import MEASURED_K, Through, nearest
from search.vectors import FloatArray

logger = logging.getLogger(__name__)

#: pgvector's advice is 1,000 rows a list; below 30 or so, k-means has too little to learn a centre from.
ROWS_A_LIST = 50
#: Stored vectors that stand in as queries when an index is measured.
_SAMPLE = 200
#: Any number that nothing else in this database locks.
_BUILD_LOCK = 0x41535345
#: Growth since the build after which the centres no longer fit.
_REBUILD_FACTOR = 2
#: What made a build fail is likely to make the next fail; each takes minutes of both cores.
_PAUSE_AFTER_FAILURE = timedelta(hours=1)


class BuildFailed(Exception):
    """An index could not be built; the one that served still does."""


def lists_for(rows: int) -> int:
    """How many lists an ivfflat index over so many rows should have: their square root, at least 50 rows each."""
    return max(1, min(round(math.sqrt(rows)), rows // ROWS_A_LIST))


def is_due(row: Encoder) -> bool:
    """An index would pay and there is none, or the gallery has doubled since; and no build has failed just now."""
    if IndexBuild.objects.failed_since(row, timezone.now() - _PAUSE_AFTER_FAILURE).exists():
        return False
    rows = Embedding.objects.embedded().filter(encoder=row).count()
    built = IndexBuild.objects.serving(row)
    if built:
        return rows >= _REBUILD_FACTOR * built.rows
    return rows >= settings.INDEX_MIN_ROWS


def build(row: Encoder, *, lists: int | None = None) -> IndexBuild:
    """Build an ivfflat index beside the serving one, measure it, and let it take over. Raises BuildFailed."""
    with _one_at_a_time():
        _remove_leftovers(row)
        rows = Embedding.objects.embedded().filter(encoder=row).count()
        if rows < ROWS_A_LIST:
            raise BuildFailed(f"{rows} embeddings are too few for an index; {ROWS_A_LIST} is the least.")
        made = IndexBuild.objects.create(encoder=row, rows=rows, lists=lists or lists_for(rows))
        try:
            _create(made)
            made.probes, made.recall = _tune(made)
        except Exception as error:
            _drop(made)
            IndexBuild.objects.filter(pk=made.pk).update(
                state=IndexBuild.State.FAILED, error=str(error), finished=timezone.now()
            )
            raise BuildFailed(f"The index was not built: {error}") from error
        _swap(made)
        return made


def _create(made: IndexBuild) -> None:
    """CREATE INDEX, while searches and writes go on."""
    dimensions = made.encoder.dimensions
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET maintenance_work_mem = '256MB'")
        cursor.execute(
            f"CREATE INDEX CONCURRENTLY {made.index_name} ON search_embedding "
            f"USING ivfflat ((vector::halfvec({dimensions})) halfvec_cosine_ops) WITH (lists = {made.lists}) "
            f"WHERE encoder_id = {made.encoder_id} AND asset_id <> {-made.pk}"
        )
        cursor.execute("ANALYZE search_embedding")
        cursor.execute("RESET statement_timeout; RESET maintenance_work_mem")


def _tune(made: IndexBuild) -> tuple[int, float]:
    """The fewest probes that reach the target recall, and the recall they reach."""
    queries = list(_sample(made.encoder))
    truth = [_neighbours(made, asset_id, vector, probes=None) for asset_id, vector in queries]
    for probes in _ladder(made.lists):
        found = [_neighbours(made, asset_id, vector, probes=probes) for asset_id, vector in queries]
        recall = float(np.mean([recall_at_k(f, set(t)) for f, t in zip(found, truth, strict=True)]))
        if recall >= settings.SEARCH_TARGET_RECALL:
            break
    return probes, recall


def _ladder(lists: int) -> list[int]:
    """Numbers of probes to try: each up to eight, then in steps of a quarter, and all lists last."""
    steps = [1]
    while steps[-1] < lists:
        steps.append(min(lists, max(steps[-1] + 1, round(steps[-1] * 1.25))))
    return steps


def _sample(row: Encoder) -> Iterator[tuple[int, FloatArray]]:
    """Stored vectors, spread over the gallery."""
    embedded = Embedding.objects.embedded().filter(encoder=row)
    for asset_id, vector in embedded.order_by("?").values_list("asset_id", "vector")[:_SAMPLE]:
        yield asset_id, np.asarray(vector, dtype=np.float32)


def _neighbours(made: IndexBuild, asset_id: int, vector: FloatArray, *, probes: int | None) -> list[int]:
    """The nearest to a stored vector, itself left out: it is found by any index, and would flatter this one."""
    through = Through(made, probes) if probes else None
    found = nearest(made.encoder, vector, MEASURED_K + 1, through=through)
    return [other for other, _ in found if other != asset_id][:MEASURED_K]


def _drop(made: IndexBuild) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {made.index_name}")


def _swap(made: IndexBuild) -> None:
    with transaction.atomic():
        old = list(IndexBuild.objects.select_for_update().filter(encoder=made.encoder_id, state=IndexBuild.State.READY))
        IndexBuild.objects.filter(pk__in=[build.pk for build in old]).update(state=IndexBuild.State.REPLACED)
        made.state, made.finished = IndexBuild.State.READY, timezone.now()
        made.save()
    for replaced in old:
        _drop(replaced)
    logger.info("Index %s serves: %d probes, recall %.3f.", made, made.probes, made.recall)


def _built() -> list[int]:
    """Ids of the builds whose index exists."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT substring(relname FROM '^embedding_ivfflat_([0-9]+)$')::bigint FROM pg_class")
        return [build for (build,) in cursor.fetchall() if build]


def _remove_leftovers(row: Encoder) -> None:
    """What a build that was killed left behind, before it served or while it took over."""
    for replaced in IndexBuild.objects.filter(encoder=row, state=IndexBuild.State.REPLACED, pk__in=_built()):
        _drop(replaced)
    for dead in IndexBuild.objects.filter(encoder=row, state=IndexBuild.State.BUILDING):
        _drop(dead)
        dead.state, dead.error, dead.finished = (
            IndexBuild.State.FAILED,
            "The build was interrupted.",
            timezone.now(),
        )
        dead.save()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """One build in the whole database; the lock goes with the connection, however that ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_BUILD_LOCK])
        if not cursor.fetchone()[0]:
            raise BuildFailed("Another index is being built just now.")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_BUILD_LOCK])
