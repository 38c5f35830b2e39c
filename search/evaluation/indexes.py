"""What an index finds of a problem in the gallery, beside what an exact search does."""

from collections.abc import Iterator

import numpy as np

from search.evaluation.problems import Problem
from search.evaluation.run import By, Found, Outcome, outcome
from search.models import Encoder, IndexBuild
from search.nearest import Through, nearest

#: Hits asked for: those that measures at ten need, and some more for assets that have no label.
DEPTH = 50


def by_index(problem: Problem, row: Encoder, build: IndexBuild) -> list[Outcome]:
    """An outcome for each protocol, at the effort for so many hits, or for the most that the index serves for."""
    assert build.tuned  # noqa: S101 (or it would not have been built)
    step = build.tuned.step(DEPTH) or build.tuned.steps[-1]
    by, through = By(row.name, index=build.kind), Through(build, step.effort)
    return [outcome(problem, by, protocol, _found(problem, row, through)) for protocol in problem.queries[0].judged]


def _found(problem: Problem, row: Encoder, through: Through) -> Iterator[Found]:
    place_of = {asset_id: place for place, asset_id in enumerate(problem.asset_ids)}
    for query in problem.queries:
        hits = nearest(row, query.vector, DEPTH, through=through)
        labelled = [(place_of[asset_id], distance) for asset_id, distance in hits if asset_id in place_of]
        order, distances = zip(*labelled, strict=True) if labelled else ((), ())
        yield Found(query, np.array(order, np.int64), np.array(distances, np.float32))
