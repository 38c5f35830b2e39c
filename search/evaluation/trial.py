"""Whether a head finds better than what it is made from, tried on pictures that it was not fitted to."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from search import heads
from search.evaluation import statistics
from search.evaluation.problems import Problem, Query
from search.evaluation.revisited import Judged
from search.evaluation.run import Outcome, evaluate
from search.evaluation.statistics import Comparison
from search.vectors import FloatArray

#: What decides: whether the nearest bears the same label.
DECIDES = "precision@1"
#: Of each label: two to be fitted to, and two to find each other.
LEAST_OF_A_LABEL = 4


@dataclass(frozen=True)
class Trial:
    matrix: FloatArray
    fitted_to: int
    before: Outcome
    after: Outcome

    @property
    def gain(self) -> Comparison:
        return statistics.paired_significance(self.after.per_query[DECIDES], self.before.per_query[DECIDES])

    @property
    def wins(self) -> bool:
        return self.gain.difference > 0


def try_head(problem: Problem, encoder: str, *, loss: str, dimensions: int, seed: int) -> Trial:
    """Fit a head to half of the pictures of each label, and let both search among the other half.

    Raises ValueError where there are fewer than two labels of enough pictures.
    """
    labels = np.asarray(problem.labels)
    names, counts = np.unique(labels, return_counts=True)
    usable = np.isin(labels, names[counts >= LEAST_OF_A_LABEL])
    if len(np.unique(labels[usable])) <= 1:
        raise ValueError(
            f"A head learns from two labels or more with {LEAST_OF_A_LABEL} pictures each; here are "
            f"{len(np.unique(labels[usable]))}."
        )
    fitting = heads.split(labels, seed).fitting & usable
    held_out = usable & ~fitting
    matrix = heads.fit(problem.vectors[fitting], labels[fitting], loss=loss, dimensions=dimensions, seed=seed)
    apart = _among(problem, held_out, problem.vectors)
    projected = _among(problem, held_out, heads.apply(matrix, problem.vectors))
    [before], [after] = evaluate(apart, encoder), evaluate(projected, f"{encoder} with the head")
    return Trial(matrix, int(fitting.sum()), before, after)


def _among(problem: Problem, kept: NDArray[np.bool_], vectors: FloatArray) -> Problem:
    """Leave-one-out among some of the pictures alone, by other vectors of theirs."""
    places = np.flatnonzero(kept).tolist()
    names = {problem.names[place] for place in places}
    queries = [_query(problem.queries[place], vectors[place], names) for place in places]
    return replace(
        problem,
        names=[problem.names[place] for place in places],
        labels=[problem.labels[place] for place in places],
        vectors=vectors[places],
        queries=queries,
    )


def _query(query: Query, vector: FloatArray, names: set[str]) -> Query:
    def judge() -> dict[str, Judged]:
        return {
            protocol: Judged(frozenset(right.positive & names), right.junk) for protocol, right in query.judged.items()
        }

    return replace(query, vector=vector, judge=judge)
