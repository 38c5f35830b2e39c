"""Every query of a problem ranked against all that it could find, and what that comes to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from search import kinds
from search.evaluation import measures, statistics
from search.evaluation.measures import KS, Float64Array, Ranking, Summary
from search.evaluation.problems import Problem, Query
from search.evaluation.revisited import SETUPS, Judged, clipped_precisions, ranking
from search.evaluation.statistics import Interval
from search.metrics import COSINE, Metric, pairwise

#: Queries ranked at a time, so that memory grows with the database and not with its square.
_AT_ONCE = 128
#: Hits kept of each query, to be shown; and ranks at which recall is drawn.
SHOWN = 10
RECALL_RANKS = (1, 2, 5, 10, 20, 50, 100)
#: Decimals of a distance. Equal vectors may differ in the last bits by where a matrix product met them.
_DECIMALS = 6
#: Measures of whole rankings, which an index does not give.
_OF_ALL = ("ap", "ap_trapezoid", "first_rank")


@dataclass(frozen=True)
class Hit:
    name: str
    label: str
    relevant: bool
    distance: float


@dataclass(frozen=True)
class Answered:
    """A query, its first hits without what the protocol passes over, and how many there were to be found."""

    name: str
    label: str
    hits: Sequence[Hit]
    total: int


@dataclass(frozen=True)
class By:
    """How it was searched. `depth` is how many hits an index was asked for; None where all there is was ranked."""

    encoder: str
    revision: str = ""
    metric: str = COSINE.name
    index: str = kinds.EXACT
    depth: int | None = None

    def __str__(self) -> str:
        return f"{self.encoder}, {self.metric}" + ("" if self.index == kinds.EXACT else f", {self.index}")


@dataclass(frozen=True)
class Outcome:
    """What a way to search and a protocol came to: `per_query` has (q,) float64 of each measure.

    Of an index, measures of whole rankings are left out.
    """

    problem: str
    by: By
    protocol: str
    database: int
    answered: Sequence[Answered]
    per_query: dict[str, Float64Array]
    summary: Summary
    #: 95 % bootstrap intervals of the overall means, by the summary's names.
    intervals: dict[str, Interval]
    #: Recall, and mean interpolated precision there; None of an index.
    precision_recall: tuple[Float64Array, Float64Array] | None
    #: Mean recall at each of RECALL_RANKS, nan from an index's depth on.
    recalls: Float64Array
    notes: Sequence[str]


@dataclass(frozen=True)
class Found:
    """What a query found: places in the problem's names, nearest first, and their distances."""

    query: Query
    order: NDArray[np.int64]
    distances: NDArray[np.float32]


def evaluate(
    problem: Problem, encoder: str, *, revision: str = "", metric: Metric = COSINE, ks: Sequence[int] = KS
) -> list[Outcome]:
    """An outcome for each protocol of the problem. Raises ValueError where there is nothing to search with or in."""
    if not problem.queries or not len(problem.names):
        raise ValueError("There is nothing to evaluate: no query, or nothing to search in.")
    by = By(encoder, revision, metric.name)
    return [outcome(problem, by, protocol, _ranked(problem, metric), ks=ks) for protocol in protocols(problem)]


def protocols(problem: Problem) -> list[str]:
    return list(problem.queries[0].judged)


def outcome(problem: Problem, by: By, protocol: str, found: Iterable[Found], *, ks: Sequence[int] = KS) -> Outcome:
    """What the answers to a problem's queries, in their order, come to by a protocol."""
    summed = _Sums(problem, protocol, ks)
    answers = iter(found)
    while some := list(islice(answers, _AT_ONCE)):
        summed.add(some)
    left_out = _OF_ALL if by.depth else ()
    per_query = {name: values for name, values in summed.per_query().items() if name not in left_out}
    # not at its depth either: one of the hits may have been passed over
    has_recall = np.array(RECALL_RANKS) < (by.depth or np.inf)
    return Outcome(
        problem.name, by, protocol, len(problem.names), summed.answered, per_query,
        measures.summary(per_query, [query.label for query in problem.queries]),
        {measures.summary_name(name): _interval(name, values) for name, values in per_query.items()},
        None if by.depth else (np.linspace(0, 1, measures.RECALL_LEVELS), summed.mean_curve),
        np.where(has_recall, summed.mean_recalls, np.nan), problem.notes,
    )  # fmt: skip


class _Sums:
    """Of answers that come in blocks: rankings themselves are let go of, each as long as the database is large."""

    def __init__(self, problem: Problem, protocol: str, ks: Sequence[int]) -> None:
        self.answered: list[Answered] = []
        #: Sums over the queries that ask for something, and how many these are.
        self._curve, self._recalls = np.zeros(measures.RECALL_LEVELS), np.zeros(len(RECALL_RANKS))
        self._asking = 0
        self._problem, self._protocol, self._ks = problem, protocol, ks
        self._place_of = {name: place for place, name in enumerate(problem.names)}
        self._measured: list[dict[str, Float64Array]] = []

    def add(self, found: Sequence[Found]) -> None:
        rankings = [self._judge(one) for one in found]
        asking = [one for one in rankings if one.total]
        own = clipped_precisions(rankings, self._ks) if self._protocol in SETUPS else {}
        self._measured.append(measures.all_measures(rankings, self._ks) | own)
        if asking:
            _, precision = measures.precision_recall_curve(asking)
            self._curve += precision * len(asking)
            self._recalls += measures.recall_curve(asking, RECALL_RANKS) * len(asking)
            self._asking += len(asking)

    def _judge(self, found: Found) -> Ranking:
        """By places, which are compared faster than names; what is not in the database is missed."""
        judged = found.query.judged[self._protocol]
        positive = {self._place_of.get(name, -number) for number, name in enumerate(sorted(judged.positive), start=1)}
        junk = {self._place_of[name] for name in judged.junk if name in self._place_of}
        self.answered.append(_answered(self._problem, found, positive, junk))
        return ranking(found.order, Judged(positive, junk))

    def per_query(self) -> dict[str, Float64Array]:
        return {name: np.concatenate([block[name] for block in self._measured]) for name in self._measured[0]}

    @property
    def mean_curve(self) -> Float64Array:
        """nan where no query asks for anything, and so below."""
        return self._curve / (self._asking or np.nan)

    @property
    def mean_recalls(self) -> Float64Array:
        return self._recalls / (self._asking or np.nan)


def _ranked(problem: Problem, metric: Metric) -> Iterator[Found]:
    """Each query with all there is."""
    # a root makes much of the last bits of what is nearly 0
    ranks_by = COSINE if metric.ranks_as_cosine else metric
    for start in range(0, len(problem.queries), _AT_ONCE):
        some = problem.queries[start : start + _AT_ONCE]
        asked = np.stack([query.vector for query in some])
        near = pairwise(ranks_by, asked, problem.vectors)
        orders = measures.ranked(np.round(near, _DECIMALS), problem.names)
        apart = near if metric is ranks_by else pairwise(metric, asked, problem.vectors)
        yield from map(Found, some, orders, np.take_along_axis(apart, orders, axis=1))


def _answered(problem: Problem, found: Found, positive: set[int], junk: set[int]) -> Answered:
    shown = zip(found.order[: SHOWN + len(junk)].tolist(), found.distances.tolist(), strict=False)
    hits = [
        Hit(problem.names[place], problem.labels[place], place in positive, distance)
        for place, distance in shown
        if place not in junk
    ]
    return Answered(found.query.name, found.query.label, hits[:SHOWN], len(positive))


def _interval(name: str, values: Float64Array) -> Interval:
    return statistics.bootstrap_interval(values, statistic="median" if name == "first_rank" else "mean")
