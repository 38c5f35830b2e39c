"""What workers are called for: ids in, one call, nothing else."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import Subquery
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from search import calibration, index, pipeline
from search.encoders import EncoderUnavailable
from search.index import BuildFailed
from search.models import Encoder, RecentQuery

logger = logging.getLogger(__name__)

_EMBED_PENDING = "search.tasks.embed_pending"

#: Work of many pictures stops after this and queues itself again, so that a worker told to stop can soon do so.
_DRAIN_SECONDS = 5

#: The most recent queries that an index is measured with, and some more.
_QUERIES_KEPT = 300


def embed_asset(asset_id: int) -> None:
    """Interactive queue: one picture, at once."""
    with _unavailable_encoder_said():
        if row := Encoder.objects.active():
            pipeline.embed([asset_id], row)


def embed_pending() -> None:
    """Bulk queue: all that is pending."""
    with _unavailable_encoder_said():
        row = Encoder.objects.active()
        if row and pipeline.embed_pending(row, seconds=_DRAIN_SECONDS).total:
            queue_pending()


@contextmanager
def _unavailable_encoder_said() -> Iterator[None]:
    """A sweep each minute would leave a failed task each minute; the assets stay pending, and nothing is lost."""
    try:
        yield
    except EncoderUnavailable as error:
        logger.warning("Nothing is embedded for now. %s", error)


def sweep() -> None:
    """Every minute: heal whatever was lost, and see to the index."""
    embed_pending()
    if row := Encoder.objects.active():
        _forget_old_queries(row)
        _keep_index(row)
        if calibration.is_due(row):
            calibration.calibrate(row)


def _keep_index(row: Encoder) -> None:
    """Measure it when it may have changed, and build it anew when it is no longer what it should be."""
    try:
        index.tidy()
        if index.is_measurement_due(row):
            index.measure(row)
        if index.is_due(row):
            index.build(row)
    except BuildFailed:
        logger.exception("Searches go on as before")


def _forget_old_queries(row: Encoder) -> None:
    own = RecentQuery.objects.filter(encoder=row).order_by("-id")
    own.filter(pk__lte=Subquery(own.values("pk")[_QUERIES_KEPT : _QUERIES_KEPT + 1])).delete()


def queue_asset(asset_id: int) -> None:
    async_task("search.tasks.embed_asset", asset_id, cluster="interactive")


def queue_pending() -> None:
    """One task embeds all that is pending, so one that waits is enough."""
    if not _is_waiting(_EMBED_PENDING):
        async_task(_EMBED_PENDING, cluster="bulk")


def _is_waiting(func: str) -> bool:
    waiting = OrmQ.objects.filter(key="bulk", lock__lte=timezone.now())
    return any(task.func() == func for task in waiting)


def queue_index_build(kind: str | None = None) -> None:
    async_task("search.tasks.build_index", kind, cluster="bulk")


def build_index(kind: str | None = None) -> None:
    """Bulk queue: build now, whether due or not."""
    if row := Encoder.objects.active():
        index.build(row, kind=kind)


def queue_measurement() -> None:
    async_task("search.tasks.measure_index", cluster="bulk")


def measure_index() -> None:
    """Bulk queue: measure now, whether due or not."""
    if row := Encoder.objects.active():
        index.measure(row)
