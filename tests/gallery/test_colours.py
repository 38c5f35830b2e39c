"""Colours, by pixel values worked out by hand."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from gallery import images
from tests.conftest import encoded
from tests.gallery import profiles

#: Of Adobe RGB: sRGB says this green with less red, by the matrices of both.
WIDE, NARROW = (140, 170, 140), (127, 172, 140)


@pytest.fixture
def preview(tmp_path):
    """preview(data): the preview of a file, as pixels."""

    def make(data):
        path = tmp_path / "upload"
        path.write_bytes(data)
        return Image.open(io.BytesIO(images.render_preview(path, max_pixels=100_000_000)))

    return make


def assert_colour(image, expected, atol=4):
    np.testing.assert_allclose(np.asarray(image).reshape(-1, 3).mean(axis=0), expected, atol=atol)


def half_clear(mode):
    """Red on the left and see-through on the right, in a mode that can say so."""
    image = Image.new("RGBA", (40, 20), (200, 0, 0, 255))
    image.paste((0, 0, 90, 0), (20, 0, 40, 20))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "format", "left"),
    [
        ("RGBA", "PNG", (200, 0, 0)),
        ("LA", "PNG", (60, 60, 60)),
        ("P", "PNG", (200, 0, 0)),
        ("RGBA", "WEBP", (200, 0, 0)),
        ("RGBA", "TIFF", (200, 0, 0)),
        ("RGBA", "AVIF", (200, 0, 0)),
        ("RGBA", "HEIF", (200, 0, 0)),
        ("RGBA", "JPEG2000", (200, 0, 0)),
        ("RGBA", "GIF", (200, 0, 0)),
    ],
)
def test_transparency_lies_over_white(preview, mode, format, left):
    preview = preview(encoded(half_clear(mode), format))
    np.testing.assert_allclose(preview.getpixel((8, 10)), left, atol=14)
    np.testing.assert_allclose(preview.getpixel((32, 10)), [255, 255, 255], atol=6)


def test_half_transparent_colour_is_mixed_with_white(preview):
    assert_colour(preview(encoded(Image.new("RGBA", (20, 20), (200, 0, 0, 128)), "PNG")), (227, 127, 127))


def png(depth, colour_type, rows, *chunks):
    """A PNG from its parts, for what Pillow cannot write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = len(rows), rows.shape[1]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [chunk(b"IHDR", header), *(chunk(*part) for part in chunks), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def sixteen_bits(*channels):
    """20 x 20 pixels of one colour, as PNG stores them."""
    return np.tile(np.array(channels, ">u2"), (20, 20, 1))


@pytest.mark.parametrize(
    ("colour_type", "channels", "chunks", "expected"),
    [
        (0, (32_896,), [], (128, 128, 128)),
        (2, (51_400, 25_700, 12_850), [], (200, 100, 50)),
        (4, (51_400, 32_896), [], (227, 227, 227)),
        (6, (51_400, 0, 0, 32_896), [], (227, 127, 127)),
        (0, (32_896,), [(b"tRNS", struct.pack(">H", 32_896))], (255, 255, 255)),
        (0, (32_896,), [(b"tRNS", struct.pack(">H", 100))], (128, 128, 128)),
        (2, (51_400, 25_700, 12_850), [(b"tRNS", struct.pack(">HHH", 51_400, 25_700, 12_850))], (255, 255, 255)),
    ],
)
def test_png_of_sixteen_bits_keeps_its_colours(preview, colour_type, channels, chunks, expected):
    assert_colour(preview(png(16, colour_type, sixteen_bits(*channels), *chunks)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("channels", "photometric", "expected"),
    [
        ((32_896,), "minisblack", (128, 128, 128)),
        ((51_400, 25_700, 12_850), "rgb", (200, 100, 50)),
        ((0, 51_400, 25_700, 0), "separated", (255, 55, 155)),
    ],
)
def test_tiff_of_sixteen_bits_keeps_its_colours(preview, order, channels, photometric, expected):
    buffer = io.BytesIO()
    samples = np.tile(np.array(channels, np.uint16), (20, 20, 1)).squeeze()
    tifffile.imwrite(buffer, samples, byteorder=order, photometric=photometric)
    assert_colour(preview(buffer.getvalue()), expected)


def test_large_picture_of_sixteen_bits_is_reduced(preview):
    grey = Image.fromarray(np.full((5000, 5000), 32_896, dtype=np.uint16))
    assert_colour(preview(encoded(grey, "PNG", compress_level=1)), (128, 128, 128))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_jpeg_2000_keeps_its_brightness(preview, depth):
    grey = np.full((20, 20), 0.25 * np.iinfo(depth).max, dtype=depth)
    assert_colour(preview(encoded(Image.fromarray(grey), "JPEG2000")), (64, 64, 64))


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette_keeps_its_colours(preview, format):
    red = Image.new("RGB", (20, 20), (250, 10, 10)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert_colour(preview(encoded(red, format)), (250, 10, 10))


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_neither_inverted_nor_swapped(preview, format):
    assert_colour(preview(encoded(Image.new("CMYK", (20, 20), (0, 200, 100, 0)), format)), (255, 55, 155))


def test_transparent_colour_is_found_before_neighbours_are_mixed(preview):
    """Stripes of one pixel: reduced first, none would have the colour that stands for transparency."""
    stripes = Image.fromarray(np.tile(np.array([10, 200], np.uint8), (20, 2000)))
    assert_colour(preview(encoded(stripes, "PNG", transparency=10)), [227.5] * 3, atol=4)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_profile_is_converted_to_srgb(preview, format):
    options = {"quality": 95} if format in {"JPEG", "WEBP", "AVIF", "HEIF"} else {}
    data = encoded(Image.new("RGB", (64, 64), WIDE), format, icc_profile=profiles.adobe_rgb(), **options)
    assert_colour(preview(data), NARROW)


def test_profile_is_converted_where_there_is_alpha_too(preview):
    half = Image.new("RGBA", (20, 20), (*WIDE, 128))
    over_white = [255 - (255 - level) * 128 / 255 for level in NARROW]
    assert_colour(preview(encoded(half, "PNG", icc_profile=profiles.adobe_rgb())), over_white)


@pytest.mark.parametrize("image", [Image.new("L", (20, 20), 55), Image.new("LA", (20, 20), (55, 255))])
def test_profile_of_grey_is_converted(preview, image):
    """In linear light a level of 55 is as bright as sRGB's 128."""
    assert_colour(preview(encoded(image, "PNG", icc_profile=profiles.linear_grey())), (128, 128, 128))


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_profile_of_inks_is_converted(preview, format):
    """Without it, all of the first ink is cyan."""
    ink = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    assert_colour(preview(encoded(ink, format, icc_profile=profiles.grey_ink())), (129, 129, 129))


@pytest.mark.parametrize("profile", [b"broken", profiles.linear_grey(), profiles.grey_ink()])
def test_profile_that_is_broken_or_of_other_channels_is_left_alone(preview, profile):
    assert_colour(preview(encoded(Image.new("RGB", (20, 20), WIDE), "PNG", icc_profile=profile)), WIDE)
