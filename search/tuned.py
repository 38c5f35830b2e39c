"""What an index was tuned to: how hard to look for how deep a search, and from which filters on not at all."""

import math
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any, Self

from search.kinds import Effort

#: Hits by which recall is commonly compared.
MEASURED_K = 10


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
    #: Of ten hits under a filter that passes so many that they are within the depth.
    recall_filtered: float | None = None
    filtered_ms: float | None = None
    #: That pass the filter.
    candidates_filtered: int | None = None

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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(data["rows"], tuple(Step(**step) for step in data["steps"]), ExactCost(**data["exact"]))

    def step(self, depth: float) -> Step | None:
        """The least that serves so deep a search; None where it is too deep for the index."""
        return next((step for step in self.steps if step.depth >= depth), None)

    def step_under_filter(self, depth: float) -> Step | None:
        """The fastest that serves a search under a filter, if the last that passes is so deep."""
        measured = [step for step in self.steps if step.depth >= depth and step.filtered_ms is not None]
        return min(measured, key=attrgetter("filtered_ms"), default=self.step(depth))

    def exact_up_to(self, k: int) -> int:
        """The number of assets passing a filter up to which ranking them all is measured to be faster.

        With n of all rows passing, the k-th of them is about the (k * rows / n)-th of all. A step serves from
        n = k * rows / depth on, and is faster from where ranking n assets takes longer than it does.
        """
        limits = [
            max(k * self.rows / step.depth, (step.filtered_ms - self.exact.base_ms) / self.exact.row_ms)
            for step in self.steps
            if step.filtered_ms is not None
        ]
        return round(min([self.rows, *limits]))
