"""The admin of evaluations: what was found of labelled pictures, and what changed from one date to another."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from search.admin.base import ReadOnlyAdmin
from search.models import Evaluation

_COMPARED_AT_ONCE = 2


def _measure(name: str) -> Any:
    """A column of one of the measures."""

    @admin.display(description=name, ordering=f"metrics__{name}")
    def column(evaluation: Evaluation) -> str:
        return _told(evaluation.metrics.get(name))

    column.__name__ = name.replace("@", "_at_")
    return column


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    list_display = [
        "taken", "problem", "encoder", "metric", "index", "protocol", "queries",
        _measure("precision@1"), _measure("precision@10"), _measure("map@10"),
        _measure("ndcg@10"), _measure("recall@10"),
    ]  # fmt: skip
    list_filter = ["problem", "encoder", "metric", "index"]
    date_hierarchy = "taken"
    ordering = ["-taken", "-pk"]
    actions = ["compare"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "delete")  # nothing depends on them

    @admin.action(description=_("Compare the two selected"), permissions=["view"])
    def compare(self, request: HttpRequest, chosen: QuerySet[Evaluation]) -> HttpResponse | None:
        both = list(chosen.order_by("taken", "pk")[: _COMPARED_AT_ONCE + 1])
        if len(both) != _COMPARED_AT_ONCE:
            self.message_user(request, _("Select two evaluations to compare."), messages.ERROR)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Two evaluations"),
            "opts": self.opts,
            "both": both,
            "measures": sorted(_side_by_side(*(_without_counts(one.metrics) for one in both)), key=_by_name_and_k),
            "classes": sorted(
                _side_by_side(*({name: of["precision@1"] for name, of in one.classes.items()} for one in both))
            ),
        }
        return TemplateResponse(request, "admin/search/evaluation/compare.html", context)


def _without_counts(metrics: dict[str, float | None]) -> dict[str, float | None]:
    return {name: value for name, value in metrics.items() if name != "queries"}


def _by_name_and_k(row: tuple[str, ...]) -> tuple[str, int]:
    """The database keeps no order, and by their letters @10 is before @5."""
    name, _, k = row[0].partition("@")
    return name, int(k or 0)


def _side_by_side(
    earlier: dict[str, float | None], later: dict[str, float | None]
) -> Iterator[tuple[str, str, str, str]]:
    """What both have, with the change from the earlier to the later."""
    for name, before in earlier.items():
        after = later.get(name)
        if name in later:
            change = "" if before is None or after is None else f"{after - before:+.3f}"
            yield name, _told(before), _told(after), change
