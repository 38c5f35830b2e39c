"""/metrics, for Prometheus: numbers alone, nothing of any picture or person."""

import os
from collections.abc import Iterator

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from gallery.models import Asset
from search.models import IndexBuild, Measurement
from search.telemetry import counted


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not _may_read(request):
        return HttpResponse("Send the METRICS_TOKEN as a bearer.", status=401, headers={"WWW-Authenticate": "Bearer"})
    answer = generate_latest(_everywhere()) + generate_latest(_Stored())
    return HttpResponse(answer, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _may_read(request: HttpRequest) -> bool:
    given, wanted = request.headers.get("Authorization", ""), f"Bearer {settings.METRICS_TOKEN}"
    return not settings.METRICS_TOKEN or constant_time_compare(given, wanted)


def _everywhere() -> CollectorRegistry:
    """What all processes of the web server have counted, where gunicorn made them a folder for it."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return counted
    everywhere = CollectorRegistry()
    MultiProcessCollector(everywhere)  # type: ignore[no-untyped-call]
    return everywhere


class _Stored:
    """What the database knows, asked for at each scrape."""

    def collect(self) -> Iterator[Metric]:
        try:
            yield from [*_assets(), *_index()]
            is_up = True
        except (Error, RuntimeError):  # the latter: the embedded server did not start
            is_up = False
        yield _gauge("database_up", "Whether the database answers.", is_up)


def _assets() -> Iterator[Metric]:
    family = GaugeMetricFamily("assetsearch_assets", "Assets, by whether they can be searched.", labels=["status"])
    for status, count in Asset.objects.counts_by_status().items():
        family.add_metric([status], count)
    yield family


def _index() -> Iterator[Metric]:
    """Of the index that serves. Where none does, searches are exact, and there is nothing to say."""
    build = IndexBuild.objects.filter(state=IndexBuild.State.READY, encoder__is_active=True).first()
    if build is None:
        return
    yield _gauge("index_info", "The index that serves.", 1, kind=build.kind)
    if check := build.measurements.filter(purpose=Measurement.Purpose.CHECK).first():
        yield from _measured(check)


def _measured(check: Measurement) -> Iterator[Metric]:
    figures = [
        ("measured_timestamp_seconds", "When the index was measured last.", check.taken.timestamp()),
        ("rows", "Embeddings there were then.", check.rows),
        ("p50_seconds", "Half of its searches took no longer.", check.p50_ms / 1000),
        ("recall", "Share of the true ten nearest found, over stored pictures.", check.recall),
        ("recall_recent", "The same over recent queries.", check.recall_recent),
        ("recall_filtered", "The same under filters.", check.recall_filtered),
    ]
    for name, meaning, value in figures:
        yield _gauge(f"index_{name}", meaning, value, kind=check.kind)


def _gauge(name: str, meaning: str, value: float | None, **labels: str) -> Metric:
    family = GaugeMetricFamily(f"assetsearch_{name}", meaning, labels=list(labels))
    if value is not None:
        family.add_metric(list(labels.values()), value)
    return family
