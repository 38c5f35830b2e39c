"""Charts of measurements, as SVG that stands in a page and takes on its colours."""

import io
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle, groupby, pairwise
from math import ceil, nan
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from search.models import IndexBuild, Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: In points, of which a page makes pixels: about as wide as a phone, so that letters can be read there.
_WIDTH, _HEIGHT = 360, 216
_POINTS_AN_INCH = 72
#: Edges of the axes, as shares of that. Left to matplotlib, working them out takes longer than drawing.
_EDGES = {"left": 0.13, "right": 0.88, "bottom": 0.16, "top": 0.89}
#: Stands for the colour of the page's text, which matplotlib has no name for.
_INK = "#010203"
#: Seen on white and on near black (3 : 1 or better), and told apart by the colour-blind.
_BLUE, _RED, _GREEN = "#3b82c4", "#d55e00", "#0e9a6e"
_SEVERAL = (_BLUE, _RED, _GREEN, "#a8699b", "#7a7a7a")
_FAINT: dict[str, Any] = {"color": _INK, "alpha": 0.5, "linewidth": 0.8}
_SMALL: dict[str, Any] = {"fontsize": 8, "alpha": 0.8}
_STYLE: Any = {  # as matplotlib names it
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.handletextpad": 0.4,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.5,
}
#: What is replaced: names that every chart would give to its parts, and what the page has a say in.
_IN_A_PAGE = {r'<g id="[^"]*">': "<g>", r"font-family: [^;\"]*": "font-family: inherit", _INK: "currentColor"}
#: The page's font has them, whatever its own lacks.
warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
#: matplotlib's style is that of the process, and several threads serve pages.
_drawing = threading.Lock()
#: Points labelled without writing over each other.
_MOST_LABELS = 12
#: That fit side by side above a chart.
_LEGEND_LETTERS = 51
#: What is left free around the first and last moment, at least: a chart may be of one alone.
_LEAST_ROOM = timedelta(hours=1)


@dataclass(frozen=True)
class Chart:
    title: str
    svg: SafeString


# --- the charts ---------------------------------------------------------------------------------------------


def recall_over_time(checks: Sequence[Measurement]) -> Chart:
    """Of one check or more, oldest first."""

    def draw(axes: "Axes") -> None:
        _follow(axes, checks, "recall", color=_BLUE, marker="o", label=_("stored pictures"))
        _follow(axes, checks, "recall_recent", color=_GREEN, marker="s", label=_("recent queries"))
        _follow(axes, checks, "recall_filtered", color=_RED, marker="^", label=_("under filters"))
        _frame_time(axes, checks)
        _frame_recall(axes)

    told = {"recall": f"{checks[-1].recall:.3f}", "target": settings.SEARCH_TARGET_RECALL}
    says = _("Recall at the last: %(recall)s. Target: %(target)s.") % told
    return _drawn(_("Recall over time"), f"{_counted(checks)} {says}", draw)


def latency_over_time(checks: Sequence[Measurement]) -> Chart:
    """Of one check or more, oldest first; behind it, how many rows there were."""

    def draw(axes: "Axes") -> None:
        _follow(axes, checks, "p50_ms", color=_BLUE, marker="o", label=_("p50, ms"))
        axes.set_ylim(0, 1.15 * max(check.p50_ms for check in checks))
        _frame_time(axes, checks)
        _add_rows(axes, checks)

    told = {"p50": f"{checks[-1].p50_ms:.2f}", "rows": f"{checks[-1].rows:,}"}
    says = _("p50 at the last: %(p50)s ms, over %(rows)s rows.") % told
    return _drawn(_("Latency over time"), f"{_counted(checks)} {says}", draw)


def recall_against_latency(build: IndexBuild, tried: Sequence[Measurement], chosen: Mapping[str, int]) -> Chart:
    """Of one trial or more, by which a build was tuned; what was chosen is marked."""
    efforts = [_effort(trial, build) for trial in tried]
    serving = [trial for trial, effort in zip(tried, efforts, strict=True) if effort == chosen]

    def draw(axes: "Axes") -> None:
        axes.plot(*_curve(tried), color=_BLUE, marker="o", label=" / ".join(efforts[0]))
        if serving:
            axes.plot(*_curve(serving), "o", color=_RED, markersize=9, fillstyle="none", label=_("serves"))
        for number, (trial, effort) in enumerate(zip(tried, efforts, strict=True)):
            if number % ceil(len(tried) / _MOST_LABELS) == 0 or effort == chosen:
                _label(axes, trial, " / ".join(str(value) for value in effort.values()))
        axes.set_xlabel(_("p50, ms"))
        axes.text(1, -0.19, of, transform=axes.transAxes, horizontalalignment="right", **_SMALL)
        _frame_recall(axes)

    of = f"{build.kind}, {timezone.localtime(build.started):%Y-%m-%d}"
    serves = ", ".join(f"{name} {value}" for name, value in chosen.items()) or _("none")
    says = _("Tuning of %(build)s. Settings tried: %(count)s. Serving: %(settings)s.")
    told = {"build": of, "count": len(tried), "settings": serves}
    return _drawn(_("Recall against latency, last tuning"), says % told, draw)


def precision_over_recall(curves: Mapping[str, tuple[Floats, Floats]]) -> Chart:
    """Of each name the recalls, (n,), and the mean precision at each."""

    def draw(axes: "Axes") -> None:
        for (name, (recall, precision)), colour in zip(curves.items(), cycle(_SEVERAL)):
            axes.plot(recall, precision, color=colour, label=name)
        _frame_shares(axes)
        axes.set_xlim(0, 1)
        axes.set_xlabel("recall")

    says = "; ".join(f"{name}: {precision.mean():.3f} on average" for name, (_recall, precision) in curves.items())
    return _drawn("Precision at each recall", says, draw)


def recall_by_rank(curves: Mapping[str, Floats], ranks: Sequence[int]) -> Chart:
    """Of each name the mean recall at each of the ranks."""

    def draw(axes: "Axes") -> None:
        for (name, recalls), colour in zip(curves.items(), cycle(_SEVERAL)):
            axes.plot(ranks, recalls, color=colour, marker="o", label=name)
        _frame_shares(axes)
        axes.set_xscale("log")
        axes.set_xticks(ranks, [str(rank) for rank in ranks])
        axes.minorticks_off()
        axes.set_xlabel("among the first")

    says = "; ".join(f"{name}: {recalls[-1]:.3f} among {ranks[-1]}" for name, recalls in curves.items())
    return _drawn("Recall at each rank", says, draw)


def throughput(hours: Sequence[datetime], uploaded: Sequence[int], embedded: Sequence[int]) -> Chart:
    """Pictures in each hour."""

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        places = np.arange(len(hours))
        axes.bar(places - 0.2, uploaded, 0.4, color=_BLUE, label=_("uploaded"))
        axes.bar(places + 0.2, embedded, 0.4, color=_GREEN, label=_("embedded"))
        axes.set_ylim(0, max(1, 1.1 * max(*uploaded, *embedded)))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.grid(visible=False, axis="x")
        marked = places[:: max(1, len(hours) // 8)]
        axes.set_xticks(marked, [f"{hours[place]:%H}" for place in marked])

    says = _("Uploaded: %(uploaded)s. Embedded: %(embedded)s.")
    told = {"uploaded": f"{sum(uploaded):,}", "embedded": f"{sum(embedded):,}"}
    return _drawn(_("Pictures by hour, last day"), says % told, draw)


# --- their parts --------------------------------------------------------------------------------------------


def _counted(checks: Sequence[Measurement]) -> str:
    told = {"count": len(checks), "first": f"{_local(checks[0]):%Y-%m-%d}", "last": f"{_local(checks[-1]):%Y-%m-%d}"}
    return _("Checks: %(count)s, from %(first)s to %(last)s.") % told


def _local(measurement: Measurement) -> datetime:
    """As matplotlib takes it: without a time zone."""
    return timezone.make_naive(measurement.taken)


def _follow(axes: "Axes", checks: Sequence[Measurement], field: str, **look: Any) -> None:
    """A line from check to check, with a gap where another build took over and where there is no value."""
    times, values = list[datetime](), list[float]()
    for _build, of_build in groupby(checks, key=attrgetter("build_id")):
        for check in of_build:
            value = getattr(check, field)
            times.append(_local(check))
            values.append(nan if value is None else value)
        times.append(times[-1])
        values.append(nan)
    if not np.isnan(values).all():
        axes.plot(np.array(times), np.array(values), **look)


def _frame_time(axes: "Axes", checks: Sequence[Measurement]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    first, last = _local(checks[0]), _local(checks[-1])
    room = max(_LEAST_ROOM, (last - first) / 25)
    axes.set_xlim(first - room, last + room)  # type: ignore[arg-type]  # its stubs know no dates
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    for before, after in pairwise(checks):
        if before.build_id != after.build_id:
            inwards = "left" if _local(after) - first < last - _local(after) else "right"
            says = "" if before.kind == after.kind else f" {before.kind} → {after.kind} "
            _mark(axes, _local(after), says, inwards)


def _mark(axes: "Axes", moment: Any, says: str, inwards: str) -> None:
    axes.axvline(moment, linestyle=":", **_FAINT)
    axes.text(moment, 0.02, says, transform=axes.get_xaxis_transform(), horizontalalignment=inwards, **_SMALL)


def _frame_recall(axes: "Axes") -> None:
    target = settings.SEARCH_TARGET_RECALL
    lowest = min(axes.dataLim.ymin, target)
    room = max(0.01, 1 - lowest) / 10
    axes.set_ylim(lowest - room, 1 + room / 2)
    axes.axhline(target, linestyle="--", **_FAINT)
    axes.text(1.01, target, _("target"), transform=axes.get_yaxis_transform(), verticalalignment="center", **_SMALL)


def _frame_shares(axes: "Axes") -> None:
    axes.set_ylim(0, 1.02)


def _add_rows(axes: "Axes", checks: Sequence[Measurement]) -> None:
    from matplotlib.ticker import EngFormatter

    behind = axes.twinx()
    rows = [check.rows for check in checks]
    behind.fill_between(np.array([_local(check) for check in checks]), rows, color=_INK, alpha=0.08, linewidth=0)
    behind.set_ylim(0, 1.15 * max(rows))
    behind.yaxis.set_major_formatter(EngFormatter(sep=""))
    behind.grid(visible=False)
    behind.text(1, 1.03, _("rows"), transform=behind.transAxes, horizontalalignment="right", **_SMALL)
    axes.set_zorder(behind.get_zorder() + 1)


def _effort(trial: Measurement, build: IndexBuild) -> dict[str, int]:
    """What it was searched with; its other parameters are those of the build."""
    return {name: value for name, value in trial.parameters.items() if name not in build.parameters}


def _curve(trials: Sequence[Measurement]) -> tuple[list[float], list[float]]:
    """Time and recall of each, the lower recall where recent queries were asked as well: both must reach the target."""
    worst = [min(trial.recall, 1.0 if trial.recall_recent is None else trial.recall_recent) for trial in trials]
    return [trial.p50_ms for trial in trials], worst


def _label(axes: "Axes", trial: Measurement, says: str) -> None:
    [time], [recall] = _curve([trial])
    axes.annotate(says, (time, recall), xytext=(4, -8), textcoords="offset points", **_SMALL)


# --- drawing ------------------------------------------------------------------------------------------------


def _drawn(title: str, says: str, draw: Callable[["Axes"], None]) -> Chart:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    written = io.StringIO()
    with _drawing, rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH / _POINTS_AN_INCH, _HEIGHT / _POINTS_AN_INCH))
        figure.subplots_adjust(**_EDGES)
        axes = figure.add_subplot()
        draw(axes)
        labels = axes.get_legend_handles_labels()[1]
        columns = max(1, min(3, _LEGEND_LETTERS // max(map(len, labels), default=1)))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.01), ncols=columns)
        figure.savefig(written, format="svg", transparent=True)
    return Chart(title, _inline(written.getvalue(), f"{title}. {says}"))


def _as_attributes(style: re.Match[str]) -> str:
    """fill: none; stroke: #123456 as fill="none" stroke="#123456"."""
    pairs = (part.split(":", 1) for part in style[1].split(";"))
    return " ".join(f'{name.strip()}="{value.strip()}"' for name, value in pairs)


def _inline(svg: str, says: str) -> SafeString:
    """Without what a file of its own needs and a page must not have: a prolog, a style for all, names that recur."""
    drawn = svg[svg.index("<g ") : svg.rindex("</svg>")]
    for pattern, instead in _IN_A_PAGE.items():
        drawn = re.sub(pattern, instead, drawn)
    drawn = re.sub(r'style="([^"]*)"', _as_attributes, drawn)  # which a strict policy lets pass
    return format_html(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" stroke-linejoin="round">{}</svg>',
        _WIDTH, _HEIGHT, says, mark_safe(drawn),  # noqa: S308 (matplotlib has escaped what it wrote)
    )  # fmt: skip
