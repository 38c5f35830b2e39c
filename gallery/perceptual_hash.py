"""Sixty-four bits of which copies of a picture share nearly all: rescaled, compressed harder, slightly cropped.

The DCT hash of pHash (C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, 3.2.1):
the signs of a picture's lowest frequencies about their median. docs/uploads.md has what it was measured to tell apart.
"""

import numpy as np
from PIL import Image

#: Pixels on each side of what is transformed.
SIDE_PX = 32
#: Frequencies kept either way, without the lowest: it is the mean brightness along a side.
_LOWEST, _KEPT = 1, 8
#: Of brightness from 0 to 255. Less is rounding: a picture of one colour has 64 bits of 0.
_NOISE = 1e-6

_k = np.arange(_LOWEST, _LOWEST + _KEPT)[:, None]
_n = np.arange(SIDE_PX)[None, :]
#: Rows of the DCT-II, (_KEPT, SIDE_PX) float64, of any length: only comparisons come of it.
_COSINES = np.cos(np.pi / SIDE_PX * (_n + 0.5) * _k)


def perceptual_hash(image: Image.Image) -> int:
    """Of an upright RGB picture of any size, in [-2^63, 2^63), as Postgres has 64 bits."""
    small = image.convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
    frequencies = _COSINES @ np.asarray(small, np.float64) @ _COSINES.T
    bits = frequencies > np.median(frequencies) + _NOISE
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


def hamming(a: int, b: int) -> int:
    """Bits in which two hashes differ, in [0, 64]; 32 on average for pictures that have nothing in common."""
    return ((a ^ b) & (2**64 - 1)).bit_count()
