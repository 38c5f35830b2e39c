"""Recall against latency, of every setting that a run of search.py tried."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

#: What every vector is compared with stands beside the others as a line of one point.
_STYLES = {"numpy": ("#888888", "s"), "faiss-flat": ("#555555", "s"), "pg-exact": ("#b0b0b0", "s")}
_COLOURS = ["#1f6feb", "#d1495b", "#2a9d4a", "#b8860b", "#7b52ab", "#0f8b8d", "#c2571a", "#6c757d"]


def draw_plot(report: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(9, 5.5), dpi=110, layout="constrained")
    axes = figure.add_subplot(
        xscale="log",
        xlabel="p50, ms (one client, k = 10)",
        ylabel="recall@10",
        title=f"{report['rows']:,} vectors of 768 dimensions",
    )
    colours = iter(_COLOURS)
    for name in dict.fromkeys(one["name"] for one in report["results"]):
        points = _front([(one["p50_ms"], one["recall"]) for one in report["results"] if one["name"] == name])
        colour, marker = _STYLES.get(name) or (next(colours), "o" if name.startswith("pg-") else "x")
        line = "-" if name.startswith("pg-") else "--"
        axes.plot(*zip(*points, strict=True), line, color=colour, marker=marker, markersize=5, label=name)
    axes.axhline(0.98, color="#999999", linewidth=0.8, linestyle=":")
    axes.set_ylim(0.8, 1.003)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(loc="lower right", fontsize=9)
    figure.savefig(path)


def _front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that none beats in both, by latency."""
    kept: list[tuple[float, float]] = []
    for point in sorted(points):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept
