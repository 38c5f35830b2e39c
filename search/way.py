"""The way to search: through the index or through every asset that passes, by what each was measured to cost."""

from dataclasses import dataclass

from search import kinds
from search.answers import How
from search.kinds import Effort
from search.metrics import Metric
from search.models import IndexBuild
from search.nearest import Passing, Through
from search.tuned import Step, Tuning


@dataclass(frozen=True)
class Way:
    how: How
    through: Through | None = None


def exact(metric: Metric, passing: Passing | None) -> Way:
    return Way(How(exact=True, metric=metric.name, filters=None if passing is None else "ranked"))


def choose(build: IndexBuild | None, k: int, metric: Metric, passing: Passing | None) -> Way:
    """The fastest way to the k nearest that finds as large a share of them as was asked for of the serving index."""
    tuning = build.tuned if build and metric.ranks_as_cosine else None
    if build is None or tuning is None:
        return exact(metric, passing)
    if passing is not None:
        return _filtered(build, tuning, k, metric, passing)
    step = tuning.step(k)
    return _through(build, step, metric, step.effort, step.recall) if step else exact(metric, None)


def _filtered(build: IndexBuild, tuning: Tuning, k: int, metric: Metric, passing: Passing) -> Way:
    limit, passed = tuning.exact_up_to(k), passing.estimate()
    if passed <= limit or not passing.is_one_condition:  # else statistics are right, and counting takes long
        count = passing.count(limit + 1)
        if count <= limit:
            return exact(metric, passing)
        passed = max(passed, count)
    step = tuning.step_under_filter(k * max(1.0, tuning.rows / passed))
    if step is None:
        return exact(metric, passing)
    recall = step.recall if step.recall_filtered is None else step.recall_filtered
    return _through(build, step, metric, step.effort_under_filter(k), recall, filters="iterated")


def _through(
    build: IndexBuild, step: Step, metric: Metric, effort: Effort, recall: float, *, filters: str | None = None
) -> Way:
    how = How(
        exact=False,
        metric=metric.name,
        index=build.kind,
        candidates=effort.candidates,
        recall=recall,
        filters=filters,
        **{kinds.get(build.kind).breadth: effort.breadth},
    )
    return Way(how, Through(build, effort))
