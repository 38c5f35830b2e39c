"""What workers are called for: ids in, one call, nothing else."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import Subquery
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from gallery.models import Asset
from gallery.storage import StorageUnavailable
from search import calibration, index, pipeline, query_pictures, switching
from search.encoders import EncoderUnavailable
from search.index import BuildFailed
from search.models import Encoder, IndexBuild, RecentQuery
from search.report_models import Report
from search.switching import CannotSwitch

logger = logging.getLogger(__name__)

_EMBED_PENDING = "search.tasks.embed_pending"
_RETIRE = "search.tasks.retire"

#: Work of many pictures stops after this and queues itself again, so that a worker told to stop can soon do so.
_DRAIN_SECONDS = switching.SLICE_SECONDS

#: The most recent queries that an index is measured with, and some more.
_QUERIES_KEPT = 300


def embed_asset(asset_id: int) -> None:
    """Interactive queue: one picture, at once; by other encoders than the one that serves it can wait."""
    if row := Encoder.objects.embedding():
        with _trouble_said(row):
            pipeline.embed([asset_id], row)
    if Encoder.objects.filling().exists():
        queue_pending()


def embed_pending() -> None:
    """Bulk queue: a slice of what is pending by the encoder that serves; where nothing is, by one beside it."""
    _embed_next(thoroughly=False)


def _embed_next(*, thoroughly: bool) -> None:
    """What searches wait for is told by the status of assets; `thoroughly`, by what is not embedded.

    To look for that takes a second in a large gallery, too long before each slice of what can wait.
    """
    serving = Encoder.objects.embedding()
    is_asked_for = thoroughly or Asset.objects.kept().filter(status=Asset.Status.PENDING).exists()
    if (serving and is_asked_for and _embed_slice(serving)) or any(map(_embed_slice, Encoder.objects.filling())):
        queue_pending()


def _embed_slice(row: Encoder) -> bool:
    """Whether anything came of it. An encoder in trouble is tried again by the next sweep, and hinders no other."""
    with _trouble_said(row):
        return bool(pipeline.embed_pending(row, seconds=_DRAIN_SECONDS).total)
    return False


@contextmanager
def _trouble_said(row: Encoder) -> Iterator[None]:
    """A sweep each minute would leave a failed task each minute; the assets stay pending, and nothing is lost."""
    said = ""
    try:
        yield
    except (EncoderUnavailable, StorageUnavailable, LookupError) as error:
        said = str(error)
        logger.warning("%s embeds nothing for now. %s", row, said)
    except Exception as error:
        if row.is_active:
            raise
        said = str(error) or type(error).__name__
        logger.exception("%s embeds nothing for now", row)
    if said != row.error:
        Encoder.objects.filter(pk=row.pk).update(error=said)


def sweep() -> None:
    """Every minute: heal whatever was lost, and see to the index; then to the encoders that do not serve."""
    Report.objects.expired().delete()
    _embed_next(thoroughly=True)
    if row := Encoder.objects.active():
        _forget_old_queries(row)
        _keep_index(row)
        if calibration.is_due(row):
            calibration.calibrate(row)
    for row in Encoder.objects.filling():
        _make_ready(row)
    if Encoder.objects.retiring().exists():
        queue_retirement()


def _make_ready(row: Encoder) -> None:
    try:
        switching.make_ready(row)
    except BuildFailed:
        logger.exception("Without an index, %s can serve by exact search", row)


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
    _queue_once(_EMBED_PENDING)


def queue_retirement() -> None:
    _queue_once(_RETIRE)


def retire() -> None:
    """Bulk queue: a slice of what is to be deleted of encoders that are being retired."""
    for row in Encoder.objects.retiring():
        try:
            if not switching.retire(row, seconds=_DRAIN_SECONDS):
                queue_retirement()
                return
        except CannotSwitch as error:
            logger.warning("%s is not retired for now. %s", row, error)


def _queue_once(func: str) -> None:
    if not _is_waiting(func):
        async_task(func, cluster="bulk")


def _is_waiting(func: str) -> bool:
    waiting = OrmQ.objects.filter(key="bulk", lock__lte=timezone.now())
    return any(task.func() == func for task in waiting)


def queue_index_build(kind: str | None = None, *, beside: bool = False) -> None:
    async_task("search.tasks.build_index", kind, beside=beside, cluster="bulk")


def build_index(kind: str | None = None, *, beside: bool = False) -> None:
    """Bulk queue: build now, whether due or not."""
    row = Encoder.objects.active()
    if row and kind and beside:
        index.keep_beside(row, kind)
    elif row:
        index.build(row, kind=kind)


def queue_dropping(build: IndexBuild) -> None:
    async_task("search.tasks.drop_beside", build.pk, cluster="bulk")


def drop_beside(build_id: int) -> None:
    """Bulk queue: an index that was kept to compare."""
    if build := IndexBuild.objects.beside().select_related("encoder").filter(pk=build_id).first():
        index.drop_beside(build.encoder, build.kind)


def queue_measurement() -> None:
    async_task("search.tasks.measure_index", cluster="bulk")


def measure_index() -> None:
    """Bulk queue: measure now, whether due or not."""
    if row := Encoder.objects.active():
        index.measure(row)


def forget_query_pictures() -> None:
    """Every ten minutes: pictures that were searched with a day ago."""
    query_pictures.forget_expired()
