"""The admin of preferences: what people found the better of two ways to search."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from search.admin.base import ReadOnlyAdmin
from search.models import Preference


@admin.register(Preference)
class PreferenceAdmin(ReadOnlyAdmin):
    list_display = ["marked", "user", "first", "second", "better", "query_sha256"]
    list_select_related = ["user"]
    list_filter = ["better", "user"]
    date_hierarchy = "marked"
    ordering = ["-marked"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "delete")  # marks made to try things out
