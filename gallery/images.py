"""What Pillow does with a picture: look at its header, decode it, turn it upright, make smaller copies.

Runs inside a decoding process (see sandbox.py) for every byte that came from outside. Of Django it imports marks of
texts alone.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from django.utils.translation import gettext_lazy
from django.utils.translation import gettext_noop as _
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from gallery import metadata
from gallery.errors import Code, Refused
from gallery.formats import ACCEPTED, CONTENT_TYPES
from gallery.metadata import Metadata
from gallery.perceptual_hash import perceptual_hash

#: Pillow opens an MPO by its JPEG plugin, and knows no plugin of that name.
_OPENED = [name for name in CONTENT_TYPES if name != "MPO"]

#: Of all frames and pages together: some 8 minutes of small animation, or 100 scanned pages. Only the first is decoded
#: here; whoever opens the original decodes them all.
MAX_FRAMES_PIXELS = 1_000_000_000

#: Of more, JPEG 2000's finest details are left out: OpenJPEG takes some 40 bytes a pixel.
_MOST_JPEG_2000_PIXELS = 25_000_000

#: Fills a grid's tile of 256 px on a screen of two pixels a px.
THUMBNAIL_LONG_EDGE_PX = 512
#: Fills a laptop's screen; also what encoders see, whose shorter side needs at most 592 px (518 / 0.875).
PREVIEW_LONG_EDGE_PX = 1600
_THUMBNAIL_QUALITY, _PREVIEW_QUALITY = 82, 90

T = TypeVar("T")


@dataclass(frozen=True)
class Rendered:
    """What a decode yields: facts of the original, upright, two JPEGs without metadata, a hash of what they show."""

    format: str
    width: int
    height: int
    metadata: Metadata
    preview: bytes
    thumbnail: bytes
    perceptual_hash: int


@dataclass(frozen=True)
class _Decoded:
    """An original's facts, and its pixels at the size asked for: upright, eight bits a channel, sRGB."""

    format: str
    width: int
    height: int
    metadata: Metadata
    rgb: Image.Image


def render(path: Path, *, max_pixels: int) -> Rendered:
    """Decode a file in full and make its renditions. Raises Refused, whatever the decoder throws."""
    return _refusing(lambda: _render(path, max_pixels))


def render_preview(path: Path, *, max_pixels: int) -> bytes:
    """The preview that `render` makes, to the byte, and nothing else. Raises Refused likewise."""
    return _refusing(lambda: _to_jpeg(_decode(path, max_pixels, read_metadata=False).rgb, _PREVIEW_QUALITY))


def render_size(path: Path, *, max_pixels: int, long_edge_px: int) -> bytes:
    """A JPEG without metadata whose long edge is that long, or the original's where that is shorter. Raises Refused."""
    return _refusing(
        lambda: _to_jpeg(
            _decode(path, max_pixels, read_metadata=False, long_edge_px=long_edge_px).rgb, _PREVIEW_QUALITY
        )
    )


def read_size(path: Path) -> tuple[int, int]:
    """Width and height as the header has them, before the picture is turned upright. Raises Refused."""

    def read() -> tuple[int, int]:
        with _open(path) as image:
            return image.size

    return _refusing(read)


def _render(path: Path, max_pixels: int) -> Rendered:
    original = _decode(path, max_pixels, read_metadata=True)
    preview = _to_jpeg(original.rgb, _PREVIEW_QUALITY)
    # from half the preview where that is large: of what differs, JPEG leaves less than a tenth to see
    small = (THUMBNAIL_LONG_EDGE_PX, THUMBNAIL_LONG_EDGE_PX)
    original.rgb.thumbnail(small, Image.Resampling.LANCZOS, reducing_gap=1.5)
    thumbnail = _to_jpeg(original.rgb, _THUMBNAIL_QUALITY)
    return Rendered(
        original.format,
        original.width,
        original.height,
        original.metadata,
        preview,
        thumbnail,
        perceptual_hash(original.rgb),  # of the thumbnail's pixels: of the preview's it takes five times as long
    )


def _decode(path: Path, max_pixels: int, *, read_metadata: bool, long_edge_px: int = PREVIEW_LONG_EDGE_PX) -> _Decoded:
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, below
    _check_not_empty(path)
    with _open(path) as image:
        _check_pixels(image.width, image.height, max_pixels)
        _check_frames(image)
        name, (width, height) = image.format or "", _upright_size(image)
        told = metadata.read(image) if read_metadata else Metadata()
        _scale_while_decoding(image, long_edge_px)
        image.load()
        _check_sums(path, image.format)  # afterwards, since it calls a file damaged that ends early
        ImageOps.exif_transpose(image, in_place=True)
        upright = _resamplable(image)
        upright.thumbnail((long_edge_px, long_edge_px), Image.Resampling.BICUBIC, reducing_gap=3.0)
        return _Decoded(name, width, height, told, _to_rgb(upright))


def _check_not_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise Refused(Code.EMPTY, _("The file is empty."))


@cache
def load_decoders() -> None:
    """Import what decodes. It takes half a second, and reads bytes from outside: processes that decode do it alone."""
    import pillow_heif

    import gallery.dicom  # noqa: F401 (it registers itself)

    # a thumbnail that comes along shows whatever it likes, and a picture is told by itself
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    Image.init()


def _open(path: Path) -> ImageFile.ImageFile:
    load_decoders()
    return Image.open(path, formats=_OPENED)


def _scale_while_decoding(image: ImageFile.ImageFile, long_edge_px: int) -> None:
    if image.format == "JPEG2000" and image.width * image.height > _MOST_JPEG_2000_PIXELS:
        image.reduce = 1  # type: ignore[assignment, method-assign]  # how often to halve it; in other formats a method
    else:
        image.draft(None, _within(image.size, long_edge_px))  # a JPEG's data is still read to its end


def _within(size: tuple[int, int], long_edge_px: int) -> tuple[int, int]:
    longest = max(*size, long_edge_px)
    width, height = (side * long_edge_px // longest for side in size)
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


def _upright_size(image: Image.Image) -> tuple[int, int]:
    turned = image.getexif().get(ExifTags.Base.Orientation) in {5, 6, 7, 8}  # by a quarter (EXIF 2.32, 4.6.4 A)
    return (image.height, image.width) if turned else image.size


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Refused(
            Code.TOO_MANY_PIXELS,
            _("The picture has %(width)s x %(height)s pixels; at most %(most)s megapixels are taken."),
            {"width": width, "height": height, "most": max_pixels >> 20},
        )


def _check_frames(image: ImageFile.ImageFile) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames * image.width * image.height > MAX_FRAMES_PIXELS:
        raise Refused(
            Code.TOO_MANY_FRAMES,
            _(
                "The file has %(frames)s frames or pages of %(width)s x %(height)s pixels; at most %(most)s megapixels "
                "are taken in all."
            ),
            {
                "frames": frames,
                "width": image.width,
                "height": image.height,
                "most": MAX_FRAMES_PIXELS // 1_000_000,
            },
        )


def _check_sums(path: Path, name: str | None) -> None:
    """Those of a PNG, which Pillow does not read where it decodes. Of no other format does it know any."""
    if name == "PNG":
        with _open(path) as image:
            image.verify()


def _resamplable(image: Image.Image) -> Image.Image:
    """In a mode in which Pillow averages neighbours right.

    Palettes and single bits it resamples by nearest neighbour, whatever it is told; a colour that stands for
    transparency is found no more once colours are mixed.
    """
    if image.mode.startswith("I;16"):
        image = _high_bytes(image)
    if image.mode not in {"1", "P", "PA"} and "transparency" not in image.info:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _high_bytes(image: Image.Image) -> Image.Image:
    """Sixteen bits as eight. Pillow would clip them instead of scaling."""
    eight = image.convert("I").point(lambda value: value / 257).convert("L")
    if "transparency" in eight.info:
        eight.info["transparency"] //= 257
    return eight


def _to_rgb(image: Image.Image) -> Image.Image:
    """Eight bits a channel, sRGB, transparency over white."""
    image = _to_srgb(_to_eight_bits(image))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Of samples that have no range of their own, from the least to the largest that there is."""
    if image.mode not in {"I", "F"}:
        return image
    low, high = image.getextrema()
    span = float(high) - float(low) or 1.0  # type: ignore[arg-type]  # one band: two numbers
    return image.point(lambda value: value * (255 / span) - float(low) * (255 / span)).convert("L")  # type: ignore[arg-type]


def _to_srgb(image: Image.Image) -> Image.Image:
    """By the profile that the picture brings, whose alpha is left as it is."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in {"RGB", "RGBA", "CMYK", "L", "LA"}:
        return image
    try:
        converted = ImageCms.profileToProfile(
            image.convert("L") if image.mode == "LA" else image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if image.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a broken profile does not make the picture unreadable
    if converted and image.mode == "LA":
        converted.putalpha(image.getchannel("A"))
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
            raise Refused(
                Code.UNSUPPORTED_TYPE,
                _("This is no picture we can read: %(accepted)s."),
                {"accepted": gettext_lazy(ACCEPTED)},
            ) from None
        except Image.DecompressionBombError:
            raise Refused(Code.TOO_MANY_PIXELS, _("The picture has too many pixels.")) from None
        except MemoryError:
            raise Refused(Code.DECODE_MEMORY, _("Decoding the picture takes too much memory.")) from None
        except Exception as error:
            raise _unreadable(error) from None


def _unreadable(error: Exception) -> Refused:
    """Decoders throw anything: ValueError, TypeError, SyntaxError, struct.error and more were measured."""
    if "truncated" in str(error):
        return Refused(
            Code.TRUNCATED, _("The file ends too early; it may have been cut off on its way. Send it again.")
        )
    return Refused(Code.CORRUPT, _("The file is damaged and cannot be decoded."))
