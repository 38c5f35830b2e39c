"""What an evaluation came to: as JSON, as rows of a table, and as a page that needs nothing beside it."""

import base64
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.template.loader import render_to_string
from django.utils import timezone
from PIL import Image

from gallery.errors import Refused
from search import charts, contact_sheet
from search.charts import Chart
from search.contact_sheet import Tile
from search.evaluation import against_exact, measures, statistics
from search.evaluation.consistency import ClassConsistency, Consistency
from search.evaluation.problems import Problem
from search.evaluation.revisited import REPORTED
from search.evaluation.robustness import Recall
from search.evaluation.run import RECALL_RANKS, Answered, Outcome
from search.models import Evaluation

#: Queries shown as contact sheets, and classes in the table of confusions; more would not be looked at.
_WORST, _MOST_CLASSES = 12, 25
_JPEG_QUALITY = 80
#: A tile of a contact sheet is smaller.
_SHOWN_SIDE_PX = 176
#: What is told where there is little room, and of a class, by protocols that have no measures of their own.
_BRIEF = ("precision@1", "precision@10", "recall@10", "map", "map@10", "ndcg@10", "median_rank")
_OF_A_CLASS = ("precision@1", "precision@10", "recall@10", "map")
_P_VALUE = 0.05

#: Each problem with its outcomes; None where an index is held against the exact search, and nothing is labelled.
Evaluated = Sequence[tuple[Problem | None, list[Outcome]]]
#: By encoder, how many pictures were found by what became of them.
FoundAgain = Mapping[str, Sequence[Recall]]


# --- JSON and tables --------------------------------------------------------------------------------------------


def as_json(evaluated: Evaluated, found_again: FoundAgain) -> dict[str, Any]:
    """The first outcome, and all of them as `outcomes`. What is not a number, or without end, is null."""
    outcomes = [
        {**_as_json(one), "consistency": _consistency_as_json(problem.consistency if problem else None)}
        for problem, several in evaluated
        for one in several
    ]
    again = {name: [{**vars(one), "recall@1": one.at_1} for one in recalls] for name, recalls in found_again.items()}
    return {**outcomes[0], "outcomes": outcomes, "robustness": again}


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "problem": outcome.problem,
        "encoder": outcome.by.encoder,
        "revision": outcome.by.revision,
        "metric": outcome.by.metric,
        "index": outcome.by.index,
        "protocol": outcome.protocol,
        "database": outcome.database,
        "metrics": _finite(outcome.summary.overall),
        "intervals": {name: [_number(one.low), _number(one.high)] for name, one in outcome.intervals.items()},
        "classes": {name: _finite(values) for name, values in outcome.summary.classes.items()},
        "notes": list(outcome.notes),
    }


def _consistency_as_json(found: Consistency | None) -> dict[str, Any] | None:
    if found is None:
        return None
    classes = {name: {"members": one.members, **_distances(one)} for name, one in found.classes.items()}
    return {**_distances(found), "sampled": found.sampled, "classes": classes}


def _distances(of: Consistency | ClassConsistency) -> dict[str, Any]:
    return {
        "within": _finite(vars(of.within)),
        "between": _finite(vars(of.between)),
        "silhouette": _number(of.silhouette),
    }


def as_row(outcome: Outcome) -> Evaluation:
    """Not saved yet."""
    told = _as_json(outcome)
    return Evaluation(queries=len(outcome.answered), **told)


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_rows(outcomes: Sequence[Outcome]) -> Iterator[Sequence[Any]]:
    """A line for each measure of all queries, and of each class."""
    yield "problem", "encoder", "metric", "index", "protocol", "class", "measure", "value", "low", "high"
    for one in outcomes:
        of = (one.problem, one.by.encoder, one.by.metric, one.by.index, one.protocol)
        for name, value in one.summary.overall.items():
            interval = one.intervals.get(name)
            yield *of, "", name, value, *((interval.low, interval.high) if interval else ("", ""))
        for label, values in one.summary.classes.items():
            yield from ((*of, label, name, value, "", "") for name, value in values.items())


def comparisons(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Each further outcome beside the first that it can be held against, query by query."""
    for other in outcomes:
        first = next(one for one in outcomes if _asked(one) == _asked(other))
        if _names(first) != _names(other):
            yield f"{other.by} is not held against {first.by}: their queries differ, since one lacks some pictures."
        elif other is not first:
            by = _compared(other)
            found = statistics.paired_significance(other.per_query[by], first.per_query[by])
            certain = "" if found.p_value < _P_VALUE else ", which may be chance"
            yield (
                f"{other.by} beside {first.by}: {by} {found.difference:+.3f}, p = {found.p_value:.4f} "
                f"over {found.pairs} queries{certain}"
            )


def _asked(outcome: Outcome) -> tuple[str, ...]:
    """The protocol; what is nearest in truth to an encoder's vectors is a question to its own indexes alone."""
    own = (outcome.by.encoder, outcome.by.revision) if outcome.protocol in against_exact.PROTOCOLS else ()
    return (outcome.protocol, *own)


def _compared(outcome: Outcome) -> str:
    """What is published of a protocol; of others what an index that finds the nearest alone has as well."""
    if outcome.protocol in against_exact.PROTOCOLS:
        return against_exact.COMPARED_BY
    return "ap_trapezoid" if outcome.protocol in REPORTED else "ap@10"


def _names(outcome: Outcome) -> list[str]:
    return [query.name for query in outcome.answered]


def brief(outcomes: Sequence[Outcome]) -> Sequence[str]:
    """Measures for a narrow table: those that the protocol is published with, if it is."""
    if outcomes[0].protocol in against_exact.PROTOCOLS:
        return against_exact.MEASURES
    return REPORTED.get(outcomes[0].protocol, _BRIEF)


def decimals(measure: str) -> int:
    """The median of an even number of ranks may lie between two."""
    return 1 if measure == "median_rank" else 3


# --- the page ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Section:
    """Of one outcome."""

    outcome: Outcome
    #: Each with `of_a_class`; empty where there is one class or none.
    classes: list[tuple[str, list[float]]]
    confusions: list[tuple[str, list[int]]]
    labels: list[str]
    worst: str
    spread: Consistency | None


def as_html(evaluated: Evaluated, found_again: FoundAgain) -> str:
    outcomes = [outcome for _, several in evaluated for outcome in several]
    reported = REPORTED.get(outcomes[0].protocol, ())
    measured = [
        *reported, *(name for name in outcomes[0].intervals if name not in {"map_trapezoid", *reported}),
    ]  # fmt: skip
    of_a_class = ("queries", *(reported or _OF_A_CLASS))
    return render_to_string(
        "search/evaluation.html",
        {
            "problem": outcomes[0].problem,
            "made": timezone.localtime(),
            "notes": list(dict.fromkeys(note for outcome in outcomes for note in outcome.notes)),
            "outcomes": outcomes,
            "rows": [(str(one.by), one.protocol, one.database, list(_told(one, measured))) for one in outcomes],
            "measures": measured,
            "comparisons": list(comparisons(outcomes)),
            "of_a_class": of_a_class,
            "found_again": list(found_again.items()),
            "charts": _charts(outcomes),
            "sections": [
                _section(problem, outcome, of_a_class)
                for problem, several in evaluated
                if problem
                for outcome in several
            ],
        },
    )


def _told(outcome: Outcome, measured: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in measured:
        interval, places = outcome.intervals.get(name), decimals(name)
        if interval:
            yield f"{interval.estimate:.{places}f}", f"{interval.low:.{places}f} to {interval.high:.{places}f}"
        else:
            yield "-", ""


def _charts(outcomes: Sequence[Outcome]) -> list[Chart]:
    several = len({one.protocol for one in outcomes}) > 1
    named = {f"{one.by!s}, {one.protocol}" if several else str(one.by): one for one in outcomes}
    curves = {name: one.precision_recall for name, one in named.items() if one.precision_recall}
    return [
        *([charts.precision_over_recall(curves)] if curves else []),
        charts.recall_by_rank({name: one.recalls for name, one in named.items()}, RECALL_RANKS),
    ]


def _section(problem: Problem, outcome: Outcome, of_a_class: Sequence[str]) -> _Section:
    spread, classes = problem.consistency, _classes(outcome, of_a_class)
    labels, confusions = _confusions(outcome) if spread else ([], [])
    return _Section(outcome, classes, confusions, labels, _sheet(problem, _worst(outcome)), spread)


def _classes(outcome: Outcome, of_a_class: Sequence[str]) -> list[tuple[str, list[float]]]:
    of = outcome.summary.classes
    return [(name, [of[name].get(one, math.nan) for one in of_a_class]) for name in sorted(of)] if len(of) > 1 else []


def _confusions(outcome: Outcome) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Labels, and for each how often the nearest to a query of it is of which; of the most frequent labels alone."""
    counts = Counter(query.label for query in outcome.answered if query.label)
    labels = sorted(label for label, _ in counts.most_common(_MOST_CLASSES))
    pairs = [
        (query.label, query.hits[0].label)
        for query in outcome.answered
        if query.hits and {query.label, query.hits[0].label} <= set(labels)
    ]
    table = measures.confusion([pair[0] for pair in pairs], [pair[1] for pair in pairs], labels)
    return labels, list(zip(labels, table.tolist(), strict=True))


def _worst(outcome: Outcome) -> list[Answered]:
    """Those with something to be found, the worst first; of equals in order of name."""
    scores = outcome.per_query[_compared(outcome)]
    places = [place for place in range(len(scores)) if not np.isnan(scores[place])]
    places.sort(key=lambda place: (scores[place], outcome.answered[place].name))
    return [outcome.answered[place] for place in places[:_WORST]]


def _sheet(problem: Problem, queries: Sequence[Answered]) -> str:
    """A contact sheet as a data: address."""
    rows = [
        [
            Tile(_shown(problem, query.name), query.name, contact_sheet.QUERY),
            *(
                Tile(
                    _shown(problem, hit.name),
                    f"{hit.distance:.3f} {hit.label or hit.name}",
                    contact_sheet.RIGHT if hit.relevant else contact_sheet.WRONG,
                )
                for hit in query.hits
            ),
        ]
        for query in queries
    ]
    written = io.BytesIO()
    contact_sheet.draw(rows).save(written, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()


def _shown(problem: Problem, name: str) -> Image.Image | None:
    try:
        return problem.open(name, _SHOWN_SIDE_PX)
    except Refused:
        return None
