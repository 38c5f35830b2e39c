"""How close the vectors of a class are to each other, and how far from the rest. Numpy only.

Cosine and silhouette are of all pairs, and exact: the mean of the products of all pairs is the product of the sums, so
that 100,000 vectors take no table of pairs. Euclidean distances have no such way: of more than SAMPLE_ROWS vectors they
are estimated from samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

#: Members of a class, and vectors of the rest, whose Euclidean distances are looked at: a million pairs at most.
SAMPLE_ROWS = 1000
#: Values at a time, of vectors or of products, 8 bytes each and some copies of them.
_BLOCK_NUMBERS = 4_000_000
#: Distances that are nothing but rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Spread:
    """Mean distances over pairs: cosine in [0, 2], Euclidean in [0, 2]; nan where there is no pair."""

    cosine: float
    euclidean: float


@dataclass(frozen=True)
class ClassConsistency:
    """Of one class: pairs within it, pairs with one outside it, and the mean silhouette of its members, in [-1, 1]."""

    members: int
    within: Spread
    between: Spread
    silhouette: float


@dataclass(frozen=True)
class Consistency:
    """Of all classes: all pairs of one class, all pairs of two, and the mean silhouette of all vectors."""

    within: Spread
    between: Spread
    silhouette: float
    classes: dict[str, ClassConsistency]
    #: Euclidean distances are of samples.
    sampled: bool


def consistency(vectors: NDArray[np.floating], labels: Sequence[str], *, seed: int = 0) -> Consistency:
    """Distances within and between classes, and silhouettes, of (n, d) unit vectors with (n,) labels.

    Means weigh each pair alike, so that large classes count for more. Cosine distance is 1 - the product, the mean
    over all pairs. Euclidean is over all pairs up to SAMPLE_ROWS vectors; beyond, over pairs of at most SAMPLE_ROWS
    members of each class, and of these with as many of the rest, drawn without replacement by the seed. Silhouette is
    Rousseeuw's (1987), by cosine distance and of all vectors, as scikit-learn's silhouette_samples: 0 for a class of
    one. It is nan where there is one class alone, and where no class has two members.

    Vectors are scaled to length 1 again in float64. Raises ValueError for other shapes, none at all, lengths that
    differ, and a vector without a direction.
    """
    names, of = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if vectors.ndim != 2 or not len(vectors) or len(vectors) != len(of):  # noqa: PLR2004
        raise ValueError("Vectors of one length, and one label each.")
    members = [np.flatnonzero(of == place) for place in range(len(names))]
    sums = np.stack([_sum(vectors, rows) for rows in members])
    sizes = np.array([len(rows) for rows in members])
    within = _spreads(_within_cosine(sums, sizes), _within_euclidean(vectors, members, seed))
    between = _spreads(_between_cosine(sums, sizes), _between_euclidean(vectors, of, members, seed))
    silhouettes = _silhouettes(vectors, of, sums)
    return Consistency(
        within=_weighed(within, sizes * (sizes - 1)),
        between=_weighed(between, sizes * (len(vectors) - sizes)),
        silhouette=float(silhouettes.mean()),
        classes={
            str(name): ClassConsistency(len(rows), near, far, float(silhouettes[rows].mean()))
            for name, rows, near, far in zip(names, members, within, between, strict=True)
        },
        sampled=len(vectors) > SAMPLE_ROWS,
    )


def _unit(vectors: NDArray[np.floating]) -> Float64Array:
    """Rows of length 1 in float64: float32 is off by 1e-7, which for pictures that are the same is everything."""
    rows = vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError("A vector without a direction: all zeros, or not finite.")
    scaled: Float64Array = rows / lengths
    return scaled


def _sum(vectors: NDArray[np.floating], rows: NDArray[np.int64]) -> Float64Array:
    """Sum of these vectors, each of length 1: (d,) float64."""
    sums = [_unit(vectors[block]).sum(axis=0) for block in _blocks(rows, vectors.shape[1])]
    whole: Float64Array = np.sum(sums, axis=0)
    return whole


def _blocks(rows: NDArray[np.int64], columns: int) -> list[NDArray[np.int64]]:
    """Rows to do at a time."""
    most = max(1, _BLOCK_NUMBERS // columns)
    return [rows[start : start + most] for start in range(0, len(rows), most)]


# --- cosine, of all pairs -----------------------------------------------------------------------------------------


def _within_cosine(sums: Float64Array, sizes: NDArray[np.int64]) -> Float64Array:
    """Mean cosine distance of pairs in each class, (classes,): all products sum to |sum|^2, 1 of each with itself."""
    return 1 - _over((sums**2).sum(axis=1) - sizes, sizes * (sizes - 1))


def _between_cosine(sums: Float64Array, sizes: NDArray[np.int64]) -> Float64Array:
    """Mean cosine distance of members of each class to all others, (classes,)."""
    products = (sums * (sums.sum(axis=0) - sums)).sum(axis=1)
    return 1 - _over(products, sizes * (sizes.sum() - sizes))


def _over(sums: Float64Array, pairs: NDArray[np.int64]) -> Float64Array:
    """Means, nan where there is no pair."""
    means: Float64Array = np.divide(sums, pairs, out=np.full(len(sums), np.nan), where=pairs > 0)
    return means


# --- Euclidean, of samples where there are many -------------------------------------------------------------------


def _euclidean(a: Float64Array, b: Float64Array) -> Float64Array:
    """Distances of (n, d) from (m, d) unit vectors, (n, m) float64."""
    distances: Float64Array = np.sqrt(np.maximum(0, 2 - 2 * (a @ b.T)))
    return distances


def _sample(rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """SAMPLE_ROWS of them, or all where there are no more."""
    return generator.choice(rows, SAMPLE_ROWS, replace=False) if len(rows) > SAMPLE_ROWS else rows


def _within_euclidean(vectors: NDArray[np.floating], members: list[NDArray[np.int64]], seed: int) -> Float64Array:
    """Mean Euclidean distance of pairs in each class, (classes,), nan for a class of one."""
    generator = np.random.default_rng(seed)
    means = np.full(len(members), np.nan)
    for place, rows in enumerate(members):
        looked_at = _unit(vectors[_sample(rows, generator)])
        if pairs := len(looked_at) * (len(looked_at) - 1):
            distances = _euclidean(looked_at, looked_at)
            means[place] = (distances.sum() - np.trace(distances)) / pairs
    return means


def _between_euclidean(
    vectors: NDArray[np.floating], of: NDArray[np.int64], members: list[NDArray[np.int64]], seed: int
) -> Float64Array:
    """Mean Euclidean distance of members of each class to all others, (classes,), nan for one class alone.

    One sample of all vectors serves every class; but the class that has more than half of them, of which it might
    have none outside, takes one of the others.
    """
    generator = np.random.default_rng(seed)
    shared = _sample(np.arange(len(vectors)), generator)
    means = np.full(len(members), np.nan)
    shared_vectors = _unit(vectors[shared])
    for place, rows in enumerate(members):
        looked_at = _unit(vectors[_sample(rows, generator)])
        if 2 * len(rows) > len(vectors):
            outside = _unit(vectors[_sample(np.flatnonzero(of != place), generator)])
        else:
            outside = shared_vectors[of[shared] != place]
        if len(outside):
            means[place] = _euclidean(looked_at, outside).mean()
    return means


# --- silhouette ---------------------------------------------------------------------------------------------------


def _silhouettes(vectors: NDArray[np.floating], of: NDArray[np.int64], sums: Float64Array) -> Float64Array:
    """Silhouette of each vector by cosine distance, (n,) in [-1, 1], nan where it is not defined."""
    if not 2 <= len(sums) < len(vectors):  # noqa: PLR2004
        return np.full(len(vectors), np.nan)
    sizes = np.bincount(of)
    blocks = _blocks(np.arange(len(vectors)), max(sums.shape))
    return np.concatenate([_block_silhouettes(_unit(vectors[rows]), of[rows], sums, sizes) for rows in blocks])


def _block_silhouettes(
    unit_vectors: Float64Array, of: NDArray[np.int64], sums: Float64Array, sizes: NDArray[np.int64]
) -> Float64Array:
    """(b - a) / max(a, b), a the mean distance to the others of its class, b to those of the nearest other class."""
    products = unit_vectors @ sums.T
    own, others = np.arange(len(of)), sizes[of] - 1
    a = 1 - (products[own, of] - 1) / np.maximum(others, 1)
    distances = 1 - products / sizes
    distances[own, of] = np.inf
    b = distances.min(axis=1)
    wider = np.maximum(a, b)
    silhouettes: Float64Array = np.divide(b - a, wider, out=np.zeros(len(of)), where=(others > 0) & (wider > _ROUNDING))
    return silhouettes


# --- putting together ---------------------------------------------------------------------------------------------


def _spreads(cosine: Float64Array, euclidean: Float64Array) -> list[Spread]:
    return [Spread(float(one), float(other)) for one, other in zip(cosine, euclidean, strict=True)]


def _weighed(spreads: list[Spread], pairs: NDArray[np.int64]) -> Spread:
    """Mean over all pairs, of the means over those of each class; nan where there are none."""
    if not pairs.any():
        return Spread(np.nan, np.nan)
    known = np.array([[spread.cosine, spread.euclidean] for spread in spreads])[pairs > 0]
    cosine, euclidean = np.average(known, axis=0, weights=pairs[pairs > 0])
    return Spread(float(cosine), float(euclidean))
