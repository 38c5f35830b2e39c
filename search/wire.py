"""Vectors to and from Postgres in pgvector's binary formats: text takes longer to write and read than the search.

Formats: pgvector 0.8, src/halfvec.c (halfvec_recv) and Postgres, src/backend/utils/adt/varbit.c (varbit_recv).
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
from django.db import connection
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

#: Around the rows of COPY ... (FORMAT binary).
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
COPY_TRAILER = struct.pack("!h", -1)


class Wire(bytes):
    """A value as the server reads it."""

    __slots__ = ()


class _WireDumper(Dumper):
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
        made.adapters.register_dumper(Wire, _WireDumper)
        yield made


def rows(statement: str, parameters: Sequence[Any] = (), *, prepare: bool | None = None) -> list[tuple[Any, ...]]:
    with cursor() as made:
        return made.execute(statement.encode(), parameters, prepare=prepare).fetchall()
