"""What Pillow does with a picture: look at its header, decode it, turn it upright, make smaller copies.

Runs inside a decoding process (see sandbox.py) for every byte that came from outside. Imports no Django.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from gallery.errors import Code, Refused

#: Format as Pillow names it -> content type served. Formats not listed are never opened.
CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with further pictures behind it, as many phones write
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}
#: What a folder of photographs holds; files of other kinds beside them are no mistake.
SUFFIXES = {
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".mpo",
    ".png",
    ".webp",
    ".gif",
    ".tif",
    ".tiff",
    ".bmp",
    ".avif",
}
#: Pillow opens an MPO by its JPEG plugin, and knows no plugin of that name.
_OPENED = [name for name in CONTENT_TYPES if name != "MPO"]
#: For people, in messages.
ACCEPTED = "JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF"

#: Fills a grid's tile of 256 px on a screen of two pixels a px.
THUMBNAIL_LONG_EDGE_PX = 512
#: Fills a laptop's screen; also what encoders see, whose shorter side needs at most 592 px (518 / 0.875).
PREVIEW_LONG_EDGE_PX = 1600
_THUMBNAIL_QUALITY, _PREVIEW_QUALITY = 82, 90

T = TypeVar("T")


@dataclass(frozen=True)
class Rendered:
    """What a decode yields: facts of the original, upright, and two JPEGs without metadata."""

    format: str
    width: int
    height: int
    preview: bytes
    thumbnail: bytes


@dataclass(frozen=True)
class _Decoded:
    """An original's facts, and its pixels at a preview's size: upright, eight bits a channel, sRGB."""

    format: str
    width: int
    height: int
    rgb: Image.Image


def render(path: Path, *, max_pixels: int) -> Rendered:
    """Decode a file in full and make its renditions. Raises Refused, whatever the decoder throws."""
    return _refusing(lambda: _render(path, max_pixels))


def render_preview(path: Path, *, max_pixels: int) -> bytes:
    """The preview that `render` makes, to the byte, and nothing else. Raises Refused likewise."""
    return _refusing(lambda: _to_jpeg(_decode(path, max_pixels).rgb, _PREVIEW_QUALITY))


def _render(path: Path, max_pixels: int) -> Rendered:
    original = _decode(path, max_pixels)
    preview = _to_jpeg(original.rgb, _PREVIEW_QUALITY)
    original.rgb.thumbnail((THUMBNAIL_LONG_EDGE_PX, THUMBNAIL_LONG_EDGE_PX), Image.Resampling.LANCZOS)
    thumbnail = _to_jpeg(original.rgb, _THUMBNAIL_QUALITY)
    return Rendered(original.format, original.width, original.height, preview, thumbnail)


def _decode(path: Path, max_pixels: int) -> _Decoded:
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, below
    with _open(path) as image:
        _check_pixels(image.width, image.height, max_pixels)
        name, (width, height) = image.format or "", _upright_size(image)
        image.draft(None, _preview_size(image.size))  # a JPEG's data is still read to its end
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        upright: Image.Image = image
        if upright.mode in {"1", "P", "PA"}:  # Pillow resamples these by nearest neighbour, whatever it is told
            upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        upright.thumbnail((PREVIEW_LONG_EDGE_PX, PREVIEW_LONG_EDGE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return _Decoded(name, width, height, _to_rgb(upright))


def _preview_size(size: tuple[int, int]) -> tuple[int, int]:
    longest = max(*size, PREVIEW_LONG_EDGE_PX)
    width, height = (side * PREVIEW_LONG_EDGE_PX // longest for side in size)
    return max(width, 1), max(height, 1)


def open_rendition(data: bytes, *, shorter_side_px: int) -> Image.Image:
    """One of our own renditions, decoded; scaled down while decoding, but not below the side asked for."""
    image = Image.open(io.BytesIO(data), formats=["JPEG"])
    image.draft("RGB", _draft_size(image.size, shorter_side_px))
    image.load()
    return image.convert("RGB")


def _draft_size(size: tuple[int, int], shorter_side_px: int) -> tuple[int, int]:
    scale = max(1.0, min(size) / shorter_side_px)
    return int(size[0] / scale), int(size[1] / scale)


def _open(path: Path) -> ImageFile.ImageFile:
    if path.stat().st_size == 0:
        raise Refused(Code.EMPTY, "The file is empty.")
    return Image.open(path, formats=_OPENED)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    turned = image.getexif().get(ExifTags.Base.Orientation) in {
        5,
        6,
        7,
        8,
    }  # by a quarter (EXIF 2.32, 4.6.4 A)
    return (image.height, image.width) if turned else image.size


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Refused(
            Code.TOO_MANY_PIXELS,
            f"The picture has {width} x {height} pixels; at most {max_pixels // 1_000_000} megapixels are taken.",
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Eight bits a channel, sRGB, transparency over white."""
    image = _to_srgb(_to_eight_bits(image))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Pillow clips wider samples instead of scaling them; the full range is what a viewer shows."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode not in {"I", "F"}:
        return image
    low, high = image.getextrema()
    span = float(high) - float(low) or 1.0  # type: ignore[arg-type]  # one band: two numbers
    return image.point(lambda value: value * (255 / span) - float(low) * (255 / span)).convert("L")  # type: ignore[arg-type]


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in {"RGB", "CMYK", "L"}:
        return image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a broken profile does not make the picture unreadable
    return converted or image


def _to_jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.info.clear()  # comments and profiles of the original must not travel on
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=False)
    return buffer.getvalue()


def _refusing(work: Callable[[], T]) -> T:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings about odd files; what matters is checked here
        try:
            return work()
        except Refused:
            raise
        except UnidentifiedImageError:
            raise Refused(Code.UNSUPPORTED_TYPE, f"This is no picture we can read: {ACCEPTED}.") from None
        except Image.DecompressionBombError:
            raise Refused(Code.TOO_MANY_PIXELS, "The picture has too many pixels.") from None
        except MemoryError:
            raise Refused(Code.DECODE_MEMORY, "Decoding the picture takes too much memory.") from None
        except Exception as error:
            raise _unreadable(error) from None


def _unreadable(error: Exception) -> Refused:
    """Decoders throw anything: ValueError, TypeError, SyntaxError, struct.error and more were measured."""
    if isinstance(error, OSError) and "truncated" in str(error):
        return Refused(Code.TRUNCATED, "The file ends too early; it may have been cut off on its way. Send it again.")
    return Refused(Code.CORRUPT, "The file is damaged and cannot be decoded.")
