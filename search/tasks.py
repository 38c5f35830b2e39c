"""What workers are called for: ids in, one call, nothing else."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from search import index, pipeline
from search.encoders import EncoderUnavailable
from search.index import BuildFailed
from search.models import Encoder

logger = logging.getLogger(__name__)

_EMBED_PENDING = "search.tasks.embed_pending"

#: Work of many pictures stops after this and queues itself again, so that a worker told to stop can soon do so.
_DRAIN_SECONDS = 5


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
    """Every minute: heal whatever was lost, and build an index when it pays."""
    embed_pending()
    build_index_if_due()


def build_index_if_due() -> None:
    row = Encoder.objects.active()
    if row and index.is_due(row):
        try:
            index.build(row)
        except BuildFailed:
            logger.exception("Searches go on as before")


def queue_asset(asset_id: int) -> None:
    async_task("search.tasks.embed_asset", asset_id, cluster="interactive")


def queue_pending() -> None:
    """One task embeds all that is pending, so one that waits is enough."""
    if not _is_waiting(_EMBED_PENDING):
        async_task(_EMBED_PENDING, cluster="bulk")


def _is_waiting(func: str) -> bool:
    waiting = OrmQ.objects.filter(key="bulk", lock__lte=timezone.now())
    return any(task.func() == func for task in waiting)


def queue_index_build() -> None:
    async_task("search.tasks.build_index", cluster="bulk")


def build_index() -> None:
    """Bulk queue: build now, whether due or not."""
    if row := Encoder.objects.active():
        index.build(row)
