"""Is a picture found again by what became of it: cropped, scaled, compressed, turned, stamped?

Numpy and Pillow only. Nothing here is left to chance: the same picture gives the same variants, to the pixel.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from search.vectors import FloatArray

#: Cosine similarities of equal vectors differ by this much between two products of matrices of float32.
_EQUAL = 1e-6

#: Pictures to vectors: n upright RGB pictures to (n, dimensions) float32, rows of unit length.
Encode = Callable[[Sequence[Image.Image]], FloatArray]

#: What pictures go by: files by their paths, assets by their ids.
Name = TypeVar("Name", int, str, Path)


@dataclass(frozen=True)
class Variant:
    """One way to alter an upright RGB picture, giving another."""

    kind: str
    #: For people: a number with its unit, or which way.
    strength: str
    alter: Callable[[Image.Image], Image.Image]


# --- what becomes of pictures ---------------------------------------------------------------------------------


def _crop_centre(image: Image.Image, *, share: float) -> Image.Image:
    width, height = _scaled(image.size, share)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _crop_corner(image: Image.Image, *, share: float) -> Image.Image:
    """The upper left one."""
    return image.crop((0, 0, *_scaled(image.size, share)))


def _rescale(image: Image.Image, *, share: float) -> Image.Image:
    return image.resize(_scaled(image.size, share), Image.Resampling.LANCZOS)


def _scaled(size: tuple[int, int], share: float) -> tuple[int, int]:
    width, height = (max(1, round(side * share)) for side in size)
    return width, height


def _jpeg(image: Image.Image, *, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer, formats=["JPEG"]).convert("RGB")


def _rotate(image: Image.Image, *, degrees: int) -> Image.Image:
    """Counterclockwise; nothing is cut off, and the corners are white, as of a print that lies askew in a scanner."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")


def _transpose(image: Image.Image, *, method: Image.Transpose) -> Image.Image:
    return image.transpose(method)


def _greyscale(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def _brightness(image: Image.Image, *, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _contrast(image: Image.Image, *, factor: float) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(factor)


def _watermark(image: Image.Image, *, opacity: float) -> Image.Image:
    """A dark band over the middle fifth, with white letters that fill it, both as opaque as told."""
    alpha, (width, height) = round(opacity * 255), image.size
    layer = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(layer)
    pen.rectangle((0, height * 2 // 5, width, height * 3 // 5), fill=(0, 0, 0, alpha))
    font = ImageFont.load_default(size=max(1, min(width // 6, height // 6)))
    pen.text((width / 2, height / 2), "© SAMPLE", fill=(255, 255, 255, alpha), font=font, anchor="mm")
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _variants() -> Iterator[Variant]:
    for kind, crop in (("crop, centre", _crop_centre), ("crop, corner", _crop_corner)):
        yield from (
            Variant(kind, f"{share:.0%} of each side", partial(crop, share=share)) for share in (0.9, 0.75, 0.5)
        )
    yield from (Variant("rescale", f"{share:.0%}", partial(_rescale, share=share)) for share in (0.5, 0.25, 0.1))
    yield from (Variant("JPEG", f"quality {quality}", partial(_jpeg, quality=quality)) for quality in (60, 30, 10))
    yield from (Variant("rotation", f"{degrees}°", partial(_rotate, degrees=degrees)) for degrees in (5, 15, 90, 180))
    yield Variant("flip", "horizontal", partial(_transpose, method=Image.Transpose.FLIP_LEFT_RIGHT))
    yield Variant("flip", "vertical", partial(_transpose, method=Image.Transpose.FLIP_TOP_BOTTOM))
    yield Variant("greyscale", "full", _greyscale)
    yield from (Variant("watermark", f"{part:.0%} opaque", partial(_watermark, opacity=part)) for part in (0.25, 0.5))
    yield from (Variant("brightness", f"x {by}", partial(_brightness, factor=by)) for by in (0.6, 1.4))
    yield from (Variant("contrast", f"x {by}", partial(_contrast, factor=by)) for by in (0.6, 1.4))


VARIANTS = tuple(_variants())


# --- whether it is found again -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recall:
    """How many of the pictures `tried` were `found` as the nearest to their variant."""

    kind: str
    #: Empty for all strengths of a kind together.
    strength: str
    found: int
    tried: int

    @property
    def at_1(self) -> float:
        return self.found / self.tried


def robustness(
    images: Iterable[tuple[Name, Image.Image]],
    encode: Encode,
    originals: Mapping[Name, FloatArray],
    *,
    variants: Sequence[Variant] = VARIANTS,
    ties_by_name: bool = False,
    progress: Callable[[int], object] | None = None,
) -> list[Recall]:
    """recall@1 of each variant, in their order: the share of pictures that are nearest to what became of them.

    `images` are taken one by one and need not all be in memory; `originals` are the unit vectors, (dimensions,)
    float32, of all that is searched in, the images' own among them. Near is the cosine. A picture as near as another,
    within 1e-6, is not found; with `ties_by_name` it is if its name comes first. Raises ValueError where there is
    nothing to mistake a picture for, and KeyError for an image that is not among the originals.
    """
    judge = _Judge(originals, ties_by_name=ties_by_name)
    found, tried = np.zeros(len(variants), np.int64), 0
    for name, image in images:
        found += judge.found(name, encode([variant.alter(image) for variant in variants]))
        tried += 1
        if progress:
            progress(1)
    if not tried:
        raise ValueError("No picture was given.")
    return [Recall(variant.kind, variant.strength, int(n), tried) for variant, n in zip(variants, found, strict=True)]


def by_kind(recalls: Iterable[Recall]) -> list[Recall]:
    """All strengths of a kind together, in the order that kinds come first."""
    summed: dict[str, Recall] = {}
    for one in recalls:
        so_far = summed.get(one.kind, Recall(one.kind, "", 0, 0))
        summed[one.kind] = Recall(one.kind, "", so_far.found + one.found, so_far.tried + one.tried)
    return list(summed.values())


class _Judge:
    def __init__(self, originals: Mapping[Any, FloatArray], *, ties_by_name: bool) -> None:
        if len(originals) < 2:  # noqa: PLR2004 (each is the nearest where it is alone)
            raise ValueError("At least two originals are needed to tell a picture from.")
        self._positions = {name: position for position, name in enumerate(sorted(originals))}
        self._originals = np.stack([originals[name] for name in self._positions])
        self._ties_by_name = ties_by_name

    def found(self, name: Any, altered: FloatArray) -> NDArray[np.bool_]:
        """Of each row of (n, dimensions), whether the picture is nearest to it: (n,)."""
        own = self._positions[name]
        ahead = altered @ self._originals.T
        ahead -= ahead[:, [own]].copy()  # how much nearer each is than the picture itself
        most = np.full(len(self._originals), -_EQUAL)
        if self._ties_by_name:
            most[own:] = _EQUAL
        most[own] = np.inf
        nearest: NDArray[np.bool_] = np.all(ahead < most, axis=1)
        return nearest
