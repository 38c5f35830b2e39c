"""The admin of embeddings, encoders and index builds, and what search adds to that of assets."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Count, Model, OuterRef, Q, QuerySet, Subquery, TextChoices, Value, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import truncatechars
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from gallery.admin import AssetAdmin
from gallery.models import Asset
from search import pipeline, tasks
from search.encoders import EncoderUnavailable
from search.models import Embedding, Encoder, IndexBuild

#: Letters of an error that a list shows; its own page shows all.
_ERROR_LETTERS = 100


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that the system alone writes."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def may(self, request: HttpRequest, verb: str) -> bool:
        """Whether Django's own permission is held, which the methods above do not look at."""
        return request.user.has_perm(f"{self.opts.app_label}.{verb}_{self.opts.model_name}")

    @admin.display(description="error")
    def short_error(self, row: Any) -> str:
        return truncatechars(row.error, _ERROR_LETTERS)


# --- assets -------------------------------------------------------------------------------------------------

admin.site.unregister(Asset)


@admin.register(Asset)
class SearchableAssetAdmin(AssetAdmin):
    actions = [*(AssetAdmin.actions or []), "embed_again"]

    @admin.action(description="Embed selected assets again", permissions=["change"])
    def embed_again(self, request: HttpRequest, assets: QuerySet[Asset]) -> None:
        row = Encoder.objects.active()
        if row is None:
            self.message_user(request, "No encoder serves yet. Run manage.py prepare.", messages.ERROR)
            return
        pipeline.retry(_ids(assets, "pk"), row)
        tasks.queue_pending()
        self.message_user(request, f"{row} embeds the selected assets again.", messages.SUCCESS)


def _ids(rows: QuerySet[Any], field: str) -> Sequence[int]:
    return list(rows.order_by().values_list(field, flat=True))


# --- embeddings ---------------------------------------------------------------------------------------------


class State(TextChoices):
    EMBEDDED = "embedded", "Embedded"
    FAILED = "failed", "Failed"
    PENDING = "pending", "Pending"


#: Each row is in one state. Those without a vector are few, and have an index of their own.
_IN_STATE = {
    State.EMBEDDED: Q(vector__isnull=False),
    State.FAILED: Q(vector=None) & ~Q(error=""),
    State.PENDING: Q(vector=None, error=""),
}


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return State.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(_IN_STATE[State(value)]) if value in State else queryset.none()


@admin.register(Embedding)
class EmbeddingAdmin(ReadOnlyAdmin):
    list_display = ["id", "asset_link", "encoder", "state", "attempts", "short_error", "embedded_at"]
    list_select_related = ["asset", "encoder"]
    list_filter = [StateFilter, "encoder"]
    search_fields = ["asset__title"]
    search_help_text = "Words of an asset's title, file name and tags, or how they begin."
    ordering = ["-id"]
    actions = ["retry"]
    fields = ["asset_link", "encoder", "state", "attempts", "claimed_until", "error", "embedded_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Embedding]:
        """Without the vectors, 1.5 kB a row."""
        states = [When(condition, Value(state.value)) for state, condition in _IN_STATE.items()]
        rows: QuerySet[Embedding] = super().get_queryset(request).defer("vector")
        return rows.annotate(state=Case(*states))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Embedding], search_term: str
    ) -> tuple[QuerySet[Embedding], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(asset__in=Asset.objects.matching(search_term)), False

    @admin.display(description="asset", ordering="asset")
    def asset_link(self, embedding: Embedding) -> SafeString:
        address = reverse("admin:gallery_asset_change", args=[embedding.asset_id])
        return format_html('<a href="{}">{}</a>', address, embedding.asset)

    @admin.display(description="state")
    def state(self, embedding: Any) -> str:
        return State(embedding.state).label

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "change")

    @admin.action(description="Embed again", permissions=["retry"])
    def retry(self, request: HttpRequest, embeddings: QuerySet[Embedding]) -> None:
        chosen = embeddings.order_by()
        for row in Encoder.objects.filter(pk__in=chosen.values("encoder")):
            pipeline.retry(_ids(chosen.filter(encoder=row), "asset_id"), row)
            self._say_what_follows(request, row)
        tasks.queue_pending()

    def _say_what_follows(self, request: HttpRequest, row: Encoder) -> None:
        if row.is_active:
            self.message_user(request, f"{row} embeds the assets again.", messages.SUCCESS)
        else:
            self.message_user(
                request,
                f"{row} does not serve, so nothing embeds with it by itself. Run: manage.py embed --encoder {row.name}",
                messages.WARNING,
            )


# --- encoders -----------------------------------------------------------------------------------------------


def _count_of(state: State) -> Coalesce:
    own = Embedding.objects.filter(_IN_STATE[state], encoder=OuterRef("pk")).order_by()
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


# --- index builds -------------------------------------------------------------------------------------------


@admin.register(IndexBuild)
class IndexBuildAdmin(ReadOnlyAdmin):
    list_display = [
        "encoder", "kind", "state", "rows", "lists", "probes", "recall", "started", "finished", "short_error",
    ]  # fmt: skip
    list_select_related = ["encoder"]
    list_filter = ["state", "encoder"]
    ordering = ["-started"]

    def get_urls(self) -> list[URLPattern]:
        build_now = self.admin_site.admin_view(require_POST(self.build_now))
        return [path("build-now/", build_now, name="search_indexbuild_build_now"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "may_build": self.may(request, "add")})

    def build_now(self, request: HttpRequest) -> HttpResponse:
        if not self.may(request, "add"):
            raise PermissionDenied
        if Encoder.objects.active() is None:
            self.message_user(request, "No encoder serves yet. Run manage.py prepare.", messages.ERROR)
        else:
            tasks.queue_index_build()
            self.message_user(
                request,
                "A worker builds the index. Searches go on meanwhile; the build appears here.",
                messages.SUCCESS,
            )
        return redirect("admin:search_indexbuild_changelist")
