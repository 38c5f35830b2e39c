"""What several of the admin's lists have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import truncatechars
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrPromise

from gallery.reasons import retold

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

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """An error as its reader is told it."""
        return ["reason" if name == "error" else name for name in super().get_fields(request, obj)]

    def may(self, request: HttpRequest, verb: str) -> bool:
        """Whether Django's own permission is held, which the methods above do not look at."""
        return request.user.has_perm(f"{self.opts.app_label}.{verb}_{self.opts.model_name}")

    @admin.display(description=_("error"))
    def reason(self, row: Any) -> str:
        return retold(row.error)

    @admin.display(description=_("error"))
    def short_error(self, row: Any) -> str:
        return truncatechars(retold(row.error), _ERROR_LETTERS)


def ids(rows: QuerySet[Any], field: str) -> Sequence[int]:
    return list(rows.order_by().values_list(field, flat=True))


def rounded(field: str, places: int, description: StrPromise) -> Callable[[Any], str]:
    """A column of the field, to so many decimal places."""

    @admin.display(description=description, ordering=field)
    def column(row: Any) -> str:
        value = getattr(row, field)
        return "-" if value is None else f"{value:.{places}f}"

    column.__name__ = field
    return column


def listed(parameters: Mapping[str, object]) -> str:
    """{"lists": 316, "probes": 6} as people write it: lists 316, probes 6."""
    return ", ".join(f"{name} {value}" for name, value in parameters.items())
