"""Every query of a problem ranked against all that it could find, and what that comes to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search import kinds
from search.evaluation import measures, statistics
from search.evaluation.measures import KS, Float64Array, Ranking, Summary
from search.evaluation.problems import Problem, Query
from search.evaluation.revisited import Judged, ranking
from search.evaluation.statistics import Interval
from search.metrics import COSINE, Metric, pairwise

#: Queries ranked at a time, so that memory grows with the database and not with its square.
_AT_ONCE = 128
#: Hits kept of each query, to be shown; and ranks at which recall is drawn.
SHOWN = 10
RECALL_RANKS = (1, 2, 5, 10, 20, 50, 100)
#: Decimals of a distance. Equal vectors may differ in the last bits by where a matrix product met them.
_DECIMALS = 6


@dataclass(frozen=True)
class Hit:
    name: str
    label: str
    relevant: bool
    distance: float


@dataclass(frozen=True)
class Answered:
    """A query, its first hits without what the protocol passes over, and whether there was anything to be found."""

    name: str
    label: str
    hits: Sequence[Hit]
    total: int


@dataclass(frozen=True)
class By:
    """How it was searched. An index finds the nearest alone, so that what measures whole rankings is lower by it."""

    encoder: str
    metric: str = COSINE.name
    index: str = kinds.EXACT

    def __str__(self) -> str:
        return f"{self.encoder}, {self.metric}" + ("" if self.index == kinds.EXACT else f", {self.index}")


@dataclass(frozen=True)
class Outcome:
    """What a way to search and a protocol came to: `per_query` has (q,) float64 of each measure."""

    problem: str
    by: By
    protocol: str
    database: int
    answered: Sequence[Answered]
    per_query: dict[str, Float64Array]
    summary: Summary
    #: 95 % bootstrap intervals of the overall means, by the summary's names.
    intervals: dict[str, Interval]
    #: Recall, and mean interpolated precision there.
    precision_recall: tuple[Float64Array, Float64Array]
    #: Mean recall at each of RECALL_RANKS.
    recalls: Float64Array
    notes: Sequence[str]


@dataclass(frozen=True)
class Found:
    """What a query found: places in the problem's names, nearest first, and their distances."""

    query: Query
    order: NDArray[np.int64]
    distances: NDArray[np.float32]


def evaluate(problem: Problem, encoder: str, *, metric: Metric = COSINE, ks: Sequence[int] = KS) -> list[Outcome]:
    """An outcome for each protocol of the problem. Raises ValueError where there is nothing to search with or in."""
    if not problem.queries or not len(problem.names):
        raise ValueError("There is nothing to evaluate: no query, or nothing to search in.")
    by = By(encoder, metric.name)
    return [outcome(problem, by, protocol, _ranked(problem, metric), ks=ks) for protocol in problem.queries[0].judged]


def outcome(problem: Problem, by: By, protocol: str, found: Iterable[Found], *, ks: Sequence[int] = KS) -> Outcome:
    """What the answers to a problem's queries, in their order, come to by a protocol."""
    rankings: list[Ranking] = []
    answered: list[Answered] = []
    for one in found:
        judged = one.query.judged[protocol]
        rankings.append(ranking(np.asarray(problem.names)[one.order], judged))
        answered.append(_answered(problem, one, judged))
    per_query = measures.all_measures(rankings, ks)
    return Outcome(
        problem.name, by, protocol, len(problem.names), answered, per_query,
        measures.summary(per_query, [query.label for query in problem.queries]),
        {measures.summary_name(name): _interval(name, values) for name, values in per_query.items()},
        measures.precision_recall_curve(rankings), measures.recall_curve(rankings, RECALL_RANKS), problem.notes,
    )  # fmt: skip


def _ranked(problem: Problem, metric: Metric) -> Iterator[Found]:
    """Each query with all there is."""
    for start in range(0, len(problem.queries), _AT_ONCE):
        some = problem.queries[start : start + _AT_ONCE]
        apart = np.round(pairwise(metric, np.stack([query.vector for query in some]), problem.vectors), _DECIMALS)
        orders = measures.ranked(apart, problem.names)
        yield from map(Found, some, orders, np.take_along_axis(apart, orders, axis=1))


def _answered(problem: Problem, found: Found, judged: Judged) -> Answered:
    shown = zip(found.order[: SHOWN + len(judged.junk)].tolist(), found.distances.tolist(), strict=False)
    hits = [
        Hit(problem.names[place], problem.labels[place], problem.names[place] in judged.positive, distance)
        for place, distance in shown
        if problem.names[place] not in judged.junk
    ]
    return Answered(found.query.name, found.query.label, hits[:SHOWN], len(judged.positive))


def _interval(name: str, values: Float64Array) -> Interval:
    return statistics.bootstrap_interval(values, statistic="median" if name == "first_rank" else "mean")
