"""Which files rows name: in any field for files, of any model of any app whose table there is."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import FileField

_ROWS_AT_ONCE = 2000


def fields() -> list[FileField]:
    """A database of an older version lacks tables of this one."""
    tables = set(connection.introspection.table_names())
    models = [model for model in apps.get_models() if model._meta.db_table in tables]  # noqa: SLF001 (public, so named)
    fields = [field for model in models for field in model._meta.get_fields()]  # noqa: SLF001 (public, so named)
    return [field for field in fields if isinstance(field, FileField)]


def rows(field: FileField, *further: str, **lookup: str) -> Iterator[tuple[Any, ...]]:
    """(primary key, name, and values of further fields) of each row that names a file in this field.

    A lookup is one of the name, as in startswith="originals/a".
    """
    named = field.model._base_manager.exclude(**{field.name: ""})  # noqa: SLF001 (public, so named)
    named = named.filter(**{f"{field.name}__{how}": value for how, value in lookup.items()})
    return named.order_by("pk").values_list("pk", field.name, *further).iterator(_ROWS_AT_ONCE)


def names(**lookup: str) -> set[str]:
    return {name for field in fields() for _, name in rows(field, **lookup)}
