"""ResNet-50, a convolutional network of 2015 trained on ImageNet's classes, with the published weights.

He et al., Deep residual learning for image recognition, 2015. A name may have options: `resnet50+layer4` takes the
strongest response of each of the last layer's channels instead of their means, `+plain` squeezes a picture to
224 x 224 px instead of cutting its centre. docs/encoders.md says what for.
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
    open_model,
)

if TYPE_CHECKING:
    import torch

#: How the last layer's map of 7 x 7 places becomes a vector of one number a channel; the first is the default.
LAYERS = ("avgpool", "layer4")
#: How a picture becomes square. "cut" is the model's own preprocessor_config.json ("size": {"shortest_edge": 224},
#: "crop_pct": 0.875, "resample": 3, bicubic): shorter edge to 224 / 0.875 = 256, then the centre.
FRAMINGS = ("cut", "plain")
SIDE_PX = 224


@dataclass(frozen=True)
class Variant:
    layer: str = LAYERS[0]
    framing: str = FRAMINGS[0]

    @classmethod
    def of(cls, options: Sequence[str]) -> "Variant":
        return cls(one_of(options, LAYERS, "layer"), one_of(options, FRAMINGS, "way to become square"))

    @property
    def options(self) -> tuple[str, ...]:
        """As a name has them: those that differ from the default."""
        return tuple(one for one in (self.layer, self.framing) if one not in (AS_PUBLISHED.layer, AS_PUBLISHED.framing))


AS_PUBLISHED = Variant()

ARCHITECTURE = Architecture(
    model_type="resnet",
    width=lambda config: (config.get("hidden_sizes") or [None])[-1],
    training_only=("num_batches_tracked",),
)


class ResNet50(PublishedEncoder):
    def __init__(self, model: Any, arithmetic: Arithmetic, variant: Variant = AS_PUBLISHED) -> None:
        super().__init__(model, arithmetic)
        self.dimensions: int = model.config.hidden_sizes[-1]
        self.decode_side_px = DECODE_MARGIN * (SIDE_PX if variant.framing == "plain" else pixels.edge_px(SIDE_PX))
        self.batch_size = BATCH_SIZE[arithmetic.device]
        self._variant = variant

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        make_square = pixels.squeeze if self._variant.framing == "plain" else pixels.cut
        return make_square(image, SIDE_PX)

    def pooled(self, output: Any) -> "torch.Tensor":
        """The map (n, channels, 7, 7) to (n, channels) float32, none below 0: each channel's mean, or maximum.

        The maximum is MAC: Tolias, Sicre & Jegou, Particular object retrieval with integral max-pooling of CNN
        activations, 2016. As it stands the map has 100,352 numbers, and an index takes 4,000.
        """
        layer4: torch.Tensor = output.last_hidden_state.float()
        return layer4.amax(dim=(2, 3)) if self._variant.layer == "layer4" else layer4.mean(dim=(2, 3))


def _load(spec: EncoderSpec, *, variant: Variant = AS_PUBLISHED) -> ResNet50:
    model, arithmetic = open_model(spec, ARCHITECTURE, spec.dimensions)
    return ResNet50(model, arithmetic, variant)


def _vary(spec: EncoderSpec, options: Sequence[str]) -> EncoderSpec:
    if unknown := [option for option in options if option not in LAYERS + FRAMINGS]:
        raise LookupError(f"{spec.name} has no option {unknown[0]!r}. There are: {', '.join(LAYERS + FRAMINGS)}.")
    variant = Variant.of(options)
    return replace(spec, name=PLUS.join((spec.name, *variant.options)), load=partial(_load, variant=variant))


SPECS = (
    EncoderSpec(
        "resnet50",
        "34c2154c194f829b11125337b98c8f5f9965ff19",
        2048,
        1,
        _load,
        repository="microsoft/resnet-50",
        vary=_vary,
    ),
)
