"""The k nearest, by one statement and one round trip; of an index in groups, by one for each group that is near."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg
from django.db import connection

from gallery.models import AssetQuerySet
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
    encoder: int
    dimensions: int
    operator: str
    k: int


#: Every asset's vector, or that of every asset that passes.
_EXACT = (
    "SELECT asset_id, vector::halfvec({dimensions}) {operator} %b::halfvec({dimensions}) AS distance "
    "FROM search_embedding{passing} WHERE encoder_id = {encoder} AND vector IS NOT NULL ORDER BY distance LIMIT {k}"
)
_PASSING = " JOIN ({among}) passing ON passing.id = asset_id"
#: The settings hold until the statement's end. OFFSET 0 keeps the planner from taking the query apart: the index is
#: scanned when the settings are made, and once for the one query that there is.
_THROUGH = (
    "SELECT near.asset_id, near.vector::halfvec({dimensions}) {operator} q.vector AS distance "
    "FROM (SELECT {settings}, {query} OFFSET 0) q CROSS JOIN LATERAL ({candidates}) near "
    "ORDER BY distance LIMIT {k}"
)
#: OFFSET 0 again: as a join, the planner might choose to fetch all that pass and sort them.
_PASSES = " AND EXISTS (SELECT FROM ({among}) passing WHERE passing.id = {{asset}} OFFSET 0)"


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

    def count(self, most: int) -> int:
        """How many, up to a number."""
        [(count,)] = wire.rows(f"SELECT count(*) FROM (SELECT FROM ({self.sql}) a LIMIT {most}) b")
        return int(count)

    def estimate(self) -> int:
        """How many, as Postgres' statistics have it: counting half a million takes longer than a search."""
        [(line,)] = wire.rows(f"EXPLAIN (FORMAT json) {self.sql}")
        [plan] = line if isinstance(line, list) else json.loads(line)
        return int(plan["Plan"]["Plan Rows"])


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
        found += wire.rows(asked.sql, asked.parameters)
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
    asked = Asked(row.pk, row.dimensions, metric.operator, k)
    if through:
        return _through(through, vector, asked, passing)
    joined = "" if passing is None else _PASSING.format(among=passing.sql)
    return [Statement(_EXACT.format(passing=joined, **asked._asdict()), [wire.halfvec(vector)])]


def _through(through: Through, vector: FloatArray, asked: Asked, passing: Passing | None) -> list[Statement]:
    build, kind, effort = through.build, kinds.get(through.build.kind), through.effort
    queries, parameters, parts = f"%b::halfvec({asked.dimensions}) AS vector", [wire.halfvec(vector)], [0]
    if isinstance(kind, Coarse):
        fitted = codes.projection(build.pk)
        queries += f", %b::{kind.code_type(build.plan)} AS code"
        parameters.append(codes.for_query(kind, build.plan, vector))
        parts = fitted.parts_near(vector, effort.breadth)
    template = _template(build.kind, effort, iterate=passing is not None)
    passes = "" if passing is None else _PASSES.format(among=_braced(passing.sql))
    return [
        Statement(
            template.format(
                query=queries,
                candidates=kind.candidates(build.plan, effort, asked.k, passes, part),
                **asked._asdict(),
            ),
            parameters,
        )
        for part in parts
    ]


@lru_cache
def _template(kind: str, effort: Effort, *, iterate: bool) -> str:
    wanted = kinds.get(kind).settings(effort, iterate=iterate)
    settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in wanted.items())
    return _THROUGH.replace("{settings}", settings)


def _braced(sql: str) -> str:
    return sql.replace("{", "{{").replace("}", "}}")


def plan_of(asked: Statement) -> str:
    """How Postgres would go about it."""
    return "\n".join(line for (line,) in wire.rows(f"EXPLAIN {asked.sql}", asked.parameters, prepare=False))
