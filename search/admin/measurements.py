"""The admin of measurements: how well searches found and how fast, over time."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from search import charts, tasks
from search.admin.base import ReadOnlyAdmin, listed, rounded
from search.admin.index_builds import effort
from search.charts import Chart
from search.models import Encoder, IndexBuild, Measurement

#: That a chart shows: a year of daily checks, and more than are tried in a tuning.
_MOST_CHECKS, _MOST_TRIED = 365, 200


@admin.register(Measurement)
class MeasurementAdmin(ReadOnlyAdmin):
    list_display = [
        "taken", "kind", "purpose", "rows",
        rounded("recall", 3, _("recall")), rounded("recall_recent", 3, _("recent queries")),
        rounded("recall_filtered", 3, _("filtered")),
        rounded("p50_ms", 2, _("p50 (ms)")), "measured_with", "encoder",
    ]  # fmt: skip
    list_select_related = ["encoder"]
    list_filter = ["purpose", "kind", "encoder"]
    date_hierarchy = "taken"
    ordering = ["-taken"]

    @admin.display(description=_("parameters"))
    def measured_with(self, measurement: Measurement) -> str:
        return listed(measurement.parameters)

    def get_urls(self) -> list[URLPattern]:
        measure_now = self.admin_site.admin_view(require_POST(self.measure_now))
        return [path("measure-now/", measure_now, name="search_measurement_measure_now"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        offered = {"may_measure": self.may(request, "add"), "index_min_rows": settings.INDEX_MIN_ROWS}
        response = super().changelist_view(request, {**(extra_context or {}), **offered})
        if isinstance(response, TemplateResponse) and response.context_data:
            response.context_data["charts"] = _charts(_of_any_purpose(response.context_data["cl"], request))
        return response

    def measure_now(self, request: HttpRequest) -> HttpResponse:
        if not self.may(request, "add"):
            raise PermissionDenied
        row = Encoder.objects.active()
        if row is None or IndexBuild.objects.serving(row) is None:
            self.message_user(
                request, _("No index serves: every search is exact, and misses nothing."), messages.WARNING
            )
        else:
            tasks.queue_measurement()
            self.message_user(
                request, _("A worker measures the index. The measurement appears here."), messages.SUCCESS
            )
        return redirect("admin:search_measurement_changelist")


def _of_any_purpose(cl: ChangeList, request: HttpRequest) -> QuerySet[Measurement]:
    """What the list's other filters let through: each chart is of one purpose."""
    return cl.get_queryset(request, exclude_parameters=["purpose__exact", "purpose__isnull"])


def _charts(measurements: QuerySet[Measurement]) -> list[Chart]:
    checks = list(measurements.filter(purpose=Measurement.Purpose.CHECK).order_by("-taken")[:_MOST_CHECKS])[::-1]
    drawn = [charts.recall_over_time(checks), charts.latency_over_time(checks)] if checks else []
    tried = measurements.filter(purpose=Measurement.Purpose.TUNING)
    latest = tried.order_by("-taken").select_related("build__encoder").first()
    if latest:
        build = latest.build
        of_build = list(tried.filter(build=build).order_by("pk")[:_MOST_TRIED])
        drawn.append(charts.recall_against_latency(build, of_build, effort(build)))
    return drawn
