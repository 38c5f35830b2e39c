"""What the built-in descriptor measures in a picture: colour, ground, gradients.

Pure functions on one picture at a time, so that it gives the same bits whatever batch or thread it is in.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: Levels of the colour grid along L, a and b, and the Lab / 100 ranges that they span. sRGB reaches -0.86 to
#: 0.98 in a and -1.08 to 0.94 in b; what lies outside is rare in photographs and counts at the edge.
COLOUR_LEVELS = np.array([5, 10, 10])
COLOUR_LOW = np.array([0.0, -0.5, -0.5], np.float32)
COLOUR_HIGH = np.array([1.0, 0.6, 0.7], np.float32)
#: Of the 500 cells of the grid, those that the sRGB gamut fills most; the others stay all but empty.
COLOUR_CELLS = 432
#: Bandwidth of the colour densities in Lab / 100: 7 units, a few just noticeable differences.
BANDWIDTH = 0.07
#: Standard deviation of the prior that the subject is in the middle, in half sides of the picture.
CENTRE_SIGMA = 0.5
#: Floors of a density, of 1 at most: below them, "this colour is rare here" says no more.
PRIOR_FLOOR, DENSITY_FLOOR = np.float32(0.05), np.float32(0.01)
#: Of 256 rows each, by which densities are computed: 256 kB at a time.
_PARTS = 4


def lab(rgb: NDArray[np.uint8]) -> Floats:
    """(h, w, 3) sRGB uint8 to (h, w, 3) CIE L*a*b* (D65) float32 divided by 100: L in [0, 1]."""
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(rgb.astype(np.float32) / np.float32(255)), np.float32) / np.float32(100)


def halve(x: Floats) -> Floats:
    """(2h, 2w, ...) to (h, w, ...): the mean of each 2 x 2 square."""
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / np.float32(4)


def double(x: Floats) -> Floats:
    """(h, w) to (2h, 2w): each value four times."""
    return x.repeat(2, axis=0).repeat(2, axis=1)


@cache
def centre(side: int) -> Floats:
    """(side, side) float32 in (0, 1]: a Gaussian around the middle."""
    squared = np.square((np.arange(side) + 0.5) / side * 2 - 1)
    return np.asarray(np.exp(-(squared[:, None] + squared) / (2 * CENTRE_SIGMA**2)), np.float32)


def border(x: Floats) -> Floats:
    """(h, w, 3) to (2h + 2w - 4, 3): the outermost pixels, each once."""
    return np.concatenate([x[0], x[-1], x[1:-1, 0], x[1:-1, -1]])


def density(points: Floats, samples: Floats, weights: Floats) -> Floats:
    """How common the colours of `points` (n, 3) are among `samples` (m, 3) with `weights` (m,) of sum 1.

    Gaussian kernel density in Lab with its peak at 1 instead of its integral: (n,) float32 in [0, 1].
    """
    points, samples = points / np.float32(BANDWIDTH), samples / np.float32(BANDWIDTH)
    # minus half the squared distances, p.s - |p|^2/2 - |s|^2/2, in one product; some rows at a time stay in cache
    left = np.column_stack([points, -_squares(points) / 2, np.ones(len(points), np.float32)])
    right = np.column_stack([samples, np.ones(len(samples), np.float32), -_squares(samples) / 2]).T
    return np.concatenate([np.exp(rows @ right) @ weights for rows in np.array_split(left, _PARTS)])


def _squares(x: Floats) -> Floats:
    """(n, c) to (n,): of each row's length."""
    return np.asarray(np.einsum("nc,nc->n", x, x))


def ground(picture: Floats) -> tuple[Floats, float]:
    """Which pixels look like the subject rather than like the border, and how well the two come apart.

    `picture` is (side, side, 3) Lab / 100 of even side. The border's colours stand for the background (as in
    Wei et al., Geodesic saliency using background priors, 2012); the subject's are those near the middle that
    the border lacks. Returns the log odds of subject, (side, side) float32 in [-4.7, 4.7], and the
    separability in [0, 1]: the pixels' mean decidedness times the root of how alike the border's colours are.
    """
    side, points, edge = len(picture), picture.reshape(-1, 3), border(picture)
    alike = np.full(len(edge), 1 / len(edge), np.float32)
    behind = density(points, edge, alike).reshape(side, side)
    prior = halve(centre(side) / (behind + PRIOR_FLOOR)).ravel()
    subject = density(points, halve(picture).reshape(-1, 3), prior / prior.sum()).reshape(side, side)
    odds = np.log((subject + DENSITY_FLOOR) / (behind + DENSITY_FLOOR))
    decidedness, plainness = np.abs(np.tanh(odds / 2)).mean(), border(behind[..., None]).mean()
    return odds, float(decidedness * np.sqrt(plainness))


def gradients(grey: Floats, cells: int, bins: int, floor: float) -> Floats:
    """Histograms of oriented gradients of (side, side) `grey`: (cells * cells * bins,) float32 in [0, 1).

    Dalal & Triggs, Histograms of oriented gradients for human detection, 2005; here over the full circle,
    shared linearly between two bins, each cell divided by its length plus `floor` so that noise stays small.
    """
    down, right = np.gradient(grey)
    strength, angle = np.hypot(right, down), np.arctan2(down, right) * np.float32(bins / (2 * np.pi))
    lower = np.floor(angle)
    part, index = angle - lower, lower.astype(np.intp)
    cell = np.arange(len(grey)) * cells // len(grey)
    start = (cell[:, None] * cells + cell) * bins
    length = cells * cells * bins
    counts = np.bincount((start + index % bins).ravel(), (strength * (1 - part)).ravel(), length)
    counts += np.bincount((start + (index + 1) % bins).ravel(), (strength * part).ravel(), length)
    each = (counts * (cells / len(grey)) ** 2).reshape(-1, bins)
    length_of_each = np.linalg.norm(each, axis=1, keepdims=True)
    return np.asarray(each / (length_of_each + floor), np.float32).ravel()


def colour_grid(picture: Floats, weights: Floats) -> Floats:
    """Weighted histogram of (..., 3) Lab / 100 colours over the whole grid: (500,) float32, of sum 1.

    Each colour is shared among the eight cells around it (trilinear), so a small change of colour is a small
    change of the histogram. Swain & Ballard, Color indexing, 1991.
    """
    scale = (COLOUR_LEVELS - 1) / (COLOUR_HIGH - COLOUR_LOW)
    place = (picture.reshape(-1, 3) - COLOUR_LOW) * scale
    place = np.clip(place, 0, COLOUR_LEVELS - 1)
    lower = np.minimum(place.astype(np.intp), COLOUR_LEVELS - 2)
    upper_share = place - lower
    shares = (1 - upper_share, upper_share)
    strides = np.array([COLOUR_LEVELS[1] * COLOUR_LEVELS[2], COLOUR_LEVELS[2], 1])
    first = (lower * strides).sum(axis=1)
    size = int(COLOUR_LEVELS.prod())
    total = np.zeros(size)
    for i, j, k in np.ndindex(2, 2, 2):
        share = weights.ravel() * shares[i][:, 0] * shares[j][:, 1] * shares[k][:, 2]
        total += np.bincount(first + (i * strides[0] + j * strides[1] + k), share, size)
    return np.asarray(total / total.sum(), np.float32)


@cache
def gamut_cells() -> NDArray[np.intp]:
    """(COLOUR_CELLS,) indices, ascending, of the cells of the grid that the sRGB cube fills most."""
    level = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(level, level, level), axis=-1).reshape(1, -1, 3)
    filled = colour_grid(lab(cube), np.ones(cube.shape[:2], np.float32))
    return np.sort(np.argsort(-filled, kind="stable")[:COLOUR_CELLS])


def colours(picture: Floats, weights: Floats) -> Floats:
    """The weighted colour histogram over the gamut's cells, raised to 0.3 and centred: (432,) float32.

    The power, below the Hellinger kernel's 0.5, keeps one large plain area from outweighing all else.
    """
    raised = np.power(colour_grid(picture, weights)[gamut_cells()], np.float32(0.3))
    return np.asarray(raised - raised.mean(), np.float32)
