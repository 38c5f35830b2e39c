"""Measures of rankings against what is relevant. Numpy only.

A query with nothing relevant asks nothing that could be found: every measure of it is nan, and means leave it out, as
the revisited Oxford and Paris protocol does. (scikit-learn has 0 for their average precision.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]

#: Cut-offs that are reported where none are asked for.
KS = (1, 5, 10)
#: Recall 0, 0.01, ... 1 as COCO's evaluation has them (Lin et al., 2014); 11 are TREC's 0, 0.1, ... 1.
RECALL_LEVELS = 101


@dataclass(frozen=True, eq=False)
class Ranking:
    """The answer to one query: which of the ranked items are relevant, best first, with junk taken out already.

    `relevant` is (n,) bool; `total` counts what is relevant in the whole database, of which an index, or a list of
    the K nearest, may have missed some. Raises ValueError for another shape or kind, and for a total that is less
    than what was found.
    """

    relevant: NDArray[np.bool_]
    total: int

    def __post_init__(self) -> None:
        if self.relevant.ndim != 1 or self.relevant.dtype != np.bool_:
            raise ValueError("Relevance is one truth value for each ranked item.")
        if self.total < len(self.ranks):
            raise ValueError(f"{len(self.ranks)} relevant items were ranked, of {self.total} that there are.")

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """Ranks of the relevant items that were found, (found,) int64, ascending from 1."""
        return np.flatnonzero(self.relevant) + 1


# --- order --------------------------------------------------------------------------------------------------------


def ranked(distances: ArrayLike, names: ArrayLike) -> NDArray[np.int64]:
    """Positions of items, nearest first, and of equal distances in order of name: (..., n) int64 of (..., n) distances.

    `names` are strings or integers, (n,) where all queries rank the same items, or shaped as the distances. The
    order is total, so that it never depends on the order of the input. Equal vectors may still have distances that
    differ in their last bits by where a matrix product met them: round these first. Raises ValueError for a
    distance that is nan, a name that occurs twice in a query's items, and for shapes that do not go together.
    """
    apart = np.asarray(distances)
    if np.isnan(apart).any():
        raise ValueError("A distance is not a number.")
    given = np.asarray(names)
    places = np.unique(given, return_inverse=True)[1].reshape(given.shape)
    if (np.diff(np.sort(places, axis=-1), axis=-1) == 0).any():
        raise ValueError("Two items of one name: their order would be that of the input.")
    return np.lexsort((np.broadcast_to(places, apart.shape), apart), axis=-1)


# --- of one query -------------------------------------------------------------------------------------------------


def precision_at(ranking: Ranking, k: int) -> float:
    """Share of relevant items among the first k, in [0, 1]; nan where nothing is relevant.

    Divided by k even where fewer were ranked, so that a short answer gains nothing (trec_eval's P_k; Manning,
    Raghavan, Schütze, Introduction to Information Retrieval, 2008, 8.4). Raises ValueError for k below 1.
    """
    found = _found(ranking, k)
    return found / k if ranking.total else np.nan


def recall_at(ranking: Ranking, k: int) -> float:
    """Share of all relevant items that are among the first k, in [0, 1]; nan where nothing is relevant.

    Divided by `total`, also where that is more than k and 1 cannot be reached (trec_eval's recall_k; Manning et al.,
    2008, 8.4). "Recall@k" of metric learning, whether any relevant item is there at all, is `hit_at`. Raises
    ValueError for k below 1.
    """
    found = _found(ranking, k)
    return found / ranking.total if ranking.total else np.nan


def hit_at(ranking: Ranking, k: int) -> float:
    """1 where any relevant item is among the first k, else 0; nan where nothing is relevant.

    Its mean is the "recall@k" of metric learning and of near-duplicate search (Jégou, Douze, Schmid, Product
    Quantization, 2011; Oh Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, 2016). Raises
    ValueError for k below 1.
    """
    found = _found(ranking, k)
    return float(found > 0) if ranking.total else np.nan


def first_relevant_rank(ranking: Ranking) -> float:
    """Rank of the first relevant item, from 1; inf where none was ranked, nan where nothing is relevant.

    The median over queries is the median rank of cross-modal retrieval (Karpathy, Fei-Fei, 2015).
    """
    if not ranking.total:
        return np.nan
    return float(ranking.ranks[0]) if len(ranking.ranks) else np.inf


def average_precision(ranking: Ranking) -> float:
    """Mean over all relevant items of the precision at their ranks, in [0, 1]; nan where nothing is relevant.

    Not interpolated; a relevant item that was not ranked counts 0 (trec_eval's map; Manning et al., 2008, 8.4).
    Equal to scikit-learn's average_precision_score where every item is ranked and no two scores are equal. Not that
    of Oxford and Paris (`average_precision_trapezoid`), nor the 11 points or monotone envelope of Pascal VOC.
    """
    return float(_precisions(ranking).sum()) / ranking.total if ranking.total else np.nan


def average_precision_at(ranking: Ranking, k: int) -> float:
    """Average precision over the first k, in [0, 1]; nan where nothing is relevant.

    Divided by min(k, total), the most that the first k can hold, so that a perfect answer has 1: as the mAP@100 of
    Google Landmarks v2 (Weyand et al., 2020) and Kaggle's MAP@K. The other convention divides by `total` (trec_eval's
    map_cut_k), by which nothing reaches 1 where more than k are relevant; a third, by what was found, rewards missing
    the rest. Raises ValueError for k below 1.
    """
    found = _found(ranking, k)
    return float(_precisions(ranking)[:found].sum()) / min(k, ranking.total) if ranking.total else np.nan


def average_precision_trapezoid(ranking: Ranking) -> float:
    """Area under precision over recall by the trapezoid rule, in [0, 1]; nan where nothing is relevant.

    As Oxford's compute_ap.cpp (Philbin et al., Object Retrieval with Large Vocabularies and Fast Spatial Matching,
    2007) and compute_ap of revisitop (Radenović et al., 2018): each step in recall counts the mean of the precision
    just before the relevant item, 1 before the first rank, and at it. A relevant item that was not ranked counts 0.
    """
    if not ranking.total:
        return np.nan
    earlier = ranking.ranks - 1
    before = np.divide(np.arange(len(earlier)), earlier, out=np.ones(len(earlier)), where=earlier > 0)
    return float((before + _precisions(ranking)).sum()) / 2 / ranking.total


def ndcg_at(ranking: Ranking, k: int) -> float:
    """Discounted cumulative gain of the first k over the greatest possible, in [0, 1]; nan where nothing is relevant.

    Normalised as by Järvelin and Kekäläinen (Cumulated gain-based evaluation of IR techniques, 2002) with gains 1 and
    0, and the discount 1 / log2(1 + rank) of Burges et al. (2005), as scikit-learn's ndcg_score and trec_eval have
    it; in the paper of 2002 rank 2 is not discounted yet. The greatest possible has min(k, total) relevant items
    first. Raises ValueError for k below 1.
    """
    found = _found(ranking, k)
    if not ranking.total:
        return np.nan
    ideal = np.arange(1, min(k, ranking.total) + 1)
    return float(_discounts(ranking.ranks[:found]).sum() / _discounts(ideal).sum())


def _found(ranking: Ranking, k: int) -> int:
    """How many relevant items are among the first k."""
    if k < 1:
        raise ValueError(f"The first {k} items: k starts at 1.")
    return int(np.searchsorted(ranking.ranks, k, side="right"))


def _precisions(ranking: Ranking) -> Float64Array:
    """Precision at the rank of each relevant item found, (found,) float64."""
    return np.arange(1, len(ranking.ranks) + 1) / ranking.ranks


def _discounts(ranks: NDArray[np.int64]) -> Float64Array:
    discounts: Float64Array = 1 / np.log2(1 + ranks)
    return discounts


# --- of many queries ----------------------------------------------------------------------------------------------


def all_measures(rankings: Sequence[Ranking], ks: Sequence[int] = KS) -> dict[str, Float64Array]:
    """Every measure of every query, (q,) float64 each, nan where nothing is relevant.

    Keys: ap, ap_trapezoid, first_rank, and for each k precision@k, recall@k, hit@k, ap@k and ndcg@k.
    """
    plain = {
        "ap": average_precision,
        "ap_trapezoid": average_precision_trapezoid,
        "first_rank": first_relevant_rank,
    }
    cut = {
        "precision": precision_at,
        "recall": recall_at,
        "hit": hit_at,
        "ap": average_precision_at,
        "ndcg": ndcg_at,
    }
    values = {name: [measure(ranking) for ranking in rankings] for name, measure in plain.items()}
    values |= {
        f"{name}@{k}": [measure(ranking, k) for ranking in rankings] for name, measure in cut.items() for k in ks
    }
    return {name: np.array(of_queries, np.float64) for name, of_queries in values.items()}


@dataclass(frozen=True)
class Summary:
    """Means over queries, of all and of each class, by name: see `summary`."""

    overall: dict[str, float]
    classes: dict[str, dict[str, float]]


def summary(per_query: Mapping[str, Float64Array], classes: Sequence[str]) -> Summary:
    """Means of what `all_measures` gives, (q,) each, over all queries and over those of each of the (q,) classes.

    Keys as there, but map, map_trapezoid and map@k for means of ap, and median_rank for the median of first_rank, inf
    where half of the queries found nothing. `queries` counts those that something is relevant for: the others are
    left out, and where none remain all is nan. `overall` weighs queries alike, not classes. A query whose class is
    empty is of none. Raises ValueError where lengths differ.
    """
    if any(len(values) != len(classes) for values in per_query.values()):
        raise ValueError("One class for each query, and one value of each measure.")
    of = np.asarray(classes, dtype=str)
    return Summary(
        overall=_means(per_query),
        classes={
            str(name): _means({measure: values[of == name] for measure, values in per_query.items()})
            for name in np.unique(of[of != ""])
        },
    )


def _means(per_query: Mapping[str, Float64Array]) -> dict[str, float]:
    asking = {measure: values[~np.isnan(values)] for measure, values in per_query.items()}
    means = {summary_name(measure): _middle(measure, values) for measure, values in asking.items()}
    return {"queries": float(max(map(len, asking.values()), default=0)), **means}


def summary_name(measure: str) -> str:
    if measure == "first_rank":
        return "median_rank"
    return f"m{measure}" if measure.startswith("ap") else measure


def _middle(measure: str, values: Float64Array) -> float:
    if not len(values):
        return np.nan
    return float(np.median(values) if measure == "first_rank" else np.mean(values))


# --- curves and tables --------------------------------------------------------------------------------------------


def precision_recall_curve(
    rankings: Sequence[Ranking], levels: int = RECALL_LEVELS
) -> tuple[Float64Array, Float64Array]:
    """Recall from 0 to 1 in equal steps and the mean interpolated precision there, (levels,) float64 each.

    Interpolated: the highest precision at that recall or a higher one, 0 where it is not reached (Manning et al.,
    2008, 8.4; TREC's iprec_at_recall with 11 levels, COCO with 101). Recall is compared in whole items, so that
    rounding moves no level. Queries with nothing relevant are left out; precision is nan where none remain. Raises
    ValueError for fewer than 2 levels.
    """
    if levels < 2:  # noqa: PLR2004
        raise ValueError("Recall has two ends at least.")
    curves = [_interpolated(ranking, levels) for ranking in rankings if ranking.total]
    return np.linspace(0, 1, levels), np.mean(curves, axis=0) if curves else np.full(levels, np.nan)


def _interpolated(ranking: Ranking, levels: int) -> Float64Array:
    """Interpolated precision at each level of recall, (levels,) float64."""
    needed = -(-np.arange(levels) * ranking.total // (levels - 1))  # items for that recall, rounded up
    highest = np.maximum.accumulate(_precisions(ranking)[::-1])[::-1]
    padded = np.append(highest, np.zeros(ranking.total - len(highest)))
    at_levels: Float64Array = padded[np.maximum(needed, 1) - 1]
    return at_levels


def recall_curve(rankings: Sequence[Ranking], ks: Sequence[int]) -> Float64Array:
    """Mean `recall_at` each k, (ks,) float64 in [0, 1]; queries with nothing relevant are left out, nan if all are."""
    asking = [ranking for ranking in rankings if ranking.total]
    return np.array([np.mean([recall_at(ranking, k) for ranking in asking]) if asking else np.nan for k in ks])


def confusion(query_classes: Sequence[str], nearest_classes: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """How often the nearest item to a query of one class is of another, (labels, labels) int64.

    Rows are the query's class and columns its nearest item's, as scikit-learn's confusion_matrix has the true class
    and the predicted: classification by the nearest neighbour. Raises ValueError where lengths differ, for a class
    that is not among the labels, and for a label given twice.
    """
    if len(query_classes) != len(nearest_classes):
        raise ValueError("One nearest item for each query.")
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (_places(query_classes, labels), _places(nearest_classes, labels)), 1)
    return counts


def _places(classes: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    places: dict[Any, int] = {label: place for place, label in enumerate(labels)}
    if len(places) < len(labels) or not places.keys() >= set(classes):
        raise ValueError("Labels name each class once.")
    return np.array([places[name] for name in classes], np.int64)
