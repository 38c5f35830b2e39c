"""What an encoder is, and what the registry knows of it before loading it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: In a name, between an encoder and each of its options: "dinov2-base+mean".
PLUS = "+"


class EncoderUnavailable(Exception):
    """An encoder cannot be loaded. `reason` says why, `remedy` what a person can do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} {remedy}")
        self.reason = reason
        self.remedy = remedy


class ImageEncoder(Protocol):
    """A loaded encoder. Both methods may be called from several threads at once."""

    #: Length of a vector.
    dimensions: int
    #: What the arithmetic runs in: "float32" or "bfloat16".
    dtype: str
    #: Shorter side, in pixels, that a decoded picture needs; a decoder may scale down to it.
    decode_side_px: int
    #: Pictures to hand to `encode` at once for the best rate.
    batch_size: int

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """One upright RGB picture of any size to the fixed-shape array `encode` takes."""
        ...

    def encode(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, *prepared shape) uint8 to (n, dimensions) float32, each row of unit length."""
        ...


@dataclass(frozen=True)
class EncoderSpec:
    """What identifies an encoder. Two specs that differ in any field give vectors that never mix."""

    name: str
    #: Of the weights; a commit of the model's repository, or a branch, of which the registry looks up the commit.
    revision: str
    dimensions: int
    #: Version of `prepare`; raise it with every change that alters a vector.
    preprocessing: int
    load: Callable[["EncoderSpec"], ImageEncoder]
    #: On the model hub; empty for an encoder without weights.
    repository: str = ""
    #: The spec of this encoder with the options that a name has after it; LookupError for one that there is not.
    vary: Callable[["EncoderSpec", Sequence[str]], "EncoderSpec"] | None = None

    @property
    def family(self) -> str:
        """The name without options: its weights serve them all."""
        return self.name.partition(PLUS)[0]


def one_of(options: Sequence[str], choices: Sequence[str], what: str) -> str:
    """The option that is among the choices, or the first of these where none is. LookupError for two."""
    found = [choice for choice in choices if choice in options] or [choices[0]]
    if len(found) > 1:
        raise LookupError(f"An encoder has one {what}, not {' and '.join(found)}.")
    return found[0]
