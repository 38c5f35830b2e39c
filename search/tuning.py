"""How well and how fast an index finds: measured against exact search, by the statements that searches use."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from django.conf import settings
from django.db import connection
from django.db.models import BooleanField, F
from django.db.models.expressions import RawSQL
from django.db.models.functions import Mod
from numpy.typing import NDArray

from gallery.models import Asset, AssetQuerySet
from search import kinds, stored
from search.kinds import Coarse, Effort
from search.kinds.coarse import LEAST_CANDIDATES, MOST_CANDIDATES
from search.metrics import recall_at_k
from search.models import Encoder, IndexBuild, Measurement
from search.nearest import Passing, Through, nearest
from search.questions import RECENT_LEAST, Questions, questions
from search.stored import Ids
from search.tuned import MEASURED_K, RECALL_SLACK, ExactCost, Step, Tuning

#: How deep searches may go: for as many hits, or for ten under a filter that passes ten of so many.
_DEPTHS = (MEASURED_K, 20, 50, 100, 250, 500, 1250)
#: Deeper searches take longer and yield more hits each, so that fewer queries say as much.
_FOR_DEEP = 40
#: A broader scan of fewer candidates may be faster: so many that are not are enough to stop at.
_FURTHER = 2
#: Times are told apart that differ by more than that.
_AS_FAST = 1.1
#: Assets ranked, and how often, to learn what ranking one takes; and how often all of them are.
_EXACT_SIZES, _EXACT_REPEATS, _EXACT_ALL_REPEATS = (250, 2000), 15, 3
#: What finds enough under filters is chosen, and checked, with so many; how long each way of filtering takes, so many
#: tell.
_FOR_FILTERS, _FOR_TIMES = 100, 40
#: Of a set of more than it holds in memory, Postgres would go through the whole list for each candidate.
_SETS_MOST = 100_000
_PASSING = """
    CREATE TEMPORARY TABLE tuning_passing (asset_id bigint PRIMARY KEY);
    INSERT INTO tuning_passing SELECT asset_id FROM search_embedding WHERE encoder_id = %s AND asset_id %% %s = 0;
    ANALYZE tuning_passing
"""
#: Filters are measured that look at each asset, as most do, and such that ask for its id alone, as those for tags do.
_LOOKED_UP = Asset.objects.filter(size_bytes__gte=0)


@dataclass(frozen=True)
class Trial:
    """What searching with an effort came to."""

    effort: Effort
    recall: float
    recall_recent: float | None
    p50_ms: float

    @property
    def worst(self) -> float:
        """The recall of the kind of queries that was answered less well."""
        return self.recall if self.recall_recent is None else min(self.recall, self.recall_recent)

    @property
    def reaches(self) -> bool:
        return self.worst >= settings.SEARCH_TARGET_RECALL


def depths(rows: int) -> list[int]:
    return [depth for depth in _DEPTHS if depth == MEASURED_K or depth <= rows // 2]


# --- trying ------------------------------------------------------------------------------------------------------


def tried(
    build: IndexBuild,
    effort: Effort,
    asked: Questions,
    k: int,
    *,
    passing: Passing | None = None,
    passes: Callable[[Ids], NDArray[np.bool_]] = lambda ids: ids >= 0,
    as_set: bool = False,
) -> Trial:
    """Search for the k nearest of those that pass, and compare."""
    recalls, took = [], []
    for vector, own, truth in zip(asked.vectors, asked.assets.tolist(), asked.truth, strict=True):
        relevant = set(truth[(truth >= 0) & passes(truth)][:k].tolist())
        started = time.perf_counter()
        through = Through(build, effort, as_set)
        found = nearest(build.encoder, vector, k + bool(own), through=through, passing=passing)
        took.append((time.perf_counter() - started) * 1000)
        recalls.append(recall_at_k([asset_id for asset_id, _ in found if asset_id != own][:k], relevant))
    drawn = np.array(recalls)[asked.assets > 0]
    recent = np.array(recalls)[asked.assets == 0]
    return Trial(
        effort,
        recall=float(drawn.mean()),
        recall_recent=float(recent.mean()) if len(recent) >= RECENT_LEAST else None,
        p50_ms=float(np.median(took)),
    )


@dataclass(frozen=True)
class Tuned:
    tuning: Tuning
    #: For ten hits: all that was tried and checked; and what will serve, as it was checked.
    trials: Sequence[Trial]
    served: Trial | None


def tune(build: IndexBuild) -> Tuned:
    """The least efforts that reach the target, for each depth to which the index is of use."""
    asked, exact_ms = questions(build.encoder, max(depths(build.rows))), float("inf")
    halves = asked.halves()
    steps: list[Step] = []
    trials: list[Trial] = []
    served: Trial | None = None
    for depth in depths(build.rows):
        of_depth = list(_trials(build, halves, depth, after=steps[-1] if steps else None))
        best = _best([check for _, check in of_depth if check and check.reaches])
        found = {one.effort: one for both in of_depth for one in both if one}  # a check instead of what it checks
        trials, served = trials or list(found.values()), served or best
        if best is None or best.p50_ms >= exact_ms:
            break
        steps.append(Step(depth, best.effort.breadth, best.effort.candidates, best.worst, best.p50_ms))
        exact_ms = exact_ms if len(steps) > 1 else _exact_ms(build.encoder, asked, None, _EXACT_ALL_REPEATS)
    tuning = Tuning(build.rows, _under_filters(build, steps, halves), *_exact_costs(build.encoder, asked))
    return Tuned(tuning, trials, served)


def remeasure(build: IndexBuild, tuning: Tuning) -> tuple[Tuning, Trial]:
    """The same efforts, measured again; and how ten hits were found."""
    rows = stored.count(build.encoder)
    asked = questions(build.encoder, max(depths(rows)))
    of_each = [tried(build, step.effort, _fit(asked, step.depth), step.depth) for step in tuning.steps]
    steps = [
        replace(step, recall=trial.worst, p50_ms=trial.p50_ms)
        for step, trial in zip(tuning.steps, of_each, strict=True)
    ]
    return Tuning(rows, _under_filters(build, steps, asked.halves()), *_exact_costs(build.encoder, asked)), of_each[0]


def _best(reaching: Sequence[Trial]) -> Trial | None:
    """Of some by growing breadth, the first that is as fast as any: the broader take longer for what lies far apart."""
    fastest_ms = min((trial.p50_ms for trial in reaching), default=0.0)
    return next((trial for trial in reaching if trial.p50_ms <= _AS_FAST * fastest_ms), None)


def _fit(asked: Questions, depth: int) -> Questions:
    return asked if depth == MEASURED_K else asked.some(_FOR_DEEP)


def _trials(
    build: IndexBuild, halves: tuple[Questions, Questions], depth: int, *, after: Step | None
) -> Iterator[tuple[Trial, Trial | None]]:
    """Efforts of growing breadth, until the target has been reached and nothing gets faster.

    Each is tried with one half of the questions. Where it reaches the target, it comes with what the other half found,
    with more candidates where that takes them to reach it as well. A depth takes no less than the one `after` which it
    comes.
    """
    choosing, checking = (_fit(half, depth) for half in halves)
    kind, reaching = kinds.get(build.kind), list[float]()
    for breadth in kind.breadths(build.plan):
        if after and breadth < after.breadth:
            continue
        choices = _candidates(depth, after) if isinstance(kind, Coarse) else list[int | None]([None])
        trial = _fewest(choices, partial(_with_candidates, build, breadth, choosing, depth))
        check = None
        if trial.reaches:
            enough = choices[choices.index(trial.effort.candidates) :]
            check = _fewest(enough, partial(_with_candidates, build, breadth, checking, depth))
        yield trial, check
        reaching += [check.p50_ms] if check and check.reaches else []
        further = _FURTHER if isinstance(kind, Coarse) and after is None else 0
        if len(reaching) > further and min(reaching) < min([float("inf"), *reaching[len(reaching) - further :]]):
            return


def _with_candidates(build: IndexBuild, breadth: int, asked: Questions, depth: int, count: int | None) -> Trial:
    return tried(build, Effort(breadth, count), asked, depth)


def _fewest(choices: Sequence[int | None], search: Callable[[int | None], Trial]) -> Trial:
    """The search with the fewest candidates that reaches the target; with the most where none does."""
    best = search(choices[-1])
    low, high = 0, len(choices) - 1
    while best.reaches and low < high:
        middle = (low + high) // 2
        trial = search(choices[middle])
        low, high, best = (low, middle, trial) if trial.reaches else (middle + 1, high, best)
    return best


def _candidates(depth: int, after: Step | None) -> list[int | None]:
    """Numbers to try, each a quarter more than the one before, up to twice the share that the step before took."""
    steps = [max(LEAST_CANDIDATES, depth)]
    most = 2 * depth * after.candidates / after.depth if after and after.candidates else MOST_CANDIDATES
    while steps[-1] < most:
        steps.append(round(steps[-1] * 1.25))
    return list(steps)


# --- under filters -----------------------------------------------------------------------------------------------


def _under_filters(build: IndexBuild, steps: Iterable[Step], halves: tuple[Questions, Questions]) -> tuple[Step, ...]:
    choosing, checking = (half.some(_FOR_FILTERS) for half in halves)
    return tuple(_under_filter(build, step, choosing, checking) for step in steps)


def _under_filter(build: IndexBuild, step: Step, choosing: Questions, checking: Questions) -> Step:
    """The step, measured under a filter that passes ten assets of as many as it is deep."""
    passing = filter_for(step)
    if passing is None:
        return step
    fits = build.rows / _part(step) <= _SETS_MOST

    def search(passing: Passing, asked: Questions, candidates: int | None, *, as_set: bool = False) -> Trial:
        return tried(
            build, Effort(step.breadth, candidates), asked, MEASURED_K,
            passing=passing, passes=lambda ids: ids % _part(step) == 0, as_set=as_set,
        )  # fmt: skip

    with _filter_by_id(step, build.encoder) as by_id:
        chosen: int | None = None
        if step.candidates is not None:  # what is found is the same whichever way it is filtered: by that of a set here
            chosen = _enough_under_filter(partial(search, by_id, choosing, as_set=fits))
        recall = search(by_id, checking, chosen, as_set=fits).worst
        timed = checking.some(_FOR_TIMES)  # whose vectors lie in memory by now
        each_ms = search(by_id, timed, chosen).p50_ms
        as_set_ms = search(by_id, timed, chosen, as_set=True).p50_ms if fits else float("inf")
    return replace(
        step,
        recall_filtered=recall,
        filtered_ms=search(passing, timed, chosen).p50_ms,
        filtered_by_id_ms=min(each_ms, as_set_ms),
        candidates_filtered=chosen,
        as_set=as_set_ms < each_ms,
    )


def _enough_under_filter(search: Callable[[int | None], Trial]) -> int | None:
    """The fewest candidates that pass with which recall comes as near to the target as it may sink before a rebuild.

    From few on: as a rule few are enough, and many take long.
    """
    *fewer, most = _candidates(MEASURED_K, None)
    least = settings.SEARCH_TARGET_RECALL - RECALL_SLACK
    return next((count for count in fewer if search(count).worst >= least), most)


def filter_for(step: Step) -> Passing | None:
    """Passes ten assets of as many as the step is deep; None for ten, where every asset passes."""
    part = _part(step)
    return Passing(_LOOKED_UP.annotate(part=Mod(F("pk"), part)).filter(part=0)) if part > 1 else None


@contextmanager
def _filter_by_id(step: Step, row: Encoder) -> Iterator[Passing]:
    """The same; what passes is looked up in another table by its id, as assets with a tag are."""
    with connection.cursor() as cursor:
        cursor.execute(_PASSING, [row.pk, _part(step)])
        try:
            yield Passing(Asset.objects.filter(pk__in=RawSQL("SELECT asset_id FROM tuning_passing", [])))
        finally:
            cursor.execute("DROP TABLE tuning_passing")


def _part(step: Step) -> int:
    return step.depth // MEASURED_K


def _exact_costs(row: Encoder, asked: Questions) -> tuple[ExactCost, ExactCost]:
    """What ranking assets that pass takes, where each is looked at and where its id is enough."""
    return _exact_cost(row, asked, _LOOKED_UP), _exact_cost(row, asked, Asset.objects.all())


def _exact_cost(row: Encoder, asked: Questions, among: AssetQuerySet) -> ExactCost:
    """From the times of two numbers of assets."""
    assets, _ = stored.sample(row, _EXACT_SIZES[-1])
    sizes = [min(len(assets), size) for size in _EXACT_SIZES]
    few, many = (_exact_ms(row, asked, only(assets[:size], among), _EXACT_REPEATS) for size in sizes)
    row_ms = max(1e-5, (many - few) / max(1, sizes[1] - sizes[0]))
    return ExactCost(base_ms=max(0.0, few - sizes[0] * row_ms), row_ms=row_ms)


def only(assets: Ids, among: AssetQuerySet = _LOOKED_UP) -> Passing:
    """Passes these alone. As one array: of a list of thousands, parsing takes longer than the search."""
    return Passing(among.filter(RawSQL("id = ANY(%s)", [assets.tolist()], output_field=BooleanField())))


def _exact_ms(row: Encoder, asked: Questions, passing: Passing | None, repeats: int) -> float:
    took = []
    for vector in asked.vectors[:repeats]:
        started = time.perf_counter()
        nearest(row, vector, MEASURED_K, passing=passing)
        took.append((time.perf_counter() - started) * 1000)
    return float(np.median(took))


# --- rows of measurements ----------------------------------------------------------------------------------------


def record_trials(build: IndexBuild, trials: Sequence[Trial]) -> None:
    Measurement.objects.bulk_create(
        _measurement(build, trial, Measurement.Purpose.TUNING, build.rows) for trial in trials
    )


def record_check(build: IndexBuild, tuning: Tuning, trial: Trial, rows: int) -> None:
    made = _measurement(build, trial, Measurement.Purpose.CHECK, rows)
    made.recall_filtered = min(
        (step.recall_filtered for step in tuning.steps if step.recall_filtered is not None), default=None
    )
    made.save()


def _measurement(build: IndexBuild, trial: Trial, purpose: Measurement.Purpose, rows: int) -> Measurement:
    searched = {kinds.get(build.kind).breadth: trial.effort.breadth}
    if trial.effort.candidates is not None:
        searched["candidates"] = trial.effort.candidates
    return Measurement(
        encoder=build.encoder,
        build=build,
        purpose=purpose,
        rows=rows,
        kind=build.kind,
        parameters={**build.summary, **searched},
        recall=trial.recall,
        recall_recent=trial.recall_recent,
        p50_ms=trial.p50_ms,
    )
