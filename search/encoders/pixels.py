"""Pictures made ready for published models: resized, cut square, and later normalised as in their training."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
#: What models resize the shorter edge to, for each pixel of the square that they then cut: 256 for 224.
EDGE_TO_SIDE = 256 / 224
#: Pixels of the longer edge up to which a picture is resized as a whole: 256 x 65,536 px are 50 MB.
LONGEST_RESIZED_PX = 65_536
#: ImageNet's mean and standard deviation of red, green and blue in [0, 1], by which all models here were trained.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def edge_px(side_px: int) -> int:
    """Pixels that the shorter edge is resized to before a square of `side_px` is cut: 256 for 224, 592 for 518."""
    return int(side_px * EDGE_TO_SIDE)


def cut(image: Image.Image, side_px: int) -> NDArray[np.uint8]:
    """An RGB picture of any size to (side, side, 3) uint8: shorter edge to 8/7 of the side, bicubic, then the centre.

    Equal to transformers' BitImageProcessor and ConvNextImageProcessor, by the same two steps with the same
    roundings. Of a long strip only what the cut keeps is resampled, or 1 x 5,000 px would become 256 x 1,280,000 px;
    where Pillow then takes its two passes in another order, hard edges differ by a few levels.
    """
    width, height = (int(edge_px(side_px) * side / min(image.size)) for side in image.size)
    left, top = (width - side_px) // 2, (height - side_px) // 2
    right, bottom = left + side_px, top + side_px
    if max(width, height) <= LONGEST_RESIZED_PX:
        return np.array(image.resize((width, height), BICUBIC).crop((left, top, right, bottom)))
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, right * across, bottom * down)
    return np.array(image.resize((side_px, side_px), BICUBIC, box=box))


def squeeze(image: Image.Image, side_px: int) -> NDArray[np.uint8]:
    """An RGB picture of any size to (side, side, 3) uint8, bilinear, all of it and out of proportion.

    What torchvision's `Resize((224, 224))` makes of a Pillow image.
    """
    return np.array(image.resize((side_px, side_px), BILINEAR))
