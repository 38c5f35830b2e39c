"""Stored vectors, read in bulk: a million of 768 dimensions in ten seconds, where the ORM takes minutes."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from search import copying, wire
from search.models import Embedding, Encoder
from search.vectors import FloatArray

Ids = NDArray[np.int64]

#: Rows read at a time: 30 MB in half precision at 768 dimensions.
_PAGE = 20_000

_OF = (
    "SELECT asset_id, vector FROM search_embedding WHERE encoder_id = %s AND asset_id = ANY(%s) AND vector IS NOT NULL"
)
_PAGE_OF = """
    SELECT asset_id, vector FROM search_embedding
    WHERE encoder_id = {encoder} AND vector IS NOT NULL AND asset_id > {after} ORDER BY asset_id LIMIT {page}
"""
_SAMPLE_OF = """
    SELECT asset_id, vector FROM search_embedding TABLESAMPLE BERNOULLI ({percent})
    WHERE encoder_id = {encoder} AND vector IS NOT NULL LIMIT {most}
"""


def count(row: Encoder) -> int:
    """How many vectors there are. All rows are counted by one index, and the few without a vector by another."""
    own = Embedding.objects.filter(encoder=row)
    return own.count() - own.filter(vector=None).count()


def of(asset_ids: Sequence[int], row: Encoder) -> dict[int, FloatArray]:
    """Vectors by asset id, (d,) float32 each, of those that have one."""
    found = wire.rows(_OF, [row.pk, list(asset_ids)])
    return {asset_id: wire.to_vector(data) for asset_id, data in found}


def pages(row: Encoder) -> Iterator[tuple[Ids, FloatArray]]:
    """All of an encoder's vectors with their asset ids, ascending: (n,) int64 and (n, d) float32 at a time."""
    after = 0
    while True:
        ids, vectors = copying.read(_PAGE_OF.format(encoder=row.pk, after=after, page=_PAGE), row.dimensions)
        if not len(ids):
            return
        yield ids, vectors
        after = int(ids[-1])


def sample(row: Encoder, most: int) -> tuple[Ids, FloatArray]:
    """Up to so many of an encoder's vectors, drawn at random, in random order: (n,) int64 and (n, d) float32."""
    # more than are wanted: the number that comes of drawing each row on its own varies
    percent = min(100.0, 100 * (1.5 * most + 50) / max(1, count(row)))
    drawn = _SAMPLE_OF.format(encoder=row.pk, percent=percent, most=3 * most + 100)
    ids, vectors = copying.read(drawn, row.dimensions)
    chosen = np.random.default_rng().permutation(len(ids))[:most]
    return ids[chosen], vectors[chosen]
