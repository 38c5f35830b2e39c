"""What an index was tuned to: how hard to look for how deep a search, and from which filters on not at all."""

import math
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any, Self

from search.kinds import Effort

#: Hits by which recall is commonly compared.
MEASURED_K = 10
#: So far below the target recall may sink before an index is built anew; and may be under filters.
RECALL_SLACK = 0.02


@dataclass(frozen=True)
class Step:
    """An effort, and what it was measured to find and to cost.

    It serves searches whose k-th nearest is within the `depth` nearest of all: those for `depth` hits, or for fewer
    under a filter that passes a part of the assets.
    """

    depth: int
    breadth: int
    candidates: int | None
    recall: float
    p50_ms: float
    #: Of ten hits under a filter that passes so many that they are within the depth; one that looks at each asset, and
    #: one that asks for its id alone.
    recall_filtered: float | None = None
    filtered_ms: float | None = None
    filtered_by_id_ms: float | None = None
    #: That pass the filter.
    candidates_filtered: int | None = None
    #: Whether to make a set of the ids that pass was faster than to look each candidate's up.
    as_set: bool = False

    @property
    def effort(self) -> Effort:
        return Effort(self.breadth, self.candidates)

    def effort_under_filter(self, k: int) -> Effort:
        if self.candidates_filtered is None:
            return self.effort
        return Effort(self.breadth, math.ceil(self.candidates_filtered * max(1, k / MEASURED_K)))


@dataclass(frozen=True)
class ExactCost:
    """What ranking every asset that passes a filter was measured to take: a time for each, and one for all."""

    base_ms: float
    row_ms: float


@dataclass(frozen=True)
class Tuning:
    #: Embeddings there were when it was measured last.
    rows: int
    steps: tuple[Step, ...]
    exact: ExactCost
    #: Where a filter asks for an asset's id alone, as one for tags does.
    exact_by_id: ExactCost

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        exact = data["exact"]  # those that ask for the id alone were not always told apart
        steps = (Step(**{"filtered_by_id_ms": step.get("filtered_ms"), **step}) for step in data["steps"])
        return cls(data["rows"], tuple(steps), ExactCost(**exact), ExactCost(**data.get("exact_by_id", exact)))

    def step(self, depth: float) -> Step | None:
        """The least that serves so deep a search; None where it is too deep for the index."""
        return next((step for step in self.steps if step.depth >= depth), None)

    def step_under_filter(self, depth: float, *, by_id: bool = False) -> Step | None:
        """The fastest that serves a search under a filter, if the last that passes is so deep."""
        took = attrgetter("filtered_by_id_ms" if by_id else "filtered_ms")
        measured = [step for step in self.steps if step.depth >= depth and took(step) is not None]
        return min(measured, key=took, default=self.step(depth))

    def makes_a_set(self, step: Step, passed: int) -> bool:
        """Whether to make a set of so many ids that pass: not of many more than it was measured with."""
        return step.as_set and passed <= 2 * MEASURED_K * self.rows / step.depth

    def exact_up_to(self, k: int, *, by_id: bool = False) -> int:
        """The number of assets passing a filter up to which ranking them all is measured to be faster.

        `by_id` where the filter asks for an asset's id alone.

        With n of all rows passing, the k-th of them is about the (k * rows / n)-th of all. A step serves from
        n = k * rows / depth on, and is faster from where ranking n assets takes longer than it does.
        """
        exact = self.exact_by_id if by_id else self.exact
        times = ((step.depth, step.filtered_by_id_ms if by_id else step.filtered_ms) for step in self.steps)
        limits = [
            max(k * self.rows / depth, (ms - exact.base_ms) / exact.row_ms) for depth, ms in times if ms is not None
        ]
        return round(min([self.rows, *limits]))
