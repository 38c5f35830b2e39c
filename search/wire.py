"""Vectors to and from Postgres in pgvector's binary formats: text takes longer to write and read than the search.

Formats: pgvector 0.8, src/halfvec.c (halfvec_recv) and Postgres, src/backend/utils/adt/varbit.c (varbit_recv).
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import numpy as np
import psycopg
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

M = TypeVar("M", bound=Model)


class Wire(bytes):
    """A value as the server reads it."""

    __slots__ = ()


class WireDumper(Dumper):
    format = Format.BINARY
    oid = 0  # the server takes the type from the cast that stands beside the parameter

    def dump(self, obj: bytes) -> bytes:
        return obj


def halfvec(vector: NDArray[Any]) -> Wire:
    """A (d,) vector of any float dtype, rounded to half precision."""
    return Wire(struct.pack("!hh", len(vector), 0) + vector.astype(">f2").tobytes())


def to_vector(data: bytes) -> NDArray[np.float32]:
    """A halfvec as the server writes it, (d,) float32."""
    return np.frombuffer(data, ">f2", offset=4).astype(np.float32)


def bits(packed: NDArray[np.uint8], count: int) -> Wire:
    """The first `count` bits of packed (n,) bytes, highest first."""
    return Wire(struct.pack("!i", count) + packed.tobytes())


@contextmanager
def cursor() -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """One that binds at the server and speaks binary, on Django's own connection and in its transaction."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as made:
        made.format = Format.BINARY
        yield made


def rows(statement: str, parameters: Sequence[Any] = (), *, prepare: bool | None = None) -> list[tuple[Any, ...]]:
    connection.ensure_connection()
    with connection.wrap_database_errors:
        made = psycopg.Cursor(connection.connection)
        return made.execute(statement.encode(), parameters, prepare=prepare, binary=True).fetchall()


def instances(model: type[M], condition: str, parameters: Sequence[Any], *, without: Sequence[str] = ()) -> list[M]:
    """The rows of a model's table that meet a condition. Through the ORM, ten take longer than to find them."""
    names, select = _select(model, tuple(without))
    found = rows(f"{select} WHERE {condition}", parameters)
    return [model.from_db(DEFAULT_DB_ALIAS, names, values) for values in found]


@cache
def _select(model: type[Model], without: tuple[str, ...]) -> tuple[list[str], str]:
    """Names of fields, and SELECT of their columns."""
    fields = [field for field in model._meta.concrete_fields if field.name not in without]  # noqa: SLF001 (public)
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001
    return [field.attname for field in fields], f"SELECT {columns} FROM {table}"
