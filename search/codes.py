"""Compact codes of vectors: fitted on the gallery's own, made for what is stored and for what comes."""

from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from django.db import IntegrityError, connection
from numpy.typing import NDArray

from search import copying, kinds, stored, wire
from search.kinds import Coarse, Plan
from search.models import Encoder, IndexBuild, Projection
from search.stored import Ids
from search.vectors import FloatArray

#: Vectors that a projection is learned from: some hundred for each of its dimensions.
_SAMPLE = 50_000

#: Of an asset that is there still.
_INSERT = (
    "INSERT INTO search_code (build_id, asset_id, part, {column}, vector) "
    "SELECT %s, id, %s, %b::{type}, %b::halfvec FROM gallery_asset WHERE id = %s FOR KEY SHARE "
    "ON CONFLICT (asset_id, build_id) "
    "DO UPDATE SET (part, {column}, vector) = (EXCLUDED.part, EXCLUDED.{column}, EXCLUDED.vector)"
)
_STALE = """
    DELETE FROM search_code AS mine WHERE build_id = %s AND NOT EXISTS (
        SELECT FROM search_embedding WHERE asset_id = mine.asset_id AND encoder_id = %s AND vector IS NOT NULL)
"""
_UNCODED = """
    SELECT asset_id FROM search_embedding AS mine WHERE encoder_id = %s AND vector IS NOT NULL
    AND NOT EXISTS (SELECT FROM search_code WHERE search_code.asset_id = mine.asset_id AND build_id = %s)
"""


@lru_cache(maxsize=4)
def projection(build_id: int) -> kinds.Projection:
    """How the build makes codes; a build's never changes. Raises Projection.DoesNotExist."""
    return kinds.Projection.from_bytes(bytes(Projection.objects.get(pk=build_id).data))


def for_query(build: IndexBuild, kind: Coarse, vector: FloatArray, probes: int) -> tuple[wire.Wire, list[int]]:
    """A (d,) vector's code, as the server reads it, and the groups in which to look for what is near it."""
    code, parts = kind.ask(projection(build.pk), vector, probes)
    return _to_wire(code, build.parameters["size"]), parts


def make(build: IndexBuild, kind: Coarse) -> None:
    """Fit the build's projection, code all that is stored, and plan how many lists each group gets.

    What is embedded meanwhile is seen to by `complete`, what is embedded later by `add`.
    """
    _, sample = stored.sample(build.encoder, _SAMPLE)
    fitted = kind.fit(sample, build.parameters)
    sizes = np.zeros(len(fitted.groups), np.int64)
    for ids, vectors in stored.pages(build.encoder):
        parts = _copy_in(kind, build.plan, fitted, ids, vectors)
        sizes += np.bincount(parts, minlength=len(sizes))
    build.parameters["lists"] = [kind.lists_of(rows) for rows in sizes.tolist()]
    build.save(update_fields=["parameters"])
    Projection.objects.create(build=build, data=fitted.to_bytes())


def complete(build: IndexBuild, kind: Coarse) -> None:
    """Code what was embedded by someone who did not know of the build yet, and uncode what is embedded no more.

    To be called when every transaction that began before the projection was stored has ended.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STALE, [build.pk, build.encoder_id])
        cursor.execute(_UNCODED, [build.encoder_id, build.pk])
        missing = {asset_id for (asset_id,) in cursor.fetchall()}
    if not missing:
        return
    for ids, vectors in stored.pages(build.encoder):
        wanted = [place for place, asset_id in enumerate(ids.tolist()) if asset_id in missing]
        if wanted:
            _insert(kind, build.plan, projection(build.pk), ids[wanted], vectors[wanted])


def add(row: Encoder, embedded: dict[int, NDArray[np.float32]]) -> None:
    """Code vectors by asset id, for each build of the encoder that has codes; in the caller's transaction."""
    for build in IndexBuild.objects.coded(row) if embedded else []:
        kind = kinds.get(build.kind)
        if isinstance(kind, Coarse):
            with suppress(Projection.DoesNotExist):  # replaced just now: nobody needs them any more
                fitted = projection(build.pk)
                _insert(kind, build.plan, fitted, np.array(list(embedded)), np.stack(list(embedded.values())))


def _insert(kind: Coarse, plan: Plan, fitted: kinds.Projection, ids: Ids, vectors: FloatArray) -> None:
    coded = zip(ids.tolist(), fitted.part_of(vectors).tolist(), kind.encode(fitted, vectors), vectors, strict=True)
    with wire.cursor() as cursor:
        cursor.executemany(
            _INSERT.format(column=kind.column, type=kind.code_type(plan)).encode(),
            [
                (plan.build_id, part, _to_wire(code, plan.parameters["size"]), wire.halfvec(vector), asset_id)
                for asset_id, part, code, vector in coded
            ],
        )


def _to_wire(code: NDArray[Any], size: int) -> wire.Wire:
    return wire.halfvec(code) if code.dtype == np.float16 else wire.bits(code, size)


def _copy_in(kind: Coarse, plan: Plan, fitted: kinds.Projection, ids: Ids, vectors: FloatArray) -> Ids:
    """The group that each vector is in, (n,)."""
    made, parts = kind.encode(fitted, vectors), fitted.part_of(vectors)
    size = plan.parameters["size"]
    columns = {
        "build_id": copying.integers(plan.build_id, len(ids)),
        "asset_id": copying.integers(ids, len(ids)),
        "part": copying.integers(parts, len(ids), size=2),
        kind.column: copying.halfvecs(made) if made.dtype == np.float16 else copying.bits(made, size),
        "vector": copying.halfvecs(vectors),
    }
    try:
        copying.write("search_code", columns)
    except IntegrityError:  # an asset was deleted since it was read
        _insert(kind, plan, fitted, ids, vectors)
    return parts
