"""Metrics of vectors, and measures of a ranking. Numpy only."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.vectors import FloatArray


@dataclass(frozen=True)
class Metric:
    """How far two vectors are apart.

    `similarity(distance, dimensions)` is 1 for equal unit vectors and -1 for opposite ones, whatever the metric.
    """

    name: str
    #: pgvector's, whose values are the distances: of inner products the negative.
    operator: str
    similarity: Callable[[float, int], float]
    #: Unit vectors stand in the same order by it as by cosine, so that an index over cosine distance serves it.
    ranks_as_cosine: bool = True


COSINE = Metric("cosine", "<=>", lambda distance, _: 1 - distance)
#: |a - b|^2 = 2 - 2ab for unit vectors
L2 = Metric("l2", "<->", lambda distance, _: 1 - distance**2 / 2)
INNER_PRODUCT = Metric("inner_product", "<#>", lambda distance, _: -distance)
#: at most sqrt(d) times the Euclidean distance, which is at most 2
L1 = Metric("l1", "<+>", lambda distance, dimensions: 1 - distance / math.sqrt(dimensions), ranks_as_cosine=False)

METRICS = {metric.name: metric for metric in (COSINE, L2, INNER_PRODUCT, L1)}


def recall_at_k(found: Sequence[int], relevant: set[int]) -> float:
    """Share of `relevant` among `found`, in [0, 1]; 1 where nothing is relevant.

    With `relevant` the true k nearest and `found` the k an index gives, this is recall@k as used for approximate
    nearest neighbours (Aumüller, Bernhardsson, Faithfull: ANN-Benchmarks, 2020).
    """
    return len(relevant.intersection(found)) / len(relevant) if relevant else 1.0


def pairwise(metric: Metric, a: FloatArray, b: FloatArray) -> NDArray[np.float32]:
    """Distances of (n, d) from (m, d) unit vectors, (n, m) float32, as pgvector's operator has them."""
    if metric is L1:
        return np.stack([np.abs(b - one).sum(axis=1) for one in a])  # never all differences at once
    products: NDArray[np.float32] = a @ b.T
    if metric is INNER_PRODUCT:
        return -products
    if metric is L2:
        return np.sqrt(np.maximum(0, 2 - 2 * products), dtype=np.float32)
    return 1 - products
