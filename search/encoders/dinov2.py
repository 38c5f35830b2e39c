"""DINOv2: the layer-normed CLS token of a vision transformer, with the published weights, by transformers."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.encoders import weights
from search.encoders.base import EncoderSpec, EncoderUnavailable

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

#: Pixels of the shorter edge after resizing, then of the square cut from the centre: the models' own
#: preprocessor_config.json ("size": {"shortest_edge": 256}, "crop_size": 224, "resample": 3, bicubic).
RESIZED_EDGE_PX = 256
CROP_PX = 224
BICUBIC = Image.Resampling.BICUBIC
#: Pixels of the longer edge up to which a picture is resized as a whole: 256 x 65,536 px are 50 MB.
LONGEST_RESIZED_PX = 65_536
#: ImageNet's mean and standard deviation of red, green and blue in [0, 1], from the same file.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
#: A JPEG decoder scales by powers of two with a poor filter. Left twice the 256 px that are needed, the
#: bicubic filter after it still averages two pixels a side or more and hides that (Pillow's `reducing_gap`).
DECODE_SIDE_PX = 2 * RESIZED_EDGE_PX
#: Pictures a call. On two cores the rate is flat from 8 on; a GPU needs more to be busy.
BATCH_SIZE = {"cpu": 8, "cuda": 64}


@dataclass(frozen=True)
class Arithmetic:
    """Where and in what the model runs, and why."""

    device: str
    dtype: str
    reason: str


class Dinov2:
    """An ImageEncoder. Holds no state beyond the weights, so that threads may share it."""

    def __init__(self, model: Any, arithmetic: Arithmetic) -> None:
        import torch

        self.dimensions: int = model.config.hidden_size
        self.dtype = arithmetic.dtype
        self.decode_side_px = DECODE_SIDE_PX
        self.batch_size = BATCH_SIZE[arithmetic.device]
        self._model = model
        self._device = arithmetic.device
        # (pixel / 255 - mean) / std as one multiplication and one addition, per channel.
        mean, std = (torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in (MEAN, STD))
        self._scale = 1 / (255 * std)
        self._offset = -mean / std

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return prepare(image)

    def encode(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, 224, 224, 3) uint8 to (n, dimensions) float32 of unit length."""
        import torch

        with torch.inference_mode():
            hidden = self._model(pixel_values=self._normalised(prepared)).last_hidden_state
            vectors = torch.nn.functional.normalize(hidden[:, 0].float(), dim=-1)
            return vectors.cpu().numpy()

    def _normalised(self, prepared: NDArray[np.uint8]) -> "torch.Tensor":
        """(n, 224, 224, 3) uint8 to (n, 3, 224, 224) in the model's dtype, roughly in [-2.1, 2.7]."""
        import torch

        pixels = torch.tensor(prepared, device=self._device).permute(0, 3, 1, 2).float()
        return (pixels * self._scale + self._offset).to(self._model.dtype)


def prepare(image: Image.Image) -> NDArray[np.uint8]:
    """An RGB picture of any size to (224, 224, 3) uint8: shorter edge to 256, bicubic, then the centre.

    Equal to transformers' BitImageProcessor, by the same two steps with the same roundings. Of a long strip
    only what the cut keeps is resampled, or 1 x 5,000 px would become 256 x 1,280,000 px; where Pillow then
    takes its two passes in another order, hard edges differ by a few levels.
    """
    width, height = (int(RESIZED_EDGE_PX * side / min(image.size)) for side in image.size)
    left, top = (width - CROP_PX) // 2, (height - CROP_PX) // 2
    right, bottom = left + CROP_PX, top + CROP_PX
    if max(width, height) <= LONGEST_RESIZED_PX:
        return np.array(image.resize((width, height), BICUBIC).crop((left, top, right, bottom)))
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, right * across, bottom * down)
    return np.array(image.resize((CROP_PX, CROP_PX), BICUBIC, box=box))


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


def _load(spec: EncoderSpec, *, repository: str, model_type: str) -> Dinov2:
    from django.conf import settings

    folder = weights.locate(spec.name, repository, spec.revision, settings.MODEL_DIR)
    _require_config(spec, folder, model_type)
    arithmetic = choose_arithmetic()
    logger.info("%s runs in %s on %s: %s.", spec.name, arithmetic.dtype, arithmetic.device, arithmetic.reason)
    return Dinov2(_read_model(folder, arithmetic), arithmetic)


def _require_config(spec: EncoderSpec, folder: Path, model_type: str) -> None:
    config = weights.read_config(folder)
    found = (config.get("model_type"), config.get("hidden_size"))
    if found != (model_type, spec.dimensions):
        raise EncoderUnavailable(
            f"{folder} holds a model of type {found[0]} with {found[1]} dimensions, "
            f"where {spec.name} is of type {model_type} with {spec.dimensions}.",
            f"Put the files of {spec.name} there.",
        )


def _read_model(folder: Path, arithmetic: Arithmetic) -> Any:
    """The model in eval mode on its device. A tensor the file lacks would be filled at random: refused."""
    import torch
    from transformers import AutoModel

    try:
        model, report = AutoModel.from_pretrained(
            folder,
            dtype=getattr(torch, arithmetic.dtype),
            attn_implementation="sdpa",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise weights.unusable(folder, str(error)) from error
    # The mask token serves training alone.
    if missing := set(report["missing_keys"]) - {"embeddings.mask_token"}:
        raise weights.unusable(folder, f"it lacks {len(missing)} tensors, such as {min(missing)}")
    return model.eval().to(arithmetic.device)


def _spec(name: str, repository: str, revision: str, dimensions: int, model_type: str = "dinov2") -> EncoderSpec:
    load = partial(_load, repository=repository, model_type=model_type)
    return EncoderSpec(name=name, revision=revision, dimensions=dimensions, preprocessing=1, load=load)


SPECS: tuple[EncoderSpec, ...] = (
    _spec("dinov2-small", "facebook/dinov2-small", "ed25f3a31f01632728cabb09d1542f84ab7b0056", 384),
    _spec("dinov2-base", "facebook/dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415", 768),
    _spec("dinov2-large", "facebook/dinov2-large", "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c", 1024),
    _spec("dinov2-giant", "facebook/dinov2-giant", "611a9d42f2335e0f921f1e313ad3c1b7178d206d", 1536),
    _spec(
        "dinov2-base-registers",
        "facebook/dinov2-with-registers-base",
        "a1d738ccfa7ae170945f210395d99dde8adb1805",
        768,
        model_type="dinov2_with_registers",
    ),
)
