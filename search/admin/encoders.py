"""The admin of encoders."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from search import pipeline
from search.admin.base import ReadOnlyAdmin
from search.admin.embeddings import IN_STATE, State
from search.encoders import EncoderUnavailable
from search.models import Embedding, Encoder


def _count_of(state: State) -> Coalesce:
    own = Embedding.objects.filter(IN_STATE[state], encoder=OuterRef("pk")).order_by()
    return Coalesce(Subquery(own.values("encoder").annotate(count=Count("pk")).values("count")), 0)


@admin.register(Encoder)
class EncoderAdmin(ReadOnlyAdmin):
    list_display = [
        "name", "is_active", "embedded", "failed", "dimensions", "short_revision", "preprocessing", "created",
    ]  # fmt: skip
    ordering = ["-is_active", "name", "-id"]
    actions = ["activate"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Encoder]:
        counts = {"embedded_count": _count_of(State.EMBEDDED), "failed_count": _count_of(State.FAILED)}
        rows: QuerySet[Encoder] = super().get_queryset(request)
        return rows.annotate(**counts)

    @admin.display(ordering="embedded_count")
    def embedded(self, row: Any) -> SafeString:
        return self._count_link(row, State.EMBEDDED, row.embedded_count)

    @admin.display(ordering="failed_count")
    def failed(self, row: Any) -> SafeString:
        return self._count_link(row, State.FAILED, row.failed_count)

    def _count_link(self, row: Encoder, state: State, count: int) -> SafeString:
        address = reverse("admin:search_embedding_changelist")
        return format_html('<a href="{}?encoder__id__exact={}&state={}">{}</a>', address, row.pk, state.value, count)

    @admin.display(description="revision")
    def short_revision(self, row: Encoder) -> str:
        return row.revision[:12]

    def has_activate_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "change")

    @admin.action(description="Let the selected encoder serve searches", permissions=["activate"])
    def activate(self, request: HttpRequest, rows: QuerySet[Encoder]) -> None:
        if rows.count() != 1:
            self.message_user(request, "Select one encoder: one serves at a time.", messages.ERROR)
            return
        row = rows.get()
        if hindrance := _hindrance(row):
            self.message_user(request, f"{row} cannot serve yet. {hindrance}", messages.ERROR)
            return
        row.activate()
        self.message_user(request, f"{row} serves searches now.", messages.SUCCESS)


def _hindrance(row: Encoder) -> str:
    """Why the encoder cannot take over without searches losing anything; empty where it can."""
    if pending := pipeline.pending_count(row):
        return f"Assets without an embedding by it: {pending:,}. Run: manage.py embed --encoder {row.name}"
    try:
        row.load()
    except (EncoderUnavailable, LookupError) as error:
        return str(error)
    return ""
