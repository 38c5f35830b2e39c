"""Rows to and from Postgres by COPY in its binary format, as numpy arrays.

Format: Postgres' manual, COPY, "Binary Format": the number of a row's fields, then each field's length and value.
Values of vectors and bits are as in `wire`.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search import wire
from search.vectors import FloatArray

#: Around the rows.
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)

#: A column: its field's length, and what the field is made of.
Column = NDArray[np.void]


def integers(values: NDArray[Any] | int, count: int, *, size: int = 8) -> Column:
    """One number for each of `count` rows, or one for all of them, in so many bytes."""
    return _column(count, [("value", f">i{size}")], value=values)


def halfvecs(vectors: NDArray[Any]) -> Column:
    """(n, d) vectors, rounded to half precision."""
    count, dimensions = vectors.shape
    return _column(count, _halfvec(dimensions), dimensions=dimensions, value=vectors)


def bits(packed: NDArray[np.uint8], size: int) -> Column:
    """The first `size` bits of (n, bytes), highest first."""
    count, width = packed.shape
    return _column(count, [("size", ">i4"), ("value", "u1", (width,))], size=size, value=packed)


def empty(count: int) -> Column:
    """Empty texts."""
    return _column(count, [])


def write(table: str, columns: dict[str, Column]) -> None:
    """COPY rows into a table; each column is of as many."""
    each = list(columns.values())
    rows = np.zeros(len(each[0]), _row(*(column.dtype for column in each)))
    rows["fields"] = len(each)
    for place, column in enumerate(each):
        rows[str(place)] = column
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with wire.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(_HEADER + rows.tobytes() + _TRAILER)


def read(select: str, dimensions: int) -> tuple[NDArray[np.int64], FloatArray]:
    """What a SELECT of a bigint and a halfvec gives, neither of them null: (n,) int64 and (n, dimensions) float32."""
    with wire.cursor() as cursor, cursor.copy(f"COPY ({select}) TO STDOUT (FORMAT binary)".encode()) as copied:
        data = b"".join(copied)
    row = _row(_field(("value", ">i8")), _field(*_halfvec(dimensions)))
    rows = np.frombuffer(data[len(_HEADER) : -len(_TRAILER)], row)
    return rows["0"]["value"].astype(np.int64), rows["1"]["value"].astype(np.float32)


def _halfvec(dimensions: int) -> list[tuple[Any, ...]]:
    return [("dimensions", ">i2"), ("unused", ">i2"), ("value", ">f2", (dimensions,))]


def _field(*parts: tuple[Any, ...]) -> np.dtype[np.void]:
    return np.dtype([("length", ">i4"), *parts])


def _row(*fields: np.dtype[np.void]) -> np.dtype[np.void]:
    return np.dtype([("fields", ">i2"), *((str(place), field) for place, field in enumerate(fields))])


def _column(count: int, parts: Sequence[tuple[Any, ...]], **values: Any) -> Column:
    field = _field(*parts)
    column = np.zeros(count, field)
    column["length"] = field.itemsize - field["length"].itemsize
    for name, value in values.items():
        column[name] = value
    return column
