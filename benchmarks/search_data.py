"""Vectors that look to a search like those of an image encoder, made from a seed in any number.

Three things about real embeddings decide how hard they are to search, and all three are here: pictures come in
groups within groups, of very unequal size; a few directions hold most of the variance; and those directions are no
coordinate axes. Sizes follow Zipf's law at each level, so that no number of lists fits the groups by luck.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: Groups, groups in each of these, and groups in each of those: 50,000 in all.
BRANCHES = (50, 40, 25)
#: How far the groups of a level lie from the one they are in. Each level is half as wide as the one above.
SCALES = (1.0, 0.5, 0.25)
#: How far a vector lies from its group: a little more than such groups from each other, so that they overlap.
NOISE = 0.3
#: Rows made at a time. It decides which random numbers a row gets, so changing it changes the data.
_CHUNK_ROWS = 50_000


@dataclass(frozen=True)
class Law:
    """What vectors and queries have in common.

    centres: float32 (groups, dimensions), along the axes of the spectrum, before the rotation.
    cumulative: float64 (groups,), ascending to 1: the share of vectors in the groups up to and including each.
    deviations: float32 (dimensions,), the standard deviation along each axis.
    rotation: float32 (dimensions, dimensions), orthogonal, applied from the right.
    """

    centres: Floats
    cumulative: npt.NDArray[np.float64]
    deviations: Floats
    rotation: Floats


def make_law(dimensions: int, seed: int = 0) -> Law:
    """Centres, sizes and axes of the groups: the same for the same `dimensions` and `seed`."""
    random = np.random.default_rng([seed, dimensions])
    deviations = np.sqrt(1 / (np.arange(dimensions, dtype=np.float32) + 4))
    centres = np.zeros((1, dimensions), np.float32)
    shares = np.ones(1)
    for branches, scale in zip(BRANCHES, SCALES, strict=True):
        shape = (len(centres) * branches, dimensions)
        offsets = random.standard_normal(shape, np.float32) * (scale * deviations)
        centres = np.repeat(centres, branches, axis=0) + offsets
        shares = np.outer(shares, _zipf(branches)).ravel()
    return Law(centres, np.cumsum(shares) / shares.sum(), deviations, _rotation(random, dimensions))


def draw(law: Law, count: int, seed: int, *, file: Path | None = None) -> Floats:
    """float32 (count, dimensions), rows of unit length: `count` vectors from the law, in a file where one is named.

    Another seed gives others from the same groups: queries, say, that equal none of the vectors searched.
    The first rows do not depend on `count`, up to the chunk that it cuts short.
    """
    shape = (count, len(law.deviations))
    vectors = np.lib.format.open_memmap(file, "w+", np.float32, shape) if file else np.empty(shape, np.float32)
    for number, start in enumerate(range(0, count, _CHUNK_ROWS)):
        chunk = vectors[start : start + _CHUNK_ROWS]
        random = np.random.default_rng([seed, number])
        groups = np.searchsorted(law.cumulative, random.random(len(chunk)), side="right")
        noise = random.standard_normal(chunk.shape, np.float32)
        noise *= NOISE * law.deviations
        noise += law.centres[np.minimum(groups, len(law.centres) - 1)]
        np.matmul(noise, law.rotation, out=chunk)
        chunk /= np.linalg.norm(chunk, axis=1, keepdims=True)
    return vectors


def _zipf(count: int) -> npt.NDArray[np.float64]:
    """float64 (count,), summing to 1: the n-th of a level is 1/n as large as its largest."""
    shares = 1 / np.arange(1, count + 1)
    return shares / shares.sum()


def _rotation(random: np.random.Generator, dimensions: int) -> Floats:
    """float32 (dimensions, dimensions), orthogonal: uniform over the rotations and reflections."""
    q, r = np.linalg.qr(random.standard_normal((dimensions, dimensions)))
    return (q * np.sign(np.diag(r))).astype(np.float32)
