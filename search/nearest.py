"""The k nearest, by one statement and one round trip; of an index in groups, by one for each group that is near."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg
from django.db import connection

from gallery.models import Asset, AssetQuerySet
from search import codes, kinds, wire
from search.kinds import Coarse, Effort
from search.metrics import COSINE, Metric
from search.models import Encoder, IndexBuild
from search.vectors import FloatArray

Found = list[tuple[int, float]]


@dataclass(frozen=True)
class Through:
    """An index to search through, and how hard."""

    build: IndexBuild
    effort: Effort


@dataclass(frozen=True)
class Statement:
    sql: str
    parameters: Sequence[Any]


class Asked(NamedTuple):
    dimensions: int
    operator: str
    k: int


#: Every asset's vector, or that of every asset that passes.
_EXACT = (
    "SELECT id, vector::halfvec({dimensions}) {operator} %b::halfvec({dimensions}) AS distance "
    "FROM ({vectors}) vectors ORDER BY distance LIMIT {k}"
)
_VECTORS = "SELECT asset_id AS id, vector FROM search_embedding WHERE encoder_id = {encoder} AND vector IS NOT NULL"
#: The settings hold until the statement's end. OFFSET 0 keeps the planner from taking the query apart: the index is
#: scanned when the settings are made, and once for the one query that there is.
_THROUGH = (
    "SELECT near.asset_id, near.vector::halfvec({dimensions}) {operator} q.vector AS distance "
    "FROM (SELECT {selected} OFFSET 0) q CROSS JOIN LATERAL ({candidates}) near "
    "ORDER BY distance LIMIT {k}"
)
#: OFFSET 0 again: as a join, the planner might choose to fetch all that pass and sort them.
_PASSES = " AND EXISTS ({passing} OFFSET 0)"


#: As Django writes it.
_ASSETS = f'"{Asset._meta.db_table}"'  # noqa: SLF001 (public, its documentation says)
_IDS = f'SELECT {_ASSETS}."id" AS "id" FROM {_ASSETS}'


class Passing:
    """The assets that pass filters, as SQL: made once, for what is asked of them on the way to an answer.

    Values are written into it, so that the planner knows them. Raises EmptyResultSet where Django knows that nothing
    passes.
    """

    def __init__(self, among: AssetQuerySet) -> None:
        sql, values = among.order_by().values("id").query.sql_with_params()
        connection.ensure_connection()
        written = psycopg.ClientCursor(connection.connection).mogrify(sql, values)
        self.sql = written.replace("%", "%%")  # it becomes a part of statements that have placeholders
        #: Of several conditions Postgres takes each to be met as often, whatever the others; that may be far off.
        self.is_one_condition = len(among.query.where.children) == 1
        self._where = self.sql.removeprefix(_IDS) if _needs_ids_alone(among, sql) else None

    def of(self, source: str) -> str:
        """What passes of a SELECT that has assets by `id`.

        Where filters ask for no column but the id, as those for tags do, assets themselves are not looked up: that
        takes 3 microseconds each, and thousands are asked about.
        """
        if self._where is not None:
            return f"SELECT {_ASSETS}.* FROM ({source}) AS {_ASSETS}{self._where}"
        return f"SELECT source.* FROM ({source}) source JOIN ({self.sql}) passing ON passing.id = source.id"

    def count(self, most: int) -> int:
        """How many, up to a number."""
        [(count,)] = wire.rows(f"SELECT count(*) FROM (SELECT FROM ({self.sql}) a LIMIT {most}) b")
        return int(count)

    def estimate(self) -> int:
        """How many, as Postgres' statistics have it: counting half a million takes longer than a search."""
        [(line,)] = wire.rows(f"EXPLAIN (FORMAT json) {self.sql}")
        [plan] = line if isinstance(line, list) else json.loads(line)
        return int(plan["Plan"]["Plan Rows"])


def _needs_ids_alone(among: AssetQuerySet, sql: str) -> bool:
    """Whether all that is asked of an asset is its id. Columns are known by their table's name before them."""
    query = among.query
    is_plain = not (query.distinct or query.combinator or query.is_sliced or query.group_by)
    return is_plain and sql.startswith(_IDS) and sql.count(f"{_ASSETS}.") == sql.count(f'{_ASSETS}."id"')


def nearest(
    row: Encoder,
    vector: FloatArray,
    k: int,
    *,
    metric: Metric = COSINE,
    through: Through | None = None,
    passing: Passing | None = None,
) -> Found:
    """(asset id, distance) of the k nearest to a (dimensions,) unit vector, nearest first; exact unless `through`."""
    found: Found = []
    for asked in statements(row, vector, k, metric=metric, through=through, passing=passing):
        # at once, where statements are few: planning one of an index in groups takes as long as several searches
        found += wire.rows(asked.sql, asked.parameters, prepare=True if through and passing is None else None)
    return sorted(found, key=itemgetter(1))[:k]


def statements(
    row: Encoder,
    vector: FloatArray,
    k: int,
    *,
    metric: Metric = COSINE,
    through: Through | None = None,
    passing: Passing | None = None,
) -> list[Statement]:
    """What to ask for: one statement, or of an index in parts one for each that is near enough."""
    asked = Asked(row.dimensions, metric.operator, k)
    if through:
        return _through(through, vector, asked, passing)
    vectors = _VECTORS.format(encoder=row.pk)
    sql = _EXACT.format(vectors=vectors if passing is None else passing.of(vectors), **asked._asdict())
    return [Statement(sql, [wire.halfvec(vector)])]


def _through(through: Through, vector: FloatArray, asked: Asked, passing: Passing | None) -> list[Statement]:
    build, kind = through.build, kinds.get(through.build.kind)
    parameters, parts = [wire.halfvec(vector)], [0]
    if isinstance(kind, Coarse):
        code, parts = codes.for_query(build, kind, vector, through.effort.breadth)
        parameters.append(code)
    written = _written_once if passing is None else _written
    passes = "" if passing is None else _PASSES.format(passing=passing.of(f"SELECT {kind.asset} AS id"))
    most = max(asked.k, through.effort.candidates or 0)
    return [  # of the second nearest group half as many candidates as of the nearest, of the third a third
        Statement(
            written(build, through.effort, asked, passes, part=part, most=math.ceil(most / place)),
            parameters,
        )
        for place, part in enumerate(parts, start=1)
    ]


def _written(build: IndexBuild, effort: Effort, asked: Asked, passes: str, *, part: int, most: int) -> str:
    plan, kind = build.plan, kinds.get(build.kind)
    settings = kind.settings(effort, iterate=bool(passes))
    selected = [f"set_config('{name}', '{value}', true)" for name, value in settings.items()]
    selected.append(f"%b::halfvec({asked.dimensions}) AS vector")
    if isinstance(kind, Coarse):
        selected.append(f"%b::{kind.code_type(plan)} AS code")
    candidates = kind.candidates(plan, most, passes, part)
    return _THROUGH.format(selected=", ".join(selected), candidates=candidates, **asked._asdict())


#: Without filters: it takes a tenth as long as the search.
_written_once = lru_cache(maxsize=2000)(_written)


def plan_of(asked: Statement) -> str:
    """How Postgres would go about it."""
    return "\n".join(line for (line,) in wire.rows(f"EXPLAIN {asked.sql}", asked.parameters, prepare=False))
