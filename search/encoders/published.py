"""What encoders with published weights have in common. The models are those of transformers."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext_noop as _
from numpy.typing import NDArray
from PIL import Image

from search.encoders import pixels, weights
from search.encoders.base import EncoderSpec, EncoderUnavailable

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

#: Pictures of 224 x 224 px a call. On two cores the rate is flat from 8 on; a GPU needs more to be busy.
BATCH_SIZE = {"cpu": 8, "cuda": 64}
#: A JPEG decoder scales by powers of two with a poor filter. Left twice the pixels that are needed, the filter
#: after it still averages two pixels a side or more and hides that (Pillow's `reducing_gap`).
DECODE_MARGIN = 2


@dataclass(frozen=True)
class Arithmetic:
    """Where and in what the model runs, and why."""

    device: str
    dtype: str
    reason: str


@dataclass(frozen=True)
class Architecture:
    """What the files of a model must hold, and how they are read."""

    #: In config.json.
    model_type: str
    #: How long a vector the model of a config.json makes of a picture, or of each part of it.
    width: Callable[[dict[str, Any]], object]
    #: Ends of the names of tensors that serve training alone, which a file may lack.
    training_only: tuple[str, ...]
    #: For transformers' `from_pretrained`.
    options: dict[str, Any] = field(default_factory=dict)


class PublishedEncoder(ABC):
    """An ImageEncoder. Holds no state beyond the weights, so that threads may share it."""

    dimensions: int
    decode_side_px: int
    batch_size: int

    def __init__(self, model: Any, arithmetic: Arithmetic) -> None:
        import torch

        self.dtype = arithmetic.dtype
        self._model = model
        self._device = arithmetic.device
        # (pixel / 255 - mean) / std as one multiplication and one addition, per channel.
        mean, std = (torch.tensor(rgb, device=self._device).view(1, 3, 1, 1) for rgb in (pixels.MEAN, pixels.STD))
        self._scale = 1 / (255 * std)
        self._offset = -mean / std

    @abstractmethod
    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """One upright RGB picture of any size to (side, side, 3) uint8."""

    @abstractmethod
    def pooled(self, output: Any) -> "torch.Tensor":
        """What the model returns of n pictures to (n, dimensions), float32, of any length but zero."""

    def encode(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, side, side, 3) uint8 to (n, dimensions) float32 of unit length."""
        import torch

        with torch.inference_mode():
            pooled = self.pooled(self._model(pixel_values=self._normalised(prepared)))
            return torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()

    def _normalised(self, prepared: NDArray[np.uint8]) -> "torch.Tensor":
        """(n, side, side, 3) uint8 to (n, 3, side, side) in the model's dtype, roughly in [-2.1, 2.7]."""
        import torch

        values = torch.tensor(prepared, device=self._device).permute(0, 3, 1, 2).float()
        return (values * self._scale + self._offset).to(self._model.dtype)


def choose_arithmetic() -> Arithmetic:
    """bfloat16 where the hardware multiplies it (elsewhere it is emulated, and slower), float32 otherwise."""
    import torch

    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Arithmetic("cuda", "bfloat16", "the GPU computes bfloat16 in hardware")
        return Arithmetic("cuda", "float32", "the GPU has no bfloat16")
    capabilities = torch.cpu.get_capabilities()
    for instructions in ("amx_bf16", "avx512_bf16"):
        if capabilities.get(instructions):
            return Arithmetic("cpu", "bfloat16", f"the processor has {instructions}")
    return Arithmetic("cpu", "float32", "the processor has neither amx_bf16 nor avx512_bf16")


def open_model(spec: EncoderSpec, architecture: Architecture, width: int) -> tuple[Any, Arithmetic]:
    """The model with the spec's weights, ready to run, and what it runs in. Raises EncoderUnavailable.

    `width` is what the architecture's `width` must find.
    """
    from django.conf import settings

    folder = weights.locate(spec.family, spec.repository, spec.revision, settings.MODEL_DIR)
    _require_config(spec, folder, architecture, width)
    arithmetic = choose_arithmetic()
    logger.info("%s runs in %s on %s: %s.", spec.name, arithmetic.dtype, arithmetic.device, arithmetic.reason)
    return read_model(folder, architecture, arithmetic), arithmetic


def read_model(folder: Path, architecture: Architecture, arithmetic: Arithmetic) -> Any:
    """The model in eval mode on its device. A tensor the file lacks would be filled at random: refused."""
    import torch
    from transformers import AutoModel

    # It warns of a classifier that is not wanted here; what matters of its report is checked below.
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        model, report = AutoModel.from_pretrained(
            folder,
            dtype=getattr(torch, arithmetic.dtype),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **architecture.options,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise weights.unusable(folder, str(error)) from error
    if missing := [name for name in report["missing_keys"] if not name.endswith(architecture.training_only)]:
        raise weights.unusable(folder, f"it lacks {len(missing)} tensors, such as {min(missing)}")
    return model.eval().to(arithmetic.device)


def _require_config(spec: EncoderSpec, folder: Path, architecture: Architecture, width: int) -> None:
    config = weights.read_config(folder)
    found = (config.get("model_type"), architecture.width(config))
    if found != (architecture.model_type, width):
        reason = _(
            "%(folder)s holds a model of type %(found)s with %(found_dimensions)s dimensions, "
            "where %(encoder)s is of type %(wanted)s with %(dimensions)s."
        )
        told = {"folder": folder, "found": found[0], "found_dimensions": found[1]}
        told |= {"encoder": spec.name, "wanted": architecture.model_type, "dimensions": width}
        raise EncoderUnavailable(reason % told, _("Put the files of %(encoder)s there.") % {"encoder": spec.family})
