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
    #: Filters that ask for an asset's id alone make a set of those that pass, and no look-up for each candidate.
    as_set: bool = False


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
#: The same, with how many pass, up to one more than were to be ranked. Where several processes share the work, each
#: computes its own distances, and hands on no vectors.
_RANKED = (
    "SELECT id, distance, count(*) OVER () FROM (SELECT id, vector::halfvec({dimensions}) {operator} "
    "%b::halfvec({dimensions}) AS distance FROM ({vectors}) vectors LIMIT {most} + 1) ranked "
    "ORDER BY distance LIMIT {k}"
)
_VECTORS = "SELECT asset_id AS id, vector FROM search_embedding WHERE encoder_id = {encoder} AND vector IS NOT NULL"
#: The settings hold until the statement's end. OFFSET 0 keeps the planner from taking the query apart: the index is
#: scanned when the settings are made, and once for the one query that there is.
_THROUGH = (
    "SELECT near.asset_id, near.vector::halfvec({dimensions}) {operator} q.vector AS distance "
    "FROM (SELECT {selected} OFFSET 0) q CROSS JOIN LATERAL ({candidates}) near "
    "ORDER BY distance LIMIT {k}"
)
#: OFFSET 0 again: as a join, the planner might choose to fetch all that pass and sort them. IS TRUE does the same.
_PASSES, _AMONG = " AND EXISTS ({passing} OFFSET 0)", " AND ({condition}) IS TRUE"


#: As Django writes it.
_ASSETS = f'"{Asset._meta.db_table}"'  # noqa: SLF001 (public, its documentation says)
_ID = f'{_ASSETS}."id"'
_IDS = f'SELECT {_ID} AS "id" FROM {_ASSETS}'


class MorePass(Exception):
    """More assets pass the filters than were to be ranked."""


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
        #: What is known of how many pass.
        self.more_than = 0
        #: Of several conditions Postgres takes each to be met as often, whatever the others; that may be far off.
        self.is_one_condition = len(among.query.where.children) == 1
        #: Nothing else is asked of an asset.
        self.is_by_id = _needs_ids_alone(among, sql)
        self._where = self.sql.removeprefix(_IDS)

    def of(self, source: str) -> str:
        """What passes of a SELECT that has assets by `id`.

        Where filters ask for no column but the id, as those for tags do, assets themselves are not looked up: that
        takes 3 microseconds each, and thousands are asked about.
        """
        if self.is_by_id:
            return f"SELECT {_ASSETS}.* FROM ({source}) AS {_ASSETS}{self._where}"
        return f"SELECT source.* FROM ({source}) source JOIN ({self.sql}) passing ON passing.id = source.id"

    def condition(self, asset: str, *, as_set: bool) -> str:
        """That the asset in this column passes, to follow other conditions.

        `as_set`, where filters ask for no column but the id: what Postgres makes a set of once, it finds in it in a
        tenth of the time of a look-up, which pays as long as few pass.
        """
        if as_set and self.is_by_id and self._where:
            return _AMONG.format(condition=self._where.removeprefix(" WHERE ").replace(_ID, asset))
        return _PASSES.format(passing=self.of(f"SELECT {asset} AS id"))

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
    return is_plain and sql.startswith(_IDS) and sql.count(f"{_ASSETS}.") == sql.count(_ID)


def nearest(
    row: Encoder,
    vector: FloatArray,
    k: int,
    *,
    metric: Metric = COSINE,
    through: Through | None = None,
    passing: Passing | None = None,
    most: int | None = None,
) -> Found:
    """(asset id, distance) of the k nearest to a (dimensions,) unit vector, nearest first; exact unless `through`.

    Raises MorePass where it is exact and more than `most` pass: nobody counted them before, which takes half as long.
    """
    if most is not None and passing is not None:
        return _ranked(row, vector, Asked(row.dimensions, metric.operator, k), passing, most)
    found: Found = []
    for asked in statements(row, vector, k, metric=metric, through=through, passing=passing):
        # at once, where statements are few: planning one of an index in groups takes as long as several searches
        found += wire.rows(asked.sql, asked.parameters, prepare=True if through and passing is None else None)
    return sorted(found, key=itemgetter(1))[:k]


def _ranked(row: Encoder, vector: FloatArray, asked: Asked, passing: Passing, most: int) -> Found:
    vectors = passing.of(_VECTORS.format(encoder=row.pk))
    found = wire.rows(_RANKED.format(vectors=vectors, most=most, **asked._asdict()), [wire.halfvec(vector)])
    if found and found[0][2] > most:
        passing.more_than = most
        raise MorePass
    return [(asset_id, distance) for asset_id, distance, _ in found]


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
    passes = "" if passing is None else passing.condition(kind.asset, as_set=through.as_set)
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
