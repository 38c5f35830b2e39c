"""How certain a mean over queries is, and a difference between two. Numpy only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]

#: Numbers drawn at a time, 8 bytes each and some copies of them: 30 MB, however many queries and resamples.
_BLOCK_NUMBERS = 1_000_000
#: Differences of which all sign patterns are tried, 65,536 of them; of more, a sample.
_EXACT_PAIRS = 16
#: Of the sum of all magnitudes: sums that differ by less are equal, but for the order of addition.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A statistic of a sample, and between which values it lies with the confidence asked for."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The mean of the differences a - b, and how likely one as far from 0 is by chance."""

    difference: float
    p_value: float
    #: Queries that both have a value for.
    pairs: int
    #: Every sign pattern was tried, rather than a sample.
    exact: bool


_STATISTICS: dict[str, Callable[[Float64Array], Float64Array]] = {
    "mean": lambda rows: rows.mean(axis=1),
    "median": lambda rows: np.asarray(np.median(rows, axis=1)),
}


def bootstrap_interval(
    values: ArrayLike,
    *,
    statistic: Literal["mean", "median"] = "mean",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval over queries, of (q,) values, nan left out.

    As many values are drawn with replacement, `resamples` times, and the interval is from the k-th lowest to the k-th
    highest statistic, k = floor((resamples + 1) (1 - level) / 2) (Efron, Tibshirani, An Introduction to the
    Bootstrap, 1993, 12.5 and 13.3). The same values and seed give the same interval in any order of the values. Inf
    is a value, for the median. All nan where there is no value. Raises ValueError for more dimensions, a level
    outside (0, 1), and too few resamples for the level.
    """
    given = np.asarray(values, np.float64)
    tail = int((resamples + 1) * (1 - level) / 2 + _ROUNDING)
    if given.ndim != 1 or not 0 < level < 1 or tail < 1:
        raise ValueError("A list of values, a level between 0 and 1, and resamples enough to have a tail.")
    sample = np.sort(given[~np.isnan(given)])
    if not len(sample):
        return Interval(np.nan, np.nan, np.nan)
    of = _STATISTICS[statistic]
    drawn = np.sort(np.concatenate([of(rows) for rows in _resampled(sample, resamples, seed)]))
    return Interval(float(of(sample[None])[0]), float(drawn[tail - 1]), float(drawn[-tail]))


def _resampled(sample: Float64Array, resamples: int, seed: int) -> Iterator[Float64Array]:
    """The sample drawn again with replacement, in blocks of rows, (rows, q) float64."""
    generator = np.random.default_rng(seed)
    for rows in _blocks(resamples, len(sample)):
        yield sample[generator.integers(len(sample), size=(rows, len(sample)))]


def paired_significance(a: ArrayLike, b: ArrayLike, *, permutations: int = 10_000, seed: int = 0) -> Comparison:
    """Two-sided paired randomisation test of whether two systems differ in the mean over the same (q,) queries.

    If they do not, which of the two had which value is chance, and each difference might have had the other sign. The
    p-value, in (0, 1], is the share of sign patterns whose mean is at least as far from 0 as that seen (Fisher's test;
    Smucker, Allan, Carterette, A Comparison of Statistical Significance Tests for Information Retrieval Evaluation,
    2007). With up to 16 differences that are not 0 all patterns are tried; otherwise `permutations` at random and the
    one seen, so that it is never 0 (Phipson, Smyth, 2010). The same pairs and seed give the same p in any order.

    Queries of which either value is nan are left out; without any, the difference is nan and p 1. Raises ValueError
    where shapes differ or have more dimensions, for inf, and for no permutations.
    """
    apart = _differences(a, b)
    if permutations < 1:
        raise ValueError("One permutation at least.")
    if not len(apart):
        return Comparison(np.nan, 1.0, 0, exact=True)
    moved = np.sort(apart[apart != 0])
    exact = len(moved) <= _EXACT_PAIRS
    p_value = _exact_p(moved) if exact else _sampled_p(moved, permutations, seed)
    return Comparison(float(apart.mean()), p_value, len(apart), exact)


def _differences(a: ArrayLike, b: ArrayLike) -> Float64Array:
    """a - b where both have a value, (pairs,) float64."""
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError("Two lists of values, one pair a query.")
    if np.isinf([one, other]).any():
        raise ValueError("The difference to infinity has no mean.")
    apart: Float64Array = one - other
    return apart[~np.isnan(apart)]


def _exact_p(moved: Float64Array) -> float:
    patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
    return float(_as_far(patterns, moved).mean())


def _sampled_p(moved: Float64Array, permutations: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    as_far = sum(
        int(_as_far(generator.integers(2, size=(rows, len(moved)), dtype=np.int8), moved).sum())
        for rows in _blocks(permutations, len(moved))
    )
    return (as_far + 1) / (permutations + 1)


def _as_far(positive: NDArray[np.integer], moved: Float64Array) -> NDArray[np.bool_]:
    """Whose sum, of magnitudes (m,) with signs by (rows, m) ones and zeros, is as far from 0 as that seen: (rows,)."""
    magnitudes = np.abs(moved)
    whole = magnitudes.sum()
    sums = 2 * (positive.astype(np.float64) @ magnitudes) - whole
    seen: NDArray[np.bool_] = np.abs(sums) >= abs(moved.sum()) - _ROUNDING * whole
    return seen


def _blocks(rows: int, columns: int) -> Iterator[int]:
    """Rows to do at a time."""
    most = max(1, _BLOCK_NUMBERS // columns)
    for start in range(0, rows, most):
        yield min(most, rows - start)
