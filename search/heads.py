"""Projections learned on top of an encoder's vectors, so that what bears the same label comes closer together.

The encoder stays as it is: vectors that are stored are all that training sees, and thousands take seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search import vectors
from search.encoders import ImageEncoder
from search.vectors import FloatArray

if TYPE_CHECKING:
    import torch

Labels = NDArray[np.str_]

LOSSES = ("arcface", "triplet")
#: Of the built-in descriptor's 752 numbers, 256 kept what all did in clothing, and more in groceries.
DIMENSIONS = 256
_BATCH, _WEIGHT_DECAY = 128, 0.01
#: Times that each vector is seen; of few vectors more often, until so many steps are made.
_EPOCHS, _LEAST_STEPS = 60, 150
#: Triplets move a projection further with each step than ArcFace's classes do, and overshoot.
_LEARNING_RATES = {"arcface": 1e-3, "triplet": 3e-4}
#: ArcFace (Deng et al., 2019): margin in degrees, and the scale of its cosines. The paper's scale of 64 is for
#: thousands of classes; with tens of them, pictures few, 16 leaves a gradient.
_MARGIN_DEGREES, _SCALE = 28.6, 16
#: Of Euclidean distances between unit vectors (Schroff et al., FaceNet, 2015), the hardest of a batch (Hermans et al.,
#: 2017).
_TRIPLET_MARGIN = 0.1


@dataclass(frozen=True)
class Split:
    """Which of n labelled vectors a head is fitted to, (n,) bool; the others try it."""

    fitting: NDArray[np.bool_]

    @property
    def held_out(self) -> NDArray[np.bool_]:
        return ~self.fitting


def split(labels: Labels, seed: int) -> Split:
    """Half of each label's, drawn at random; of an odd number the smaller half is fitted to."""
    random = np.random.default_rng(seed)
    fitting = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = random.permutation(np.flatnonzero(labels == label))
        fitting[places[: len(places) // 2]] = True
    return Split(fitting)


def apply(matrix: FloatArray, made: FloatArray) -> FloatArray:
    """(n, d) vectors through a (d, m) projection: (n, m) float32 unit vectors. Raises ValueError as `unit` does."""
    return vectors.unit(made @ matrix)


class Headed:
    """An ImageEncoder: another one, with a projection behind it."""

    def __init__(self, base: ImageEncoder, matrix: FloatArray) -> None:
        self._base, self._matrix = base, matrix
        self.dimensions = matrix.shape[1]
        self.dtype, self.decode_side_px, self.batch_size = base.dtype, base.decode_side_px, base.batch_size

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return self._base.prepare(image)

    def encode(self, prepared: NDArray[np.uint8]) -> FloatArray:
        """(n, *prepared shape) uint8 to (n, dimensions) float32 of unit length."""
        return apply(self._matrix, self._base.encode(prepared))


def fit(
    made: FloatArray, labels: Labels, *, loss: str = "arcface", dimensions: int = DIMENSIONS, seed: int = 0
) -> FloatArray:
    """A (d, m) float32 projection by which vectors of one label lie closer than those of two.

    `made` is (n, d) unit vectors, `labels` (n,); m is `dimensions`, or fewer where d or n is less. It starts from the
    leading principal directions, which keep what the encoder knows. The same seed gives the same projection on the same
    machine. Raises ValueError for fewer than two labels.
    """
    import torch

    names, numbers = np.unique(labels, return_inverse=True)
    if len(names) <= 1:
        raise ValueError("Two labels at least are needed to tell apart.")
    torch.manual_seed(seed)
    projection = torch.nn.Parameter(torch.tensor(_principal(made, dimensions)))
    criterion, learned = _criterion(loss, len(names), projection)
    optimiser = torch.optim.AdamW([projection, *learned], _LEARNING_RATES[loss], weight_decay=_WEIGHT_DECAY)
    inputs, targets = torch.tensor(made), torch.tensor(numbers)
    random = np.random.default_rng(seed)
    batches = max(1, len(made) // _BATCH)
    for _ in range(max(_EPOCHS, _LEAST_STEPS // batches)):
        for batch in np.array_split(random.permutation(len(made)), batches):
            projected = torch.nn.functional.normalize(inputs[batch] @ projection, dim=1)
            value = criterion(projected, targets[batch])
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
    return np.asarray(projection.detach().numpy(), np.float32)


def _principal(made: FloatArray, dimensions: int) -> FloatArray:
    """The leading directions of (n, d) vectors, (d, m)."""
    _, _, directions = np.linalg.svd(made - made.mean(axis=0), full_matrices=False)
    return np.ascontiguousarray(directions[:dimensions].T, np.float32)


def _criterion(
    loss: str, classes: int, projection: "torch.nn.Parameter"
) -> tuple[Callable[[Any, Any], Any], list["torch.nn.Parameter"]]:
    """What is made small, by projected unit vectors and their labels; and what is learned beside the projection."""
    from pytorch_metric_learning import losses, miners

    if loss == "arcface":
        arcface = losses.ArcFaceLoss(classes, projection.shape[1], margin=_MARGIN_DEGREES, scale=_SCALE)
        return arcface, list(arcface.parameters())
    triplet, hardest = losses.TripletMarginLoss(margin=_TRIPLET_MARGIN), miners.BatchHardMiner()
    return lambda projected, targets: triplet(projected, targets, hardest(projected, targets)), []
