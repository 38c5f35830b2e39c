import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from gallery import images
from gallery.perceptual_hash import hamming, perceptual_hash
from gallery.uploads import store_upload
from tests.conftest import drawn, encoded

SIZE = (640, 480)
NEAR = 8


def scene(seed):
    """As in photographs, the coarser the stronger."""
    random, total = np.random.default_rng(seed), np.zeros((*SIZE[::-1], 3))
    for cells in (2, 4, 8, 16):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(noise.resize(SIZE, Image.Resampling.BICUBIC), float) / cells
    return Image.fromarray(np.uint8(total * 255 / total.max()))


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


COPIES = {
    "a quarter of the size": lambda image: image.resize((160, 120)),
    "hard JPEG": lambda image: opened(encoded(image, quality=30)),
    "WebP": lambda image: opened(encoded(image, "WEBP")),
    "slightly cropped": lambda image: image.crop((6, 5, 634, 475)),
    "brighter": lambda image: image.point(lambda value: value * 0.9 + 25),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_share_nearly_all_bits(copy):
    scenes = [scene(seed) for seed in range(20)]
    apart = [hamming(perceptual_hash(image), perceptual_hash(copy(image))) for image in scenes]
    assert max(apart) <= NEAR


def test_different_pictures_share_half_of_the_bits():
    made = [perceptual_hash(scene(seed)) for seed in range(40)]
    apart = [hamming(a, b) for a, b in combinations(made, 2)]
    assert min(apart) > NEAR
    assert np.mean(apart) == pytest.approx(32, abs=2)


def test_bits_are_signs_of_the_lowest_frequencies():
    image = drawn(1, (32, 32))
    frequencies = dctn(np.asarray(image.convert("L"), float))[1:9, 1:9].ravel()
    expected = "".join("1" if value > np.median(frequencies) else "0" for value in frequencies)
    assert f"{perceptual_hash(image) % 2**64:064b}" == expected


def test_hash_fits_what_the_database_has_room_for():
    made = [perceptual_hash(drawn(seed)) for seed in range(20)]
    assert -(2**63) <= min(made) < 0 < max(made) < 2**63


@pytest.mark.parametrize("colour", ["black", "white", (200, 30, 77)])
def test_one_colour_has_no_structure(colour):
    assert perceptual_hash(Image.new("RGB", (333, 77), colour)) == 0


@pytest.mark.parametrize(
    ("a", "b", "bits"), [(0, 0, 0), (5, 6, 2), (0, -1, 64), (-1, -1, 0), (-(2**63), 2**63 - 1, 64), (-2, -1, 1)]
)
def test_hamming_counts_bits_that_differ(a, b, bits):
    assert hamming(a, b) == hamming(b, a) == bits


def test_upload_is_stored_with_the_hash_of_its_picture(user, picture):
    asset = store_upload(picture(3, size=SIZE), user).asset
    asset.refresh_from_db()
    assert hamming(asset.perceptual_hash, perceptual_hash(drawn(3, SIZE))) <= 2


def test_hash_of_the_upload_is_that_of_its_preview(tmp_path):
    for seed in range(10):
        (tmp_path / "upload").write_bytes(encoded(drawn(seed, (2000, 1500))))
        rendered = images.render(tmp_path / "upload", max_pixels=10_000_000)
        preview = images.open_rendition(rendered.preview, shorter_side_px=256)
        assert hamming(rendered.perceptual_hash, perceptual_hash(preview)) <= 4
