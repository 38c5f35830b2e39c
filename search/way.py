"""The way to search: through the index or through every asset that passes, by what each was measured to cost."""

from dataclasses import dataclass

from search import kinds
from search.answers import How
from search.metrics import Metric
from search.models import IndexBuild
from search.nearest import Passing, Through
from search.tuned import Tuning


@dataclass(frozen=True)
class Way:
    how: How
    through: Through | None = None
    #: It is the fastest as long as no more than so many pass.
    most: int | None = None


def exact(metric: Metric, passing: Passing | None, *, most: int | None = None) -> Way:
    return Way(How(exact=True, metric=metric.name, filters=None if passing is None else "ranked"), most=most)


def choose(build: IndexBuild | None, k: int, metric: Metric, passing: Passing | None) -> Way:
    """The fastest way to the k nearest that finds as large a share of them as was asked for of the serving index."""
    tuning = build.tuned if build and metric.ranks_as_cosine else None
    if build is None or tuning is None:
        return exact(metric, passing)
    if passing is not None:
        return _filtered(build, tuning, k, metric, passing)
    step = tuning.step(k)
    return _through(Through(build, step.effort), metric, step.recall) if step else exact(metric, None)


def _filtered(build: IndexBuild, tuning: Tuning, k: int, metric: Metric, passing: Passing) -> Way:
    limit, passed = tuning.exact_up_to(k, by_id=passing.is_by_id), max(passing.estimate(), passing.more_than + 1)
    if passing.is_one_condition and passed <= limit:  # statistics are right as a rule; where not, ranking will tell
        return exact(metric, passing, most=limit)
    if not passing.is_one_condition and passing.more_than < limit:  # counting takes half as long as ranking
        count = passing.count(limit + 1)
        if count <= limit:
            return exact(metric, passing)
        passed = max(passed, count)
    step = tuning.step_under_filter(k * max(1.0, tuning.rows / passed), by_id=passing.is_by_id)
    if step is None:
        return exact(metric, passing)
    recall = step.recall if step.recall_filtered is None else step.recall_filtered
    through = Through(build, step.effort_under_filter(k), as_set=tuning.makes_a_set(step, passed))
    return _through(through, metric, recall, filters="iterated")


def _through(through: Through, metric: Metric, recall: float, *, filters: str | None = None) -> Way:
    build, effort = through.build, through.effort
    how = How(
        exact=False,
        metric=metric.name,
        index=build.kind,
        candidates=effort.candidates,
        recall=recall,
        filters=filters,
        **{kinds.get(build.kind).breadth: effort.breadth},
    )
    return Way(how, through)
