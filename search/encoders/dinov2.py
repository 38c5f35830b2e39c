"""DINOv2: what a vision transformer makes of a picture and of its patches, with the published weights.

A name may have options: `dinov2-base+mean` is the mean of the patches instead of the CLS token, `+cls+mean` has
both, and `+392` takes a picture of 392 x 392 px. docs/encoders.md says what for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.encoders import pixels
from search.encoders.base import PLUS, EncoderSpec, one_of
from search.encoders.published import (
    BATCH_SIZE,
    DECODE_MARGIN,
    Architecture,
    Arithmetic,
    PublishedEncoder,
    choose_arithmetic,
    open_model,
)

if TYPE_CHECKING:
    import torch

__all__ = ["SPECS", "Arithmetic", "Dinov2", "Variant", "choose_arithmetic"]

#: Of the last layer's tokens, which are layer-normed, in the order in which a vector has them.
POOLINGS = ("cls", "mean")
#: Pixels of a patch's side. Positions were learnt for 37 x 37 of them, of 518 x 518 px, and are interpolated.
PATCH_PX = 14
#: Pixels of a picture's side: the models' own preprocessor_config.json says 224.
SIDES = tuple(str(side_px) for side_px in range(224, 518 + 1, PATCH_PX))
SIDE_PX = int(SIDES[0])


@dataclass(frozen=True)
class Variant:
    """What of the model's output becomes the vector, and how large a picture the model is shown."""

    pooling: tuple[str, ...] = POOLINGS[:1]
    side_px: int = SIDE_PX

    @classmethod
    def of(cls, options: Sequence[str]) -> "Variant":
        pooling = tuple(one for one in POOLINGS if one in options)
        return cls(pooling or POOLINGS[:1], int(one_of(options, SIDES, "input side")))

    @property
    def options(self) -> tuple[str, ...]:
        """As a name has them: those that differ from the default."""
        pooling = () if self.pooling == AS_PUBLISHED.pooling else self.pooling
        return pooling if self.side_px == AS_PUBLISHED.side_px else (*pooling, str(self.side_px))


AS_PUBLISHED = Variant()


class Dinov2(PublishedEncoder):
    def __init__(self, model: Any, arithmetic: Arithmetic, variant: Variant = AS_PUBLISHED) -> None:
        super().__init__(model, arithmetic)
        self.dimensions = model.config.hidden_size * len(variant.pooling)
        self.decode_side_px = DECODE_MARGIN * pixels.edge_px(variant.side_px)
        self.batch_size = max(1, BATCH_SIZE[arithmetic.device] * SIDE_PX**2 // variant.side_px**2)
        self._variant = variant
        #: The CLS token comes first, then the registers where there are any; they see all and show nothing.
        self._first_patch = 1 + getattr(model.config, "num_register_tokens", 0)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return pixels.cut(image, self._variant.side_px)

    def pooled(self, output: Any) -> "torch.Tensor":
        """CLS token, mean of the patches, or both, each of unit length: (n, dimensions) float32.

        The cosine of two vectors that have both is the mean of their two cosines: neither outweighs the other.
        """
        import torch

        parts = [self._part(output.last_hidden_state, pooling) for pooling in self._variant.pooling]
        return torch.cat([torch.nn.functional.normalize(part, dim=-1) for part in parts], dim=-1)

    def _part(self, tokens: "torch.Tensor", pooling: str) -> "torch.Tensor":
        """One token for all of the picture, or the mean of the patches': (n, tokens, d) to (n, d) float32."""
        return tokens[:, 0].float() if pooling == "cls" else tokens[:, self._first_patch :].float().mean(dim=1)


def architecture(repository: str) -> Architecture:
    return Architecture(
        model_type="dinov2_with_registers" if "with-registers" in repository else "dinov2",
        width=lambda config: config.get("hidden_size"),
        training_only=("embeddings.mask_token",),
        options={"attn_implementation": "sdpa"},
    )


def _load(spec: EncoderSpec, *, variant: Variant = AS_PUBLISHED) -> Dinov2:
    model, arithmetic = open_model(spec, architecture(spec.repository), spec.dimensions // len(variant.pooling))
    return Dinov2(model, arithmetic, variant)


def _vary(spec: EncoderSpec, options: Sequence[str]) -> EncoderSpec:
    if unknown := [option for option in options if option not in POOLINGS + SIDES]:
        raise LookupError(
            f"{spec.name} has no option {unknown[0]!r}. There are: cls, mean, "
            f"and an input side from {SIDES[0]} to {SIDES[-1]} in steps of {PATCH_PX}."
        )
    variant = Variant.of(options)
    return replace(
        spec,
        name=PLUS.join((spec.name, *variant.options)),
        dimensions=spec.dimensions * len(variant.pooling),
        load=partial(_load, variant=variant),
    )


def _spec(name: str, repository: str, revision: str, dimensions: int) -> EncoderSpec:
    return EncoderSpec(name, revision, dimensions, 1, _load, repository=f"facebook/{repository}", vary=_vary)


# Where "main" stands, no commit has been confirmed; the registry looks it up, and the commit is the revision.
SPECS: tuple[EncoderSpec, ...] = (
    _spec("dinov2-small", "dinov2-small", "ed25f3a31f01632728cabb09d1542f84ab7b0056", 384),
    _spec("dinov2-base", "dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415", 768),
    _spec("dinov2-large", "dinov2-large", "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c", 1024),
    _spec("dinov2-giant", "dinov2-giant", "611a9d42f2335e0f921f1e313ad3c1b7178d206d", 1536),
    _spec("dinov2-small-registers", "dinov2-with-registers-small", "main", 384),
    _spec("dinov2-base-registers", "dinov2-with-registers-base", "a1d738ccfa7ae170945f210395d99dde8adb1805", 768),
    _spec("dinov2-large-registers", "dinov2-with-registers-large", "main", 1024),
    _spec("dinov2-giant-registers", "dinov2-with-registers-giant", "main", 1536),
)
