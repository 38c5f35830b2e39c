"""Measures of a ranking. Numpy only."""

from collections.abc import Sequence


def recall_at_k(found: Sequence[int], relevant: set[int]) -> float:
    """Share of `relevant` among `found`, in [0, 1]; 1 where nothing is relevant.

    With `relevant` the true k nearest and `found` the k an index gives, this is recall@k as used for approximate
    nearest neighbours (Aumüller, Bernhardsson, Faithfull: ANN-Benchmarks, 2020).
    """
    return len(relevant.intersection(found)) / len(relevant) if relevant else 1.0
