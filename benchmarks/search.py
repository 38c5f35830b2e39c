"""How fast a picture's nearest are found, and how many of them: numpy, FAISS, and each kind of index in Postgres.

    .venv/bin/python benchmarks/search.py [--rows N] [--json FILE] [--plot FILE] [--kind NAME ...] [--growth]

The same vectors and queries for all, in one run, one client, ten nearest. Vectors lie in clusters within clusters
within clusters and have the spectrum of real ones (search_data.py). Recall is against exact search. A line for each
setting tried; what is asked for is printed beside what was reached.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "assetsearch.settings"
os.environ["LOG_LEVEL"] = "ERROR"
os.environ.pop("DATABASE_URL", None)

import numpy as np

from benchmarks import search_peers
from benchmarks.search_clients import throughput
from benchmarks.search_data import draw, make_law
from benchmarks.search_peers import Floats, Result

DIMENSIONS, QUERIES = 768, 300
KINDS = ("ivfflat", "hnsw", "bits", "lsh", "itq", "pca", "ivfflat-4000")
_PEER = "faiss-ivf-flat"
GROWTH, _GROWING = (10_000, 100_000), ("ivfflat", "pca")
LARGE = 100_000
_HEADER = f"{'':24} recall    p50 ms    p95 ms  build s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=13_503)
    parser.add_argument("--kind", action="append", choices=KINDS, help="default: each; ivfflat-4000 has 4,000 lists")
    parser.add_argument("--growth", action="store_true", help="also with 10,000 and 100,000 of the rows")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="recall against latency, as PNG")
    parser.add_argument("--data", type=Path, help="folder for vectors and database; default: a temporary one")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="assetsearch-benchmark-", dir=options.data))
    os.environ["DATA_DIR"] = str(folder)
    try:
        names = options.kind or [kind for kind in KINDS if options.rows >= LARGE or "-" not in kind]
        report = run(options.rows, names, folder, growth=options.growth)
    finally:
        _stop_postgres(folder)
        shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    if options.plot:
        from benchmarks.search_plot import draw_plot

        draw_plot(report, options.plot)


def run(rows: int, names: Sequence[str], folder: Path, *, growth: bool) -> dict[str, Any]:
    law = make_law(DIMENSIONS)
    vectors, queries = draw(law, rows, seed=1, file=folder / "vectors.npy"), draw(law, QUERIES, seed=2)
    print(f"{rows:,} x {DIMENSIONS}, {QUERIES} queries, k = {search_peers.K}\n{_HEADER}")
    truth = search_peers.true_neighbours(vectors, queries)
    peers = list(_shown(search_peers.run(vectors, queries, truth, folder)))

    import django

    django.setup()
    from benchmarks import search_postgres as postgres

    row, results, growing = postgres.prepared("benchmark", DIMENSIONS), list(peers), {}
    filled = 0
    for size in [*(size for size in GROWTH if growth and size < rows), rows]:
        copy_s = postgres.fill(row, vectors[filled:size], first=filled)
        filled = size
        near = search_peers.true_neighbours(vectors[:size], queries)
        if size < rows:
            growing[size] = [_chosen(row, kind, queries, near) for kind in _GROWING if kind in names]
    print(f"{'COPY of the last rows':24} {copy_s:.1f} s")
    results += _shown([postgres.exact(row, queries[: search_peers.FEW], truth)])
    for kind in names:
        results += _shown(_of_kind(row, kind, queries, truth))
    best = _fastest(results, names)
    if best != names[-1]:  # built again, to serve: what was measured of the one before is past
        for past in (one for one in results if one.name == f"pg-{best}"):
            past.search = None
        results += _shown(_of_kind(row, best, queries, truth))
    turns = _in_turns(results, best, queries, truth)
    whole = list(_shown(postgres.whole_searches(row, vectors, queries, truth)))
    clients = {count: throughput(row.pk, queries, count) for count in (1, 2, 8)}
    growing[rows] = [_chosen_of(results, kind) for kind in _GROWING if kind in names]
    report = {
        "rows": rows,
        "results": [result.as_json() for result in results],
        "whole": [result.as_json() for result in whole],
        "serving": best,
        "searches_per_s": clients,
        "in_turns": turns,
        "growth": {size: [one.as_json() for one in ones if one] for size, ones in growing.items()},
    }
    print_targets(report)
    return report


def _of_kind(row: Any, kind: str, queries: Floats, truth: Any) -> Iterable[Result]:
    from benchmarks import search_postgres as postgres
    from search.index import BuildFailed

    try:
        made, cost = postgres.build(row, *_planned(kind))
    except BuildFailed as error:
        print(f"pg-{kind:21} {error}")
        return []
    return postgres.settings_tried(row, made, queries, truth, {**cost, "backend_mb": postgres.backend_mb()}, name=kind)


def _planned(name: str) -> tuple[str, dict[str, int] | None]:
    """A kind, and what it is built with where that is not its own choice: a number of lists behind its name."""
    kind, _, lists = name.partition("-")
    return kind, {"lists": int(lists)} if lists else None


def _chosen(row: Any, kind: str, queries: Floats, truth: Any) -> Result:
    return next(iter(_shown(_of_kind(row, kind, queries, truth))))


def _chosen_of(results: Sequence[Result], kind: str) -> Result | None:
    return next((one for one in results if one.name == f"pg-{kind}" and one.params["chosen"]), None)


def _shown(results: Iterable[Result]) -> Iterable[Result]:
    for result in results:
        print(result, flush=True)
        yield result


def _in_turns(results: Sequence[Result], kind: str, queries: Floats, truth: Any) -> dict[str, Any]:
    """The best of FAISS and the best of the kind that serves, side by side."""
    at_hand = [one for one in results if one.search]
    peer, own = search_peers.best(at_hand, _PEER), search_peers.best(at_hand, f"pg-{kind}")
    if not peer or not own:
        return {}
    peer_ms, own_ms = search_peers.side_by_side(peer, own, queries, truth)
    return {_PEER: peer_ms, own.name: own_ms, "ratio": own_ms / peer_ms, "recall": [peer.recall, own.recall]}


def _fastest(results: Sequence[Result], names: Sequence[str]) -> str:
    """Of the kinds, by what each took at best to reach the recall."""
    reaching = [one for name in names if (one := search_peers.best(results, f"pg-{name}"))]
    return min(reaching, key=lambda one: one.p50_ms).name.removeprefix("pg-") if reaching else names[0]


# --- what is asked for --------------------------------------------------------------------------------------------


def print_targets(report: dict[str, Any]) -> None:
    """Each figure beside the one asked for."""
    results = [Result(**one) for one in report["results"]]
    whole = {one["name"]: Result(**one) for one in report["whole"]}
    print("\nasked for, and reached")
    if report["rows"] < LARGE:
        _print_small(results, whole)
    else:
        _print_large(results, whole)
        if turns := report["in_turns"]:
            told = ", ".join(f"{name} {ms:.2f} ms" for name, ms in turns.items() if isinstance(ms, float))
            _told("in turns, Postgres / FAISS", turns["ratio"], "<= 0.8", told)
    rates = report["searches_per_s"]
    of_each = ", ".join(f"{count}: {rate:.0f} searches/s" for count, rate in rates.items())
    _told("8 clients / 1 client", rates[8] / rates[1], ">= 1.7", of_each)
    for place, name in enumerate(_GROWING):
        points = [(int(size), ones[place]["p50_ms"]) for size, ones in report["growth"].items() if len(ones) > place]
        if len(points) > 1 and points[-1][0] >= 10 * points[0][0]:
            sizes, times = np.log([point[0] for point in points]), np.log([point[1] for point in points])
            shown = ", ".join(f"{size:,}: {ms:.2f} ms" for size, ms in points)
            _told(f"growth of {name}, exponent", float(np.polyfit(sizes, times, 1)[0]), "<= 0.5", shown)


def _print_small(results: Sequence[Result], whole: dict[str, Result]) -> None:
    numpy_ms = next(one.p50_ms for one in results if one.name == "numpy")
    for name in sorted({one.name for one in results if one.name.startswith("pg-")}):
        if best := search_peers.best(results, name, recall=0.99):
            _told(
                f"{name} / numpy", best.p50_ms / numpy_ms, "<= 0.5", f"{best.p50_ms:.2f} ms, recall {best.recall:.3f}"
            )
    for name, one in whole.items():
        _told(f"{name}, ms", one.p50_ms, "<= 4", f"recall {one.recall:.3f}, {one.params['index']}")


def _print_large(results: Sequence[Result], whole: dict[str, Result]) -> None:
    peer, limit = search_peers.best(results, _PEER), search_peers.best(results, "faiss-pca-refined")
    for name in sorted({one.name for one in results if one.name.startswith("pg-")}):
        best = search_peers.best(results, name)
        if best and peer:
            _told(
                f"{name} / FAISS IVF-Flat",
                best.p50_ms / peer.p50_ms,
                "<= 0.8",
                f"{best.p50_ms:.2f} of {peer.p50_ms:.2f} ms",
            )
        if best and limit:
            _told(f"{name} / FAISS refined", best.p50_ms / limit.p50_ms, "-", f"of {limit.p50_ms:.2f} ms")
        if best:
            _told(
                f"{name}, build s", best.build_s, "<= 180, 4,000 lists 600", f"{best.params.get('memory_mb', 0):.0f} MB"
            )
    for name, one in whole.items():
        asked = "-" if name == "find_similar" else "<= 25, 10 hits, recall >= 0.95"
        _told(
            f"{name}, ms",
            one.p50_ms,
            asked,
            f"{one.params['hits']} hits, recall {one.recall:.3f}, {one.params['filters']}",
        )


def _told(what: str, value: float, asked: str, note: str) -> None:
    print(f"  {what:36} {value:8.2f}   {asked:32} {note}")


def _stop_postgres(folder: Path) -> None:
    from assetsearch import postgres

    if "django" in sys.modules:
        from django.db import connections

        connections.close_all()
    postgres.release(folder)


if __name__ == "__main__":
    main()
