"""The admin of preferences: what people found the better of two ways to search."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext

from search.admin.base import ReadOnlyAdmin
from search.models import Preference


class BetterFilter(admin.AllValuesFieldListFilter):
    """Where both are alike the field is empty, and that has a name, too."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        yield from (
            {**choice, "display": choice["display"] or gettext("alike")} for choice in super().choices(changelist)
        )


@admin.register(Preference)
class PreferenceAdmin(ReadOnlyAdmin):
    list_display = ["marked", "user", "first", "second", "better", "query_sha256"]
    list_select_related = ["user"]
    list_filter = [("better", BetterFilter), "user"]
    date_hierarchy = "marked"
    ordering = ["-marked"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "delete")  # marks made to try things out
