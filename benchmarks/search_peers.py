"""What a search is held against: numpy as a script would do it, and FAISS in the same process, on one thread."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

K = 10
Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Search = Callable[[Floats], Sequence[int]]

#: numpy and flat indexes pass over all vectors with each query; so many queries are enough to time them.
FEW = 30
#: Probes of an inverted file, and how many times k its refined form ranks in full.
PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
REFINED = (2, 4, 8)
#: Turns that two searches take when they are held against each other.
ROUNDS = 7
_LISTS = (1000, 4000)
#: Vectors compared with all queries at a time, where those of all passes would be copied.
_BLOCK_ROWS = 50_000
#: FAISS wants as many vectors to learn a centre from, at the least; and is given so many, its own limit being 256.
_POINTS_A_CENTRE, _TRAINED_ON = 39, 100


@dataclass
class Result:
    """One setting tried."""

    name: str
    recall: float
    p50_ms: float
    p95_ms: float
    build_s: float = 0.0
    params: dict[str, Any] = field(default_factory=dict)
    #: To ask again, where its index is there still.
    search: Search | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "search"}

    def __str__(self) -> str:
        params = " ".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.name:24} {self.recall:.3f} {self.p50_ms:9.3f} {self.p95_ms:9.3f} {self.build_s:8.1f}  {params}"


def measured(name: str, ask: Search, queries: Floats, truth: Ids, **details: Any) -> Result:
    """One query after the other, after a tenth of them to warm up."""
    for query in queries[: max(3, len(queries) // 10)]:
        ask(query)
    took, found = [], []
    for query in queries:
        started = time.perf_counter()
        ids = ask(query)
        took.append((time.perf_counter() - started) * 1000)
        found.append(ids)
    shares = [len(set(ids) & set(near)) / len(near) for ids, near in zip(found, truth[:, :K].tolist(), strict=False)]
    p50, p95 = np.percentile(took, [50, 95])
    return Result(name, float(np.mean(shares)), float(p50), float(p95), **details)


def best(results: Sequence[Result], name: str, recall: float = 0.98) -> Result | None:
    """The fastest of a name's settings that reaches the recall."""
    reaching = [one for one in results if one.name == name and one.recall >= recall]
    return min(reaching, key=lambda one: one.p50_ms, default=None)


def side_by_side(one: Result, other: Result, queries: Floats, truth: Ids) -> tuple[float, float]:
    """p50 of both, asked in turns, so that a machine that slows down does so for both: the medians of the rounds."""
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        assert one.search
        assert other.search
        first, second = (measured("", each.search, queries, truth).p50_ms for each in (one, other))
        times.append((first, second))
    return float(np.median([pair[0] for pair in times])), float(np.median([pair[1] for pair in times]))


def true_neighbours(vectors: Floats, queries: Floats, count: int = K) -> Ids:
    """(n, count) places of the nearest by inner product, nearest first."""
    near = faiss.ResultHeap(len(queries), count, keep_max=True)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK_ROWS])
        distances, places = faiss.knn(queries, block, min(count, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        near.add_result(distances, places + start)
    near.finalize()
    return np.asarray(near.I, np.int64)


def run(vectors: Floats, queries: Floats, truth: Ids, folder: Path) -> Iterator[Result]:
    """Indexes are built, measured and dropped one after the other; those to be asked again wait in the folder."""
    faiss.omp_set_num_threads(1)
    yield measured("numpy", lambda query: np.argsort(-(vectors @ query))[:K].tolist(), queries[:FEW], truth)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    yield measured("faiss-flat", _search_of(flat), queries[:FEW], truth)
    del flat
    for lists in _numbers_of_lists(len(vectors)):
        yield from _inverted_file(vectors, queries, truth, lists, folder / f"faiss-{lists}")
    yield from _coarse_to_fine(vectors, queries, truth, max(_numbers_of_lists(len(vectors))))


def _numbers_of_lists(rows: int) -> list[int]:
    """A thousand and four, where there are vectors enough to learn so many centres; else what these allow."""
    most = rows // _POINTS_A_CENTRE
    return sorted({min(most, lists) for lists in _LISTS} | ({round(rows**0.5)} if most < _LISTS[0] else set()))


def _search_of(index: Any, probes: int | None = None) -> Search:
    def search(query: Floats) -> Sequence[int]:
        if probes:
            index.nprobe = probes
        ids: list[int] = index.search(query[None, :], K)[1][0].tolist()
        return ids

    return search


def _built(
    description: str, vectors: Floats, lists: int, metric: int = faiss.METRIC_INNER_PRODUCT
) -> tuple[Any, float]:
    started = time.perf_counter()
    faiss.omp_set_num_threads(2)
    index = faiss.index_factory(vectors.shape[1], description, metric)
    chosen = np.random.default_rng(0).permutation(len(vectors))[: _TRAINED_ON * lists]
    index.train(vectors[np.sort(chosen)])
    index.add(vectors)
    faiss.omp_set_num_threads(1)
    return index, time.perf_counter() - started


def _inverted_file(vectors: Floats, queries: Floats, truth: Ids, lists: int, path: Path) -> Iterator[Result]:
    index, build_s = _built(f"IVF{lists},Flat", vectors, lists)
    faiss.write_index(index, str(path))
    for probes in (number for number in PROBES if number <= lists):
        params, again = {"lists": lists, "probes": probes}, partial(_ask_file, path, probes)
        search = _search_of(index, probes)
        yield measured("faiss-ivf-flat", search, queries, truth, build_s=build_s, params=params, search=again)


@lru_cache(maxsize=1)
def _read(path: Path) -> Any:
    return faiss.read_index(str(path))


def _ask_file(path: Path, probes: int, query: Floats) -> Sequence[int]:
    return _search_of(_read(path), probes)(query)


def _coarse_to_fine(vectors: Floats, queries: Floats, truth: Ids, lists: int) -> Iterator[Result]:
    """FAISS's own: principal components in an inverted file, the nearest of these ranked by the full vectors.

    By L2, which ranks unit vectors as the inner product does, and which centring leaves as it is.
    """
    size = min(192, vectors.shape[1] // 4)
    index, build_s = _built(f"PCA{size},IVF{lists},Flat,RFlat", vectors, lists, faiss.METRIC_L2)
    inverted = faiss.extract_index_ivf(index)
    refined = faiss.downcast_index(index)
    for probes in (number for number in PROBES if number <= min(lists, 16)):
        for factor in REFINED:
            inverted.nprobe, refined.k_factor = probes, factor
            params = {"lists": lists, "dimensions": size, "probes": probes, "refined": factor * K}
            yield measured("faiss-pca-refined", _search_of(index), queries, truth, build_s=build_s, params=params)
