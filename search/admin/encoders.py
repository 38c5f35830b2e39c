"""The admin of encoders: how far each is, and the way from one to another."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from gallery.reasons import retold
from search import encoders, switching, tasks
from search.admin.base import ReadOnlyAdmin, rounded
from search.admin.embeddings import State as EmbeddingState
from search.models import Encoder
from search.switching import CannotSwitch, Standing, State

_CHANGELIST = "admin:search_encoder_changelist"
#: Seconds after which the page of an encoder that is worked at is loaded again.
_REFRESH_S = 5


class StartForm(forms.Form):
    """Which encoder to bring in, of those that nothing was embedded with yet."""

    encoder = forms.ChoiceField(widget=forms.Select({"aria-label": _("Encoder")}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["encoder"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 (it stands above)
        field.choices = [(spec.name, spec.name) for spec in switching.without_row()]


@admin.register(Encoder)
class EncoderAdmin(ReadOnlyAdmin):
    list_display = [
        "name", "state", "embedded", "failed", "pending", rounded("images_per_s", 1, _("images/s")), "index", "dtype",
        "dimensions", "short_revision", "short_error", "created",
    ]  # fmt: skip
    ordering = ["-is_active", "name", "-id"]
    actions = ["fill", "pause", "activate", "retire"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Encoder]:
        ordered: QuerySet[Encoder] = Encoder.objects.with_counts().order_by(*self.ordering)
        return ordered

    # --- columns ---

    @admin.display(description=_("state"))
    def state(self, row: Encoder) -> SafeString:
        address = reverse("admin:search_encoder_progress", args=[row.pk])
        return format_html('<a href="{}">{}</a>', address, Standing(row).told)

    @admin.display(description=_("embedded"), ordering="embedded_count")
    def embedded(self, row: Any) -> SafeString:
        return self._count_link(row, EmbeddingState.EMBEDDED, row.embedded_count)

    @admin.display(description=_("failed"), ordering="failed_count")
    def failed(self, row: Any) -> SafeString:
        return self._count_link(row, EmbeddingState.FAILED, row.failed_count)

    def _count_link(self, row: Encoder, state: EmbeddingState, count: int) -> SafeString:
        address = reverse("admin:search_embedding_changelist")
        return format_html('<a href="{}?encoder__id__exact={}&state={}">{}</a>', address, row.pk, state.value, count)

    @admin.display(description=_("pending"))
    def pending(self, row: Encoder) -> int:
        return Standing(row).pending

    @admin.display(description=_("index"))
    def index(self, row: Encoder) -> str:
        build = Standing(row).build
        return gettext("none") if build is None else f"{build.kind} {build.recall or 0:.3f}"

    @admin.display(description=_("revision"))
    def short_revision(self, row: Encoder) -> str:
        return row.revision[:12]

    # --- what can be done ---

    def has_activate_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "change")

    def has_retire_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "delete")

    @admin.action(description=_("Embed the gallery with the selected encoder, or go on"), permissions=["activate"])
    def fill(self, request: HttpRequest, rows: QuerySet[Encoder]) -> None:
        if self._done_to_one(
            request, rows, switching.fill, _("{} is filled by the workers, beside the one that serves.")
        ):
            tasks.queue_pending()

    @admin.action(description=_("Pause embedding with the selected encoder"), permissions=["activate"])
    def pause(self, request: HttpRequest, rows: QuerySet[Encoder]) -> None:
        self._done_to_one(request, rows, switching.pause, _("{} is paused. What it has made is kept."))

    @admin.action(description=_("Let the selected encoder serve searches"), permissions=["activate"])
    def activate(self, request: HttpRequest, rows: QuerySet[Encoder]) -> None:
        if self._done_to_one(request, rows, switching.activate, _("{} serves searches now.")):
            tasks.queue_pending()  # what was uploaded meanwhile may have vectors by the other alone

    @admin.action(description=_("Retire the selected encoder: delete all it made"), permissions=["retire"])
    def retire(self, request: HttpRequest, rows: QuerySet[Encoder]) -> HttpResponse | None:
        row = self._one(request, rows)
        return redirect("admin:search_encoder_retire", row.pk) if row else None

    def _done_to_one(
        self, request: HttpRequest, rows: QuerySet[Encoder], what: Callable[[Encoder], object], said: Promise
    ) -> bool:
        row = self._one(request, rows)
        try:
            if row:
                what(row)
                self.message_user(request, str(said).format(row), messages.SUCCESS)
        except CannotSwitch as error:
            self.message_user(request, retold(str(error)), messages.ERROR)
            return False
        return row is not None

    def _one(self, request: HttpRequest, rows: QuerySet[Encoder]) -> Encoder | None:
        chosen = list(rows)
        if len(chosen) == 1:
            return chosen[0]
        self.message_user(request, _("Select one encoder: one serves at a time."), messages.ERROR)
        return None

    # --- pages ---

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse]] = {
            "start/": require_POST(self.start),
            "<int:pk>/progress/": require_safe(self.progress),
            "<int:pk>/retire/": require_http_methods(["GET", "POST"])(self.confirm_retiring),
        }
        own = [
            path(route, self.admin_site.admin_view(view), name=f"search_encoder_{route.split('/')[-2]}")
            for route, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        offered = {"start_form": StartForm() if self.may(request, "change") else None}
        return super().changelist_view(request, {**(extra_context or {}), **offered})

    def start(self, request: HttpRequest) -> HttpResponse:
        if not self.may(request, "change"):
            raise PermissionDenied
        form = StartForm(request.POST)
        if not form.is_valid():
            self.message_user(request, _("There is no such encoder to bring in."), messages.ERROR)
            return redirect(_CHANGELIST)
        row = Encoder.objects.for_spec(encoders.spec(form.cleaned_data["encoder"]))
        switching.fill(row)
        tasks.queue_pending()
        return redirect("admin:search_encoder_progress", row.pk)

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            return self._gone(request)
        standing = Standing(row)
        context = {
            "title": f"{row}: {standing.told}",
            "standing": standing,
            "refresh_s": _REFRESH_S if standing.is_moving else None,
            "buttons": self._buttons(request, standing),
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return self._page(request, "progress", context)

    def confirm_retiring(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.may(request, "delete"):
            raise PermissionDenied
        row = Encoder.objects.filter(pk=pk).first()
        if row is None:
            return self._gone(request)
        try:
            if request.method == "GET":
                standing = switching.retirable(row)
                return self._page(
                    request,
                    "retire",
                    {"title": gettext("Retire %(encoder)s?") % {"encoder": row}, "standing": standing},
                )
            switching.begin_retiring(row)
        except CannotSwitch as error:
            self.message_user(request, retold(str(error)), messages.ERROR)
            return redirect(_CHANGELIST)
        tasks.queue_retirement()
        self.message_user(request, gettext("The workers retire %(encoder)s.") % {"encoder": row}, messages.SUCCESS)
        return redirect(_CHANGELIST)

    def _gone(self, request: HttpRequest) -> HttpResponse:
        self.message_user(request, _("There is no such encoder, or it is retired by now."), messages.WARNING)
        return redirect(_CHANGELIST)

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, f"admin/search/encoder/{name}.html", {**shared, **context})

    def _buttons(self, request: HttpRequest, standing: Standing) -> dict[str, str]:
        """Actions of the list that make sense for the encoder now, and what their buttons say."""
        if standing.state == State.RETIRING:
            return {}
        buttons: dict[str, str] = {}
        if self.may(request, "change"):
            buttons |= {"pause": gettext("Pause")} if standing.is_filled else {"fill": gettext("Go on embedding")}
            if standing.state == State.READY:
                buttons["activate"] = gettext("Let it serve searches")
        may_retire = self.may(request, "delete") and not standing.row.is_active
        return buttons | ({"retire": gettext("Retire…")} if may_retire else {})
