"""The product's own search, in an embedded Postgres of the benchmark's own. To be imported after django.setup()."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import psutil
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from benchmarks.search_peers import Floats, Ids, K, Result, measured, true_neighbours
from gallery.models import Asset, Tag
from search import calibration, copying, index, kinds, query, wire
from search.kinds import Effort
from search.models import Encoder, IndexBuild, Measurement
from search.nearest import Through, nearest
from search.query import Wanted

#: One asset in so many bears the tag.
FILTERS = {"50 %": 2, "10 %": 10, "1 %": 100, "0.1 %": 1000}
_COPIED_AT_ONCE = 20_000

_ASSETS = """
    INSERT INTO gallery_asset (id, owner_id, title, filename, created, original, preview, thumbnail, sha256, format,
                               width, height, size_bytes, caption, keywords, camera, lens, status, error,
                               source_url)
    SELECT i, %s, 'asset ' || i, i || '.jpg', now() - i * interval '1 second', '', '', '', lpad(to_hex(i), 64, '0'),
           (ARRAY['JPEG', 'PNG', 'WEBP'])[1 + i %% 3], 200 + i %% 3800, 200 + i %% 2800, 10000 + i,
           '', '{}', '', '', 'ready', '', ''
    FROM generate_series(%s, %s) AS i
"""
_TAGGED = (
    "INSERT INTO gallery_asset_tags (asset_id, tag_id) SELECT i, %s FROM generate_series(%s, %s) i WHERE i %% %s = 0"
)


# --- rows ---------------------------------------------------------------------------------------------------------


def prepared(name: str, dimensions: int) -> Encoder:
    call_command("migrate", verbosity=0)
    row = Encoder.objects.create(name=name, revision="1", dimensions=dimensions, preprocessing=1)
    row.activate()
    return row


def fill(row: Encoder, vectors: Floats, *, first: int = 0) -> float:
    """Assets with these vectors, their ids the vectors' places plus 1 and `first`; seconds of the vectors' COPY."""
    owner, _ = User.objects.get_or_create(username="benchmark")
    low, high = first + 1, first + len(vectors)
    with connection.cursor() as cursor:
        cursor.execute(_ASSETS, [owner.pk, low, high])
        for name, part in FILTERS.items():
            tag, _ = Tag.objects.get_or_create(name=name)
            cursor.execute(_TAGGED, [tag.pk, low, high, part])
    started = time.perf_counter()
    for start in range(0, len(vectors), _COPIED_AT_ONCE):
        _copy(row, vectors[start : start + _COPIED_AT_ONCE], low + start)
    took = time.perf_counter() - started
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return took


def _copy(row: Encoder, vectors: Floats, first: int) -> None:
    count = len(vectors)
    copying.write(
        "search_embedding",
        {
            "asset_id": copying.integers(np.arange(first, first + count), count),
            "encoder_id": copying.integers(row.pk, count),
            "attempts": copying.integers(1, count, size=2),
            "claimed_until": copying.integers(0, count),
            "error": copying.empty(count),
            "vector": copying.halfvecs(vectors),
        },
    )


# --- indexes ------------------------------------------------------------------------------------------------------


def exact(row: Encoder, queries: Floats, truth: Ids) -> Result:
    return measured("pg-exact", lambda vector: _places(nearest(row, vector, K)), queries, truth)


def build(row: Encoder, kind: str, parameters: kinds.Parameters | None = None) -> tuple[IndexBuild, dict[str, float]]:
    """Build an index; seconds until it is there and until it is tuned, its size, and the memory that building took."""
    cost, create = {}, index._create

    def timed(made: IndexBuild) -> None:
        started = time.perf_counter()
        create(made)
        cost["build_s"] = time.perf_counter() - started

    index._create = timed
    try:
        with _watched_memory(cost):
            started = time.perf_counter()
            made = index.build(row, kind=kind, parameters=parameters)
            cost["tune_s"] = time.perf_counter() - started - cost["build_s"]
    finally:
        index._create = create
    assert made is not None
    cost["index_mb"] = _size_mb(made)
    return made, {name: round(value, 1) for name, value in cost.items()}


def _size_mb(made: IndexBuild) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relname ~ %s", [f"^{made.index_name}(_|$)"]
        )
        size = float(cursor.fetchone()[0])
        if isinstance(kinds.get(made.kind), kinds.Coarse):
            cursor.execute("SELECT pg_total_relation_size('search_code') - pg_indexes_size('search_code')")
            size += float(cursor.fetchone()[0])
    return size / 1e6


@contextmanager
def _watched_memory(cost: dict[str, float]) -> Iterator[None]:
    """The most that this process and Postgres held more than before, shared pages counted once."""
    ended, before = threading.Event(), _held_mb()

    def watch() -> None:
        while not ended.wait(0.5):
            cost["memory_mb"] = max(cost.get("memory_mb", 0.0), _held_mb() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def backend_mb() -> float:
    """What the server's process for this connection, which has just searched, holds for itself alone."""
    [(pid,)] = wire.rows("SELECT pg_backend_pid()")
    return round(psutil.Process(pid).memory_full_info().uss / 1e6, 1)


def _held_mb() -> float:
    parts = [psutil.Process(), *(one for one in psutil.process_iter(["name"]) if one.info["name"] == "postgres")]
    held = 0.0
    for part in parts:
        try:
            held += part.memory_full_info().pss / 1e6
        except psutil.Error:
            continue
    return held


def settings_tried(
    row: Encoder, made: IndexBuild, queries: Floats, truth: Ids, cost: dict[str, float], *, name: str
) -> Iterator[Result]:
    """Each effort that tuning tried, the chosen one first, with the benchmark's queries."""
    assert made.tuned is not None
    chosen, kind = made.tuned.steps[0].effort, kinds.get(made.kind)
    tried = Measurement.objects.filter(build=made, purpose=Measurement.Purpose.TUNING)
    efforts = [Effort(one.parameters[kind.breadth], one.parameters.get("candidates")) for one in tried]
    for effort in dict.fromkeys([chosen, *sorted(efforts, key=lambda effort: effort.breadth)]):
        through = Through(made, effort)
        params = {**made.parameters, kind.breadth: effort.breadth}
        if isinstance(params.get("lists"), list):  # one number for each group
            params["lists"] = sum(params["lists"])
        if effort.candidates is not None:
            params["candidates"] = effort.candidates
        extra = {name: value for name, value in cost.items() if name != "build_s"}
        search = partial(_search, row, through)
        yield measured(
            f"pg-{name}", search, queries, truth,
            build_s=cost["build_s"], params={**params, **extra, "chosen": effort == chosen}, search=search,
        )  # fmt: skip


def _search(row: Encoder, through: Through, vector: Floats) -> list[int]:
    return _places(nearest(row, vector, K, through=through))


def _places(found: Sequence[tuple[int, float]]) -> list[int]:
    return [asset_id - 1 for asset_id, _ in found]


# --- whole searches -----------------------------------------------------------------------------------------------


def whole_searches(row: Encoder, vectors: Floats, queries: Floats, truth: Ids) -> Iterator[Result]:
    """find_similar with ten Asset rows: without filters, and with each."""
    calibration.calibrate(row)
    yield _whole("find_similar", row, queries, truth, Wanted())
    for name, part in FILTERS.items():
        near = true_neighbours(vectors[part - 1 :: part], queries) * part + part - 1
        wanted = Wanted(among=Asset.objects.tagged_all([name]))
        yield _whole(f"find_similar, {name} pass", row, queries, near, wanted)


def _whole(name: str, row: Encoder, queries: Floats, truth: Ids, wanted: Wanted) -> Result:
    fewest, way = K, None

    def search(vector: Floats) -> list[int]:
        nonlocal fewest, way
        answer = query.find_similar(vector, row, wanted)
        fewest, way = min(fewest, len(answer.results)), answer.search
        return [hit.asset.pk - 1 for hit in answer.results]

    result = measured(name, search, queries, truth)
    assert way is not None
    result.params = {"hits": fewest, "index": way.index or "exact", "filters": way.filters, "stated": way.recall}
    return result
