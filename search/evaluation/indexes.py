"""What an index finds of a problem in the gallery, beside what an exact search does."""

from collections.abc import Iterator

import numpy as np

from gallery.models import Asset
from search.evaluation.problems import Problem
from search.evaluation.run import By, Found, Outcome, outcome, protocols
from search.models import Encoder, IndexBuild
from search.nearest import Passing, Through, nearest
from search.tuning import only

#: Hits asked for: what measures at ten need, without what a protocol passes over, and some more.
DEPTH = 50


def by_index(problem: Problem, row: Encoder, build: IndexBuild) -> list[Outcome]:
    """An outcome for each protocol, at the effort for so many hits, or for the most that the index serves for.

    As the exact search, it is among the problem's assets alone: where others have embeddings, under a filter.
    """
    assert build.tuned  # noqa: S101 (or it would not have been built)
    step = build.tuned.step(DEPTH) or build.tuned.steps[-1]
    has_others = Asset.objects.filter(embeddings__encoder=row).count() > len(problem.asset_ids)
    passing = only(np.array(problem.asset_ids, np.int64)) if has_others else None
    through = Through(build, step.effort_under_filter(DEPTH) if passing else step.effort)
    by = By(row.name, row.revision, index=build.kind, depth=DEPTH)
    return [outcome(problem, by, protocol, _found(problem, row, through, passing)) for protocol in protocols(problem)]


def _found(problem: Problem, row: Encoder, through: Through, passing: Passing | None) -> Iterator[Found]:
    place_of = {asset_id: place for place, asset_id in enumerate(problem.asset_ids)}
    for query in problem.queries:
        hits = nearest(row, query.vector, DEPTH, through=through, passing=passing)
        known = [(place_of[asset_id], distance) for asset_id, distance in hits if asset_id in place_of]
        order, distances = zip(*known, strict=True) if known else ((), ())
        yield Found(query, np.array(order, np.int64), np.array(distances, np.float32))
