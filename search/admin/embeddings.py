"""The admin of embeddings."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Case, Q, QuerySet, TextChoices, Value, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gallery.models import Asset
from search import pipeline, tasks
from search.admin.base import ReadOnlyAdmin, ids
from search.models import Embedding, Encoder


class State(TextChoices):
    EMBEDDED = "embedded", _("Embedded")
    FAILED = "failed", _("Failed")
    PENDING = "pending", _("Pending")


#: Each row is in one state. Those without a vector are few, and have an index of their own.
IN_STATE = {
    State.EMBEDDED: Q(vector__isnull=False),
    State.FAILED: Q(vector=None) & ~Q(error=""),
    State.PENDING: Q(vector=None, error=""),
}


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(IN_STATE[State(value)]) if value in State else queryset.none()


@admin.register(Embedding)
class EmbeddingAdmin(ReadOnlyAdmin):
    list_display = ["id", "asset_link", "encoder", "state", "attempts", "short_error", "embedded_at"]
    list_select_related = ["asset", "encoder"]
    list_filter = [StateFilter, "encoder"]
    search_fields = ["asset__title"]
    search_help_text = _("Words of an asset's title, file name and tags, or how they begin.")
    ordering = ["-id"]
    actions = ["retry"]
    fields = ["asset_link", "encoder", "state", "attempts", "claimed_until", "reason", "embedded_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Embedding]:
        """Without the vectors, 1.5 kB a row."""
        states = [When(condition, Value(state.value)) for state, condition in IN_STATE.items()]
        rows: QuerySet[Embedding] = super().get_queryset(request).defer("vector")
        return rows.annotate(state=Case(*states))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Embedding], search_term: str
    ) -> tuple[QuerySet[Embedding], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(asset__in=Asset.objects.matching(search_term)), False

    @admin.display(description=_("asset"), ordering="asset")
    def asset_link(self, embedding: Embedding) -> SafeString:
        address = reverse("admin:gallery_asset_change", args=[embedding.asset_id])
        return format_html('<a href="{}">{}</a>', address, embedding.asset)

    @admin.display(description=_("state"))
    def state(self, embedding: Any) -> str:
        return str(State(embedding.state).label)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "change")

    @admin.action(description=_("Embed again"), permissions=["retry"])
    def retry(self, request: HttpRequest, embeddings: QuerySet[Embedding]) -> None:
        chosen = embeddings.order_by()
        for row in Encoder.objects.filter(pk__in=chosen.values("encoder")):
            pipeline.retry(ids(chosen.filter(encoder=row), "asset_id"), row)
            self._say_what_follows(request, row)
        tasks.queue_pending()

    def _say_what_follows(self, request: HttpRequest, row: Encoder) -> None:
        if row.is_active or row.work == Encoder.Work.FILL:
            self.message_user(
                request, gettext("%(encoder)s embeds the assets again.") % {"encoder": row}, messages.SUCCESS
            )
        else:
            idle = gettext(
                "%(encoder)s does not serve, so nothing embeds with it by itself. "
                "Run: manage.py embed --encoder %(encoder)s"
            )
            self.message_user(request, idle % {"encoder": row.name}, messages.WARNING)
