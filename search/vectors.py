"""Arithmetic on vectors. Numpy only."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def unit(vectors: FloatArray) -> FloatArray:
    """Rows scaled to Euclidean length 1: (n, d) float32 to (n, d) float32.

    Raises ValueError for a row of zeros or with a value that is not finite: it has no direction, and pgvector
    would silently leave it out of a cosine index.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise ValueError("A vector without a direction: all zeros, or not finite.")
    scaled: FloatArray = (vectors / norms).astype(np.float32)
    return scaled
