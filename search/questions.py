"""Queries to measure an index with, and what is nearest to each in truth."""

from dataclasses import dataclass

import numpy as np

from search import stored
from search.models import Encoder, RecentQuery
from search.stored import Ids
from search.vectors import FloatArray

#: Stored vectors, and recent queries, that an index is measured with. For a new index one half chooses the effort, and
#: the other tells its recall: the least effort that passes a test has passed with some luck.
_SAMPLED, _RECENT = 400, 200
#: Fewer recent queries than this say too little.
RECENT_LEAST = 10


@dataclass(frozen=True)
class Questions:
    """Queries, and what is nearest to each in truth."""

    vectors: FloatArray
    #: Stored vectors come first: each is an asset's, which is left out of its own answer. 0 for others.
    assets: Ids
    #: (n, 2 * deepest) ids, nearest first; -1 where there are no more.
    truth: Ids

    def __len__(self) -> int:
        return len(self.vectors)

    def some(self, count: int) -> "Questions":
        """So many stored vectors and as many recent queries, if there are; each as random as the whole."""
        stored_ones, recent = np.flatnonzero(self.assets)[:count], np.flatnonzero(self.assets == 0)[:count]
        return self._only(np.concatenate([stored_ones, recent]))

    def halves(self) -> "tuple[Questions, Questions]":
        """Two of equal mixture."""
        places = np.arange(len(self))
        return self._only(places[::2]), self._only(places[1::2])

    def _only(self, kept: Ids) -> "Questions":
        return Questions(self.vectors[kept], self.assets[kept], self.truth[kept])


def questions(row: Encoder, deepest: int) -> Questions:
    """Stored vectors drawn at random, and the most recent queries, with their true neighbours."""
    assets, drawn = stored.sample(row, _SAMPLED)
    recent = _recent(row)
    vectors = np.concatenate([drawn, recent])
    own = np.concatenate([assets, np.zeros(len(recent), np.int64)])
    return Questions(vectors, own, true_neighbours(row, vectors, own, 2 * deepest))


def _recent(row: Encoder) -> FloatArray:
    """The latest, (n, d); none where a half of them would say too little."""
    kept = list(RecentQuery.objects.filter(encoder=row).order_by("-id").values_list("vector", flat=True)[:_RECENT])
    enough = kept if len(kept) >= 2 * RECENT_LEAST else []
    return np.array([np.asarray(vector) for vector in enough], np.float32).reshape(-1, row.dimensions)


def true_neighbours(row: Encoder, vectors: FloatArray, own: Ids, count: int) -> Ids:
    """Asset ids of the `count` nearest by cosine to (n, d) unit vectors, nearest first, (n, count) int64.

    `own` has the id of the asset that each vector is of, to be left out; -1 fills up where there are too few. All
    stored vectors pass through memory once, however many queries there are.
    """
    best = np.full((len(vectors), 0), -np.inf, np.float32)
    nearest_ids = np.full((len(vectors), 0), -1, np.int64)
    for ids, page in stored.pages(row):
        scores = vectors @ page.T / np.linalg.norm(page, axis=1)
        scores[own[:, None] == ids[None, :]] = -np.inf
        best = np.concatenate([best, scores], axis=1)
        nearest_ids = np.concatenate([nearest_ids, np.broadcast_to(ids, scores.shape)], axis=1)
        if best.shape[1] > count:
            kept = np.argpartition(-best, count - 1, axis=1)[:, :count]
            best, nearest_ids = np.take_along_axis(best, kept, 1), np.take_along_axis(nearest_ids, kept, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    best, nearest_ids = np.take_along_axis(best, order, 1), np.take_along_axis(nearest_ids, order, 1)
    return np.where(np.isfinite(best), nearest_ids, -1)
