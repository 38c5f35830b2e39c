"""How much of what an exact search of the gallery finds an index finds: the recall by which indexes are compared."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from search import stored
from search.evaluation.measures import KS, Float64Array, Summary
from search.evaluation.run import RECALL_RANKS, Answered, By, Outcome
from search.evaluation.statistics import bootstrap_interval
from search.metrics import Metric, recall_at_k
from search.models import Encoder, IndexBuild
from search.nearest import Through, nearest
from search.questions import RECENT_LEAST, Questions, questions, true_neighbours
from search.tuned import MEASURED_K

PROBLEM = "gallery, against exact search"
#: What is asked: vectors of assets, which are left out of their own answers, and what people searched with.
STORED, RECENT = PROTOCOLS = ("stored vectors", "recent queries")
#: By which two indexes are held against each other.
COMPARED_BY = f"recall@{MEASURED_K}"
_MS = "p50_ms"
MEASURES = (*(f"recall@{k}" for k in KS), _MS)


@dataclass(frozen=True)
class _Answer:
    """`recalls` are those at each of RECALL_RANKS, nan where it is deeper than was asked."""

    query: Answered
    protocol: str
    recalls: Float64Array
    took_ms: float


def draw(row: Encoder) -> Questions:
    """The same for all indexes of an encoder, so that these can be compared query by query.

    Raises ValueError where there are too few vectors for any to be missed.
    """
    rows = stored.count(row)
    if rows <= MEASURED_K:
        raise ValueError(f"{rows} embeddings by {row} are too few: {COMPARED_BY} takes more than {MEASURED_K}.")
    return questions(row, MEASURED_K)


def outcomes(asked: Questions, metrics: Sequence[Metric], row: Encoder, build: IndexBuild) -> list[Outcome]:
    """With the effort for ten hits: of stored vectors, and of recent queries where there are enough of these.

    The metrics have to rank as cosine does.
    """
    assert build.tuned  # noqa: S101 (or it would not serve)
    through, database = Through(build, build.tuned.steps[0].effort), stored.count(row)
    # anew, since assets may have come and gone while the index was built
    now = replace(asked, truth=true_neighbours(row, asked.vectors, asked.assets, MEASURED_K))
    found = []
    for metric in metrics:
        by = By(row.name, row.revision, metric.name, build.kind, MEASURED_K)
        answers = list(_answers(now, row, metric, through))
        for protocol in PROTOCOLS:
            some = [one for one in answers if one.protocol == protocol]
            found += [_outcome(by, protocol, some, database)] if some else []
    note = _note(row, {outcome.protocol: len(outcome.answered) for outcome in found})
    return [replace(outcome, notes=[note]) for outcome in found]


def _note(row: Encoder, counts: dict[str, int]) -> str:
    counted = ", ".join(f"{count} {protocol}" for protocol, count in counts.items())
    few = "" if RECENT in counts else f"; fewer than {2 * RECENT_LEAST} recent queries say too little"
    return f"{row.name}: {counted}{few}."


def _answers(asked: Questions, row: Encoder, metric: Metric, through: Through) -> Iterator[_Answer]:
    for place, (vector, own) in enumerate(zip(asked.vectors, asked.assets.tolist(), strict=True)):
        started = time.perf_counter()
        hits = nearest(row, vector, MEASURED_K + bool(own), metric=metric, through=through)
        took_ms = (time.perf_counter() - started) * 1000
        found = [asset_id for asset_id, _ in hits if asset_id != own]
        true = asked.truth[place][asked.truth[place] >= 0].tolist()
        recalls = [
            recall_at_k(found[:rank], set(true[:rank])) if rank <= MEASURED_K else np.nan for rank in RECALL_RANKS
        ]
        name = f"asset {own}" if own else f"query {place}"
        yield _Answer(
            Answered(name, "", [], min(len(true), MEASURED_K)), STORED if own else RECENT, np.array(recalls), took_ms
        )


def _outcome(by: By, protocol: str, answers: Sequence[_Answer], database: int) -> Outcome:
    recalls = np.array([one.recalls for one in answers])
    per_query = {f"recall@{k}": recalls[:, RECALL_RANKS.index(k)] for k in KS}
    per_query[_MS] = np.array([one.took_ms for one in answers])
    intervals = {
        name: bootstrap_interval(values, statistic="median" if name == _MS else "mean")
        for name, values in per_query.items()
    }
    overall = {"queries": float(len(answers)), **{name: one.estimate for name, one in intervals.items()}}
    return Outcome(
        PROBLEM, by, protocol, database, [one.query for one in answers], per_query, Summary(overall, {}), intervals,
        None, recalls.mean(axis=0), [],
    )  # fmt: skip
