import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from gallery import formats, images
from gallery.errors import Code, Refused
from tests.conftest import drawn, encoded

PLENTY = 100_000_000


def render(tmp_path, data, max_pixels=PLENTY):
    path = tmp_path / "upload"
    path.write_bytes(data)
    return images.render(path, max_pixels=max_pixels)


def opened(jpeg):
    return Image.open(io.BytesIO(jpeg))


def mean(jpeg):
    return np.asarray(opened(jpeg)).reshape(-1, 3).mean(axis=0)


@pytest.mark.parametrize("format", ["JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000"])
def test_accepted_formats_are_rendered(tmp_path, format):
    options = {"save_all": True, "append_images": [drawn(2, (300, 200))]} if format == "MPO" else {}
    rendered = render(tmp_path, encoded(drawn(1, (300, 200)), format, **options))
    assert (rendered.format, rendered.width, rendered.height) == (format, 300, 200)
    assert opened(rendered.preview).size == (300, 200)
    np.testing.assert_allclose(mean(rendered.preview), np.asarray(drawn(1, (300, 200))).mean(axis=(0, 1)), atol=6)


def test_formats_suffixes_and_types_are_told_of_the_same():
    assert set(formats.SUFFIXES_OF) == set(formats.CONTENT_TYPES)


def test_decoders_are_loaded_by_who_decodes_alone():
    program = "import gallery.sandbox, sys; print(*sys.modules)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert {"pydicom", "pillow_heif", "PIL.Jpeg2KImagePlugin"} & set(loaded.stdout.split()) == set()


def test_renditions_fit_their_sizes(tmp_path):
    rendered = render(tmp_path, encoded(drawn(1, (3000, 1500))))
    assert (rendered.width, rendered.height) == (3000, 1500)
    assert opened(rendered.preview).size == (1600, 800)
    assert opened(rendered.thumbnail).size == (512, 256)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize("size", [(300, 200), (2000, 1000)])
def test_preview_alone_is_the_same_to_the_byte(tmp_path, format, size):
    rendered = render(tmp_path, encoded(drawn(1, size), format))
    assert images.render_preview(tmp_path / "upload", max_pixels=PLENTY) == rendered.preview


def test_preview_alone_is_refused_for_the_same_reasons(tmp_path):
    (tmp_path / "upload").write_bytes(encoded(drawn(1, (300, 200))))
    with pytest.raises(Refused) as refused:
        images.render_preview(tmp_path / "upload", max_pixels=59_999)
    assert refused.value.code == Code.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((3300, 2200), (1650, 1100)),
        ((2200, 3300), (1100, 1650)),
        ((3100, 2000), (3100, 2000)),  # at half of that it would fall short of the preview
        ((3400, 1), (3400, 1)),
    ],
)
def test_large_jpeg_is_scaled_while_decoded_whatever_its_shape(tmp_path, monkeypatch, size, decoded):
    seen = []
    monkeypatch.setattr(images.ImageOps, "exif_transpose", lambda image, in_place: seen.append(image.size))
    render(tmp_path, encoded(Image.new("RGB", size)))
    assert seen == [decoded]


def test_large_jpeg_2000_is_halved_while_decoded(tmp_path, monkeypatch):
    data = encoded(drawn(1, (300, 200)), "JPEG2000")
    whole = render(tmp_path, data)
    monkeypatch.setattr(images, "_MOST_JPEG_2000_PIXELS", 50_000)
    halved = render(tmp_path, data)
    assert (halved.width, halved.height) == (300, 200)
    assert (opened(whole.preview).size, opened(halved.preview).size) == ((300, 200), (150, 100))
    np.testing.assert_allclose(mean(halved.preview), mean(whole.preview), atol=2)


def test_heif_is_decoded_whatever_thumbnail_it_brings(tmp_path, monkeypatch):
    data = encoded(drawn(1, (3400, 2000)), "HEIF", thumbnails=[1700])
    seen = []
    monkeypatch.setattr(images.ImageOps, "exif_transpose", lambda image, in_place: seen.append(image.size))
    render(tmp_path, data)
    assert seen == [(3400, 2000)]


def test_small_pictures_are_not_enlarged(tmp_path):
    rendered = render(tmp_path, encoded(drawn(1, (40, 30))))
    assert opened(rendered.preview).size == opened(rendered.thumbnail).size == (40, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = Image.new("RGB", (80, 40), "white")
    upright.paste((250, 0, 0), (0, 0, 40, 20))  # red in the upper left quarter
    turned = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    rendered = render(tmp_path, encoded(turned, "PNG", exif=exif))
    assert (rendered.width, rendered.height) == (80, 40)
    red, white = opened(rendered.preview).getpixel((10, 8)), opened(rendered.preview).getpixel((70, 30))
    assert red[0] > 200
    assert red[1] < 60
    assert min(white) > 200


def test_renditions_carry_no_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x010E], exif[0x8825] = "secret words", {1: "N", 2: (48.0, 8.0, 0.0)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(drawn(1), "JPEG", exif=exif, icc_profile=profile, comment=b"secret words")
    rendered = render(tmp_path, data)
    for jpeg in (rendered.preview, rendered.thumbnail):
        assert b"secret words" not in jpeg
        assert not opened(jpeg).getexif()
        assert "icc_profile" not in opened(jpeg).info


@pytest.mark.parametrize("mode", ["1", "P"])
def test_fine_patterns_are_averaged_when_reduced(tmp_path, mode):
    grid = np.indices((2000, 2000)).sum(axis=0) % 2 * 255
    image = Image.fromarray(grid.astype(np.uint8)).convert(mode)
    np.testing.assert_allclose(mean(render(tmp_path, encoded(image, "PNG")).thumbnail), [128, 128, 128], atol=8)


def test_truncated_file_is_refused_as_such(tmp_path):
    data = encoded(drawn(1, (400, 300)), "JPEG")
    with pytest.raises(Refused) as refused:
        render(tmp_path, data[: len(data) // 2])
    assert refused.value.code == Code.TRUNCATED


def test_sums_of_a_png_are_checked(tmp_path):
    """The pixels can be decoded all the same."""
    data = encoded(drawn(1), "PNG")
    with pytest.raises(Refused) as refused:
        render(tmp_path, data[:-16] + b"bad!" + data[-12:])
    assert refused.value.code == Code.CORRUPT


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.EMPTY),
        (b"not a picture at all", Code.UNSUPPORTED_TYPE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", Code.UNSUPPORTED_TYPE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Code.UNSUPPORTED_TYPE),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, data, code):
    with pytest.raises(Refused) as refused:
        render(tmp_path, data)
    assert refused.value.code == code


def test_too_many_pixels_are_refused_by_the_header_alone(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    with pytest.raises(Refused) as refused:
        render(tmp_path, b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 8) + b"IDAT")
    assert refused.value.code == Code.TOO_MANY_PIXELS


@pytest.mark.parametrize("error", [ValueError, TypeError, SyntaxError, NotImplementedError, KeyError, OSError])
def test_whatever_a_decoder_throws_is_corrupt(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error("odd")

    monkeypatch.setattr(images, "_to_rgb", fail)
    with pytest.raises(Refused) as refused:
        render(tmp_path, encoded(drawn(1)))
    assert refused.value.code == Code.CORRUPT


def test_rendition_is_scaled_while_decoded_but_not_below_the_side_asked_for(tmp_path):
    rendered = render(tmp_path, encoded(drawn(1, (1600, 1200))))
    assert min(images.open_rendition(rendered.preview, shorter_side_px=256).size) == 300
    assert min(images.open_rendition(rendered.preview, shorter_side_px=2000).size) == 1200
