"""The built-in encoder: vectors one can rely on, and what it finds in real photographs."""

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from PIL import Image

from search.encoders import descriptor
from search.encoders import descriptor_features as features

#: Decoded RGB to vector, as the issue asks; 169 were measured, the rest is room for a busy machine.
IMAGES_PER_SECOND = 60


@pytest.fixture(scope="module")
def encoder():
    return descriptor.SPEC.load(descriptor.SPEC)


def _vectors(encoder, images):
    return encoder.encode(np.stack([encoder.prepare(image) for image in images]))


def _noise(seed, size=(320, 240), coarse=(8, 6)):
    pixels = np.random.default_rng(seed).integers(0, 256, (coarse[1], coarse[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def _flat(colour, size=(200, 150)):
    return Image.new("RGB", size, colour)


def _box(colour, ground, box, size=(200, 200)):
    image = Image.new("RGB", size, ground)
    image.paste(colour, box)
    return image


def _degraded(image, scale=0.7, quality=60):
    """A smaller copy, once more through JPEG."""
    smaller = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    smaller.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _leave_one_out(vectors, labels, k):
    """Mean share of each row's k nearest others that have its label."""
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    nearest = np.argsort(-similarities, axis=1)[:, :k]
    return (labels[nearest] == labels[:, None]).mean()


def _obvious_leave_one_out(vectors, labels, k):
    shares = []
    for i in range(len(vectors)):
        others = sorted((j for j in range(len(vectors)) if j != i), key=lambda j: -(vectors[i] @ vectors[j]))
        shares.append(sum(labels[j] == labels[i] for j in others[:k]) / k)
    return sum(shares) / len(shares)


def test_spec_tells_what_encode_returns(encoder):
    vectors = _vectors(encoder, [_noise(0), _noise(1, size=(90, 400))])
    assert vectors.shape == (2, descriptor.SPEC.dimensions) == (2, encoder.dimensions)
    assert vectors.dtype == np.float32
    assert descriptor.SPEC.dimensions <= 768
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_encode_of_no_pictures_is_empty(encoder):
    assert encoder.encode(np.empty((0, 64, 64, 3), np.uint8)).shape == (0, encoder.dimensions)


def test_encode_gives_the_same_bits_in_any_batch_and_thread(encoder):
    prepared = np.stack([encoder.prepare(_noise(seed)) for seed in range(7)])
    together = encoder.encode(prepared)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda picture: encoder.encode(picture[None])[0], prepared))
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, encoder.encode(prepared))
    np.testing.assert_array_equal(together[2:5], encoder.encode(prepared[2:5]))


@pytest.mark.parametrize(
    "image",
    [
        _flat("black"),
        _flat("white"),
        _flat("red"),
        _flat((0, 0, 255)),
        _flat("grey", (1, 1)),
        _flat("green", (1, 5000)),
        _flat("green", (5000, 1)),
        _noise(3, (5000, 2)),
        _noise(3, (64, 64), (64, 64)),
    ],
    ids=["black", "white", "red", "blue", "1x1", "1x5000", "5000x1", "5000x2", "noise"],
)
def test_encode_of_an_odd_picture_has_a_direction(encoder, image):
    vectors = _vectors(encoder, [image])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[0].astype(np.float16).astype(np.float32)) == pytest.approx(1, abs=2e-3)


def test_encode_tells_flat_colours_apart(encoder):
    colours = [(0, 0, 0), (3, 3, 3), (128, 128, 128), (255, 255, 255), (250, 0, 0), (255, 0, 0), (0, 0, 255)]
    vectors = _vectors(encoder, [_flat(colour) for colour in colours]).astype(np.float16)
    assert len({vector.tobytes() for vector in vectors}) == len(colours)


def test_encode_ranks_flat_colours_by_how_near_they_are(encoder):
    red, darker, blue = _vectors(encoder, [_flat((220, 30, 30)), _flat((190, 30, 30)), _flat((30, 30, 220))])
    assert red @ darker > red @ blue + 0.3


def test_encode_ranks_the_same_outline_in_another_colour_above_another_outline(encoder):
    tall, wide = (70, 20, 130, 180), (20, 70, 180, 130)
    query, recoloured, turned = _vectors(
        encoder, [_box("navy", "white", tall), _box("maroon", "wheat", tall), _box("maroon", "wheat", wide)]
    )
    assert query @ recoloured > query @ turned + 0.2


def test_encode_ranks_colour_above_layout_where_the_ground_is_busy(encoder):
    pixels = np.random.default_rng(5).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    greens, purples = pixels * np.uint8([0, 1, 0]), pixels * np.uint8([1, 0, 1])
    query, moved, tinted = _vectors(encoder, [Image.fromarray(p) for p in (greens, greens[::-1, ::-1], purples)])
    assert query @ moved > query @ tinted + 0.2


def test_encode_finds_a_smaller_and_recompressed_copy_first(encoder):
    images = [_noise(seed) for seed in range(30)]
    similarities = _vectors(encoder, [_degraded(image) for image in images]) @ _vectors(encoder, images).T
    np.testing.assert_array_equal(similarities.argmax(axis=1), np.arange(30))
    assert similarities.diagonal().min() > 0.98


def test_ground_gives_the_box_to_the_subject_and_the_rest_to_the_border():
    picture = features.lab(np.asarray(_box("navy", "white", (8, 8, 24, 24), (32, 32))))
    odds, separability = features.ground(picture)
    assert odds[8:24, 8:24].min() > 2
    assert max(odds[:8].max(), odds[:, 24:].max()) < -0.5
    assert separability > 0.8


def test_ground_finds_no_subject_in_a_flat_picture():
    odds, separability = features.ground(features.lab(np.asarray(_flat("teal", (32, 32)))))
    np.testing.assert_allclose(odds, 0, atol=1e-5)
    assert separability == pytest.approx(0, abs=1e-5)


def test_density_agrees_with_its_formula():
    rng = np.random.default_rng(0)
    points, samples = rng.random((5, 3), np.float32) / 5, rng.random((4, 3), np.float32) / 5
    weights = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    slow = [
        sum(
            w * np.exp(-((p - s) ** 2).sum() / (2 * features.BANDWIDTH**2))
            for s, w in zip(samples, weights, strict=True)
        )
        for p in points
    ]
    np.testing.assert_allclose(features.density(points, samples, weights), slow, rtol=1e-5)


def test_gradients_of_a_ramp_lie_in_the_bin_of_its_direction():
    right = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    one, down = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    one[:, 0], down[:, 1] = 1, 1
    np.testing.assert_allclose(features.gradients(right, 2, 4, 0.0), one.ravel(), atol=1e-6)
    np.testing.assert_allclose(features.gradients(right.T, 2, 4, 0.0), down.ravel(), atol=1e-6)


def test_colour_grid_agrees_with_a_loop_over_pixels_and_corners():
    rng = np.random.default_rng(1)
    picture = features.lab(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8))
    weights = rng.random((3, 4), np.float32)
    slow = np.zeros(features.COLOUR_LEVELS)
    for colour, weight in zip(picture.reshape(-1, 3), weights.ravel(), strict=True):
        part = (colour - features.COLOUR_LOW) / (features.COLOUR_HIGH - features.COLOUR_LOW)
        place = np.clip(part, 0, 1) * (features.COLOUR_LEVELS - 1)
        for cell in np.ndindex(*slow.shape):
            slow[cell] += weight * np.maximum(0, 1 - np.abs(place - cell)).prod()
    np.testing.assert_allclose(features.colour_grid(picture, weights), slow.ravel() / weights.sum(), atol=1e-5)


def test_leave_one_out_agrees_with_a_loop():
    rng = np.random.default_rng(2)
    vectors, labels = rng.standard_normal((20, 5)), rng.integers(0, 3, 20)
    for k in (1, 4):
        assert _leave_one_out(vectors, labels, k) == pytest.approx(_obvious_leave_one_out(vectors, labels, k))


def test_import_loads_neither_torch_nor_scikit_image():
    code = "import sys, search.encoders.descriptor; print({'torch', 'skimage', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def photographs():
    """The real photographs, decoded, by set: (images, labels)."""
    if not (shared := os.environ.get("ASSETSEARCH_SHARED")):
        pytest.skip("ASSETSEARCH_SHARED, the folder with the real photographs, is not set")
    return {name: _decoded(Path(shared, "photos", name)) for name in ("clothing", "grocery")}


def _decoded(folder):
    paths = sorted(folder.glob("*/*.jpg"))
    return [Image.open(path).convert("RGB") for path in paths], np.array([path.parent.name for path in paths])


@pytest.fixture(scope="module")
def described(encoder, photographs):
    """(vectors by set, photographs a second of processor time from decoded picture to vector, taken in batches)."""
    encoder.encode(encoder.prepare(_noise(0))[None])  # loads scikit-image
    started = process_time()
    vectors = {name: _in_batches(encoder, images) for name, (images, _labels) in photographs.items()}
    return vectors, sum(map(len, vectors.values())) / (process_time() - started)


def _in_batches(encoder, images):
    size = encoder.batch_size
    return np.concatenate([_vectors(encoder, images[i : i + size]) for i in range(0, len(images), size)])


@pytest.mark.parametrize(("name", "at_1", "at_10"), [("clothing", 0.50, 0.34), ("grocery", 0.83, 0.58)])
def test_encode_of_real_photographs_finds_their_class(photographs, described, name, at_1, at_10):
    """Floors a little below what was measured, and above what the issue asks (0.30 and 0.82)."""
    vectors, labels = described[0][name], photographs[name][1]
    assert _leave_one_out(vectors, labels, 1) >= at_1
    assert _leave_one_out(vectors, labels, 10) >= at_10


def test_encode_of_real_photographs_finds_the_original_of_a_copy(encoder, photographs, described):
    stored = np.concatenate([described[0][name] for name in photographs])
    images = [image for set_images, _labels in photographs.values() for image in set_images]
    chosen = np.random.default_rng(0).choice(len(images), 50, replace=False)
    copies = _vectors(encoder, [_degraded(images[i]) for i in chosen])
    found = (stored.astype(np.float16) @ copies.T.astype(np.float16)).argmax(axis=0)
    assert (found == chosen).sum() >= 48


def test_encode_of_real_photographs_keeps_the_rate(described):
    assert described[1] >= IMAGES_PER_SECOND
