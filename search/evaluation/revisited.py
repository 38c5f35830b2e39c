"""Oxford and Paris buildings, as published and revisited: from ground truth to rankings and their scores. Numpy only.

Philbin, Chum, Isard, Sivic, Zisserman: Object Retrieval with Large Vocabularies and Fast Spatial Matching, 2007, and
Lost in Quantization, 2008. Radenović, Iscen, Tolias, Avrithis, Chum: Revisiting Oxford and Paris, 2018, and its
published code, revisitop (compute_map, example_evaluate): what is called exact here is so by that code.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from search.evaluation.measures import KS, Float64Array, Ranking, average_precision_trapezoid

#: The revisited protocol's.
SETUPS = ("easy", "medium", "hard")
#: What each protocol reports as published, by the names of `measures.summary`: mAP, and of the revisited mP@k.
REPORTED = {
    "original": ("map_trapezoid",),
    **dict.fromkeys(SETUPS, ("map_trapezoid", *(f"precision_clipped@{k}" for k in KS))),
}


@dataclass(frozen=True)
class Judged:
    """What is right for one query, by names or by numbers: to be found, and to be passed over as if it were not there.

    Raises ValueError where an item is both.
    """

    positive: AbstractSet[Any]
    junk: AbstractSet[Any]

    def __post_init__(self) -> None:
        if self.positive & self.junk:
            raise ValueError("An item is either to be found or to be passed over.")


@dataclass(frozen=True)
class Scores:
    """What the protocol reports: mAP and mP@k, in [0, 1]; `ap` is each query's, (q,) float64, nan without positives."""

    map: float
    mean_precision: dict[int, float]
    #: Those with positives.
    queries: int
    ap: Float64Array


def original(*, good: AbstractSet[Any], ok: AbstractSet[Any], junk: AbstractSet[Any]) -> Judged:
    """As published: good and ok are to be found, junk is passed over.

    The query's own picture is in that database, and good: it counts, as in the published code.
    """
    return Judged(positive=good | ok, junk=junk)


def revisited(*, easy: AbstractSet[Any], hard: AbstractSet[Any], junk: AbstractSet[Any]) -> dict[str, Judged]:
    """The three setups of one query: easy passes over the hard, hard over the easy, medium finds both."""
    return {
        "easy": Judged(positive=easy, junk=junk | hard),
        "medium": Judged(positive=easy | hard, junk=junk),
        "hard": Judged(positive=hard, junk=junk | easy),
    }


def ranking(order: ArrayLike, judged: Judged) -> Ranking:
    """The answer to one query without its junk, of (n,) names or numbers, best first.

    A positive that is not in the order counts as missed, as the published code has it. Raises ValueError for an item
    that is ranked twice.
    """
    items = np.asarray(order)
    if len(np.unique(items)) < len(items):
        raise ValueError("An item is ranked twice.")
    kept = items[~np.isin(items, list(judged.junk))]
    return Ranking(np.isin(kept, list(judged.positive)), total=len(judged.positive))


def clipped_precision_at(ranking: Ranking, k: int) -> float:
    """Precision over the first k, or up to the last positive where that comes sooner, in [0, 1]; nan without positives.

    Exact as compute_map's: kq = min(rank of the last positive found, k), and the share of positives among the first
    kq. So it is 1, not 3 / 10, where three positives lead and there are no more; but also where one of many positives
    was ranked, and first. Where none was ranked that code stops with an error: here it is 0. Raises ValueError for k
    below 1.
    """
    if k < 1:
        raise ValueError(f"The first {k} items: k starts at 1.")
    if not ranking.total:
        return np.nan
    if not len(ranking.ranks):
        return 0.0
    first = min(int(ranking.ranks[-1]), k)
    return float(ranking.relevant[:first].sum()) / first


def clipped_precisions(rankings: Sequence[Ranking], ks: Sequence[int] = KS) -> dict[str, Float64Array]:
    """`clipped_precision_at` of every query, (q,) float64 each, for each k as precision_clipped@k."""
    return {
        f"precision_clipped@{k}": np.array([clipped_precision_at(of_query, k) for of_query in rankings], np.float64)
        for k in ks
    }


def score(rankings: Sequence[Ranking], ks: Sequence[int] = KS) -> Scores:
    """mAP by the trapezoid rule, and mean precision at each k, clipped as `clipped_precision_at` says.

    Queries without positives are left out of the means, which are nan where none remain. Exact as compute_map.
    """
    asking = [of_query for of_query in rankings if of_query.total]
    return Scores(
        map=_mean([average_precision_trapezoid(of_query) for of_query in asking]),
        mean_precision={k: _mean([clipped_precision_at(of_query, k) for of_query in asking]) for k in ks},
        queries=len(asking),
        ap=np.array([average_precision_trapezoid(of_query) for of_query in rankings], np.float64),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan
