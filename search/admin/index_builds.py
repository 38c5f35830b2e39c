"""The admin of index builds."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from search import index, kinds, tasks
from search.admin.base import ReadOnlyAdmin, listed, rounded
from search.models import Encoder, IndexBuild
from search.tuned import Tuning


class BuildForm(forms.Form):
    kind = forms.ChoiceField(
        choices=kinds.CHOICES,
        widget=forms.Select({"aria-label": _("Kind of index")}),
        error_messages=dict.fromkeys(["invalid_choice", "required"], _("There is no such kind of index.")),
    )
    beside = forms.BooleanField(label=_("To compare only"), required=False)

    def clean(self) -> None:
        if self.cleaned_data.get("beside") and self.cleaned_data.get("kind") == kinds.EXACT:
            self.add_error("beside", _("Exact search needs no index, and can be compared as it is."))


def _build_form() -> BuildForm:
    row = Encoder.objects.active()
    return BuildForm(initial={"kind": index.kind_wanted(row)} if row else None)


def effort(build: IndexBuild) -> dict[str, int]:
    """What an ordinary search goes through the build with."""
    if build.tuning is None:
        return {}
    step = Tuning.from_json(build.tuning).steps[0]
    candidates = {} if step.candidates is None else {"candidates": step.candidates}
    return {kinds.get(build.kind).breadth: step.breadth, **candidates}


@admin.register(IndexBuild)
class IndexBuildAdmin(ReadOnlyAdmin):
    list_display = [
        "kind", "encoder", "state", "rows", rounded("recall", 3, _("recall")), "searched_with", "started", "duration",
        "short_error",
    ]  # fmt: skip
    list_select_related = ["encoder"]
    list_filter = ["state", "kind", "encoder"]
    ordering = ["-started"]
    actions = ["drop"]

    @admin.action(description=_("Drop the selected that are kept to compare"), permissions=["build"])
    def drop(self, request: HttpRequest, chosen: QuerySet[IndexBuild]) -> None:
        kept = list(IndexBuild.objects.filter(pk__in=chosen.values("pk")).beside())
        for build in kept:
            tasks.queue_dropping(build)
        if kept:
            said = ngettext("A worker drops %(count)d index.", "A worker drops %(count)d indexes.", len(kept))
            self.message_user(request, said % {"count": len(kept)}, messages.SUCCESS)
        else:
            self.message_user(request, _("None of these is kept to compare."), messages.ERROR)

    def has_build_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "add")

    @admin.display(description=_("parameters"))
    def searched_with(self, build: IndexBuild) -> str:
        """What it was built with, and is searched with."""
        return listed({**build.summary, **effort(build)})

    @admin.display(description=_("duration"))
    def duration(self, build: IndexBuild) -> timedelta | None:
        """In whole seconds."""
        if build.finished is None:
            return None
        return timedelta(seconds=round((build.finished - build.started).total_seconds()))

    def get_urls(self) -> list[URLPattern]:
        build_now = self.admin_site.admin_view(require_POST(self.build_now))
        return [path("build-now/", build_now, name="search_indexbuild_build_now"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        offered = {
            "build_form": _build_form() if self.may(request, "add") else None,
            "may_measure": request.user.has_perm("search.add_measurement"),
            "may_view_measurements": request.user.has_perm("search.view_measurement"),
        }
        return super().changelist_view(request, {**(extra_context or {}), **offered})

    def build_now(self, request: HttpRequest) -> HttpResponse:
        if not self.may(request, "add"):
            raise PermissionDenied
        form = BuildForm(request.POST)
        if Encoder.objects.active() is None:
            self.message_user(request, _("No encoder serves yet. Run manage.py prepare."), messages.ERROR)
        elif not form.is_valid():
            self.message_user(
                request, " ".join(str(error) for errors in form.errors.values() for error in errors), messages.ERROR
            )
        else:
            tasks.queue_index_build(form.cleaned_data["kind"], beside=form.cleaned_data["beside"])
            self.message_user(
                request,
                _("A worker builds the index. Searches go on meanwhile; the build appears here."),
                messages.SUCCESS,
            )
        return redirect("admin:search_indexbuild_changelist")
