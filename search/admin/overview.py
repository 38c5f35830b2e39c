"""What the first page of the admin tells: how much there is, how it is stored, how fast it comes in, what failed."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum, Value
from django.db.models.functions import TruncHour
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ

from gallery.models import Asset, Viewer
from search import charts, work
from search.charts import Chart
from search.models import Embedding, Measurement
from search.work import Reason

#: Renditions whose size is looked at, and for how long what is made of it holds, in seconds: each is a file.
_SAMPLED, _SAMPLE_KEPT_S = 20, 600
#: Of a disk, below which it is said to be short.
_SHORT_SHARE = 0.1
_HOURS = 24
#: Checks of recall that the chart shows: a quarter of a year.
_MOST_CHECKS = 90
QUEUES = ("interactive", "bulk")

#: A worker names its connections so (see the command qcluster), and holds one as long as it lives.
_POSTGRES = """
    SELECT pg_database_size(current_database()), ARRAY(
        SELECT DISTINCT application_name FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'assetsearch worker %%'
    )
"""


@dataclass(frozen=True)
class Storage:
    originals: int
    renditions: int
    free: int
    total: int

    @property
    def is_short(self) -> bool:
        return self.free < _SHORT_SHARE * self.total


@dataclass(frozen=True)
class Queue:
    name: str
    waiting: int
    is_alive: bool


@dataclass(frozen=True)
class Overview:
    counts: dict[str, int]
    storage: Storage
    database_bytes: int
    queues: list[Queue]
    charts: list[Chart]
    reasons: list[Reason]


def of(user: Viewer) -> Overview:
    counts, originals = _counted()
    database_bytes, alive = _postgres()
    return Overview(
        {status: counts.get(status, 0) for status in ("ready", "pending", "failed")},
        _storage(originals, sum(counts.values())),
        database_bytes,
        _queues(alive),
        _charts(),
        work.reasons(user),
    )


def _counted() -> tuple[dict[str, int], int]:
    """Of what is kept, by status; and bytes of all originals, those in the trash included."""
    rows = Asset.objects.order_by().values_list("status")
    counted = list(rows.annotate(kept=Count("pk", filter=Q(trashed=None)), bytes=Sum("size_bytes")))
    return {status: count for status, count, _ in counted}, sum(size for *_, size in counted)


def _storage(originals: int, count: int) -> Storage:
    each = cache.get("search.overview.rendition_bytes") or _rendition_bytes()
    # the bucket has no end; what uploads pass through has
    disk = shutil.disk_usage(settings.SPOOL_DIR if settings.S3_BUCKET else settings.MEDIA_ROOT)
    return Storage(originals, round(each * count), disk.free, disk.total)


def _rendition_bytes() -> float:
    """Of one asset's renditions, by the newest few."""
    sizes = [_size(asset) for asset in Asset.objects.only("preview", "thumbnail").order_by("-pk")[:_SAMPLED]]
    each = sum(sizes) / max(1, len(sizes))
    if each:  # of an empty gallery nothing is kept: it says nothing of the one that fills
        cache.set("search.overview.rendition_bytes", each, _SAMPLE_KEPT_S)
    return each


def _size(asset: Asset) -> int:
    try:
        return int(asset.preview.size + asset.thumbnail.size)
    except OSError:  # it is gone, or the storage does not answer
        return 0


def _postgres() -> tuple[int, list[str]]:
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRES)
        size, names = cursor.fetchone()
    return size, names


def _queues(alive: list[str]) -> list[Queue]:
    if settings.REDIS_URL:
        waiting = {name: get_broker(name).queue_size() for name in QUEUES}
    else:
        waiting = dict(OrmQ.objects.order_by().values_list("key").annotate(Count("pk")))
    return [Queue(name, waiting.get(name, 0), f"assetsearch worker {name}" in alive) for name in QUEUES]


def _charts() -> list[Chart]:
    by_hour = _by_hour()
    drawn = [
        charts.throughput(list(by_hour), [row[0] for row in by_hour.values()], [row[1] for row in by_hour.values()])
    ]
    found = Measurement.objects.filter(purpose=Measurement.Purpose.CHECK, encoder__is_active=True)
    checks = list(found.order_by("-taken")[:_MOST_CHECKS])[::-1]
    return [*drawn, charts.recall_over_time(checks), charts.latency_over_time(checks)] if checks else drawn


def _by_hour() -> dict[datetime, tuple[int, int]]:
    """Pictures that came in and were embedded in each of the last hours, oldest first."""
    last = timezone.localtime().replace(minute=0, second=0, microsecond=0)
    since = last - timedelta(hours=_HOURS - 1)
    came = _per_hour(Asset.objects.filter(created__gte=since), "created", 0)
    made = _per_hour(Embedding.objects.filter(embedded_at__gte=since), "embedded_at", 1)
    counted = {(kind, hour): count for kind, hour, count in came.union(made, all=True)}
    hours = [since + timedelta(hours=n) for n in range(_HOURS)]
    return {hour: (counted.get((0, hour), 0), counted.get((1, hour), 0)) for hour in hours}


def _per_hour(rows: QuerySet[Any], moment: str, kind: int) -> QuerySet[Any, Any]:
    hours = rows.order_by().annotate(kind=Value(kind), hour=TruncHour(moment))
    counted: QuerySet[Any, Any] = hours.values_list("kind", "hour").annotate(count=Count("pk"))
    return counted
