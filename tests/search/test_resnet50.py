"""ResNet-50: its preprocessing, its two layers, and where its weights come from."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.encoders import EncoderSpec, EncoderUnavailable, pixels, published, registry, resnet50
from tests.hub import Hub, serve_this_process

DIMENSIONS = 64
REPOSITORY = "microsoft/resnet-50"
WEIGHTS = "model.safetensors"
VARIANTS = ["", "+layer4", "+plain", "+layer4+plain"]


def save_tiny_resnet(folder: Path, *, with_counters: bool = True, **changed: object) -> None:
    """A real ResNet of bottlenecks with random weights, small, saved as the published one is: with its classifier.

    Batch normalisation gets statistics as training leaves them: at their start it would do nothing. Running means
    below 0 keep some of all channels above it, and shortcuts from making all pictures alike.
    """
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    shape = {"embedding_size": 16, "hidden_sizes": [16, 32, 64, DIMENSIONS], "depths": [2, 1, 1, 1], "num_labels": 5}
    model = ResNetForImageClassification(ResNetConfig(**shape | changed))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.5, 0.5)
        elif name.endswith("running_var"):
            buffer.uniform_(0.2, 0.6)
    tensors = model.state_dict()
    if not with_counters:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    model.save_pretrained(folder, state_dict=tensors)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the hub's layout."""
    folder = tmp_path_factory.mktemp("resnet")
    save_tiny_resnet(folder / REPOSITORY)
    return folder


@pytest.fixture
def model_hub(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in hub as this process's hub, over an empty cache."""
    with serve_this_process(files, tmp_path / "cache", monkeypatch) as served:
        yield served


@pytest.fixture(autouse=True)
def no_model_dir(settings) -> None:
    settings.MODEL_DIR = None


@pytest.fixture(scope="module")
def encoder(files: Path) -> resnet50.ResNet50:
    return _encoder(files)


def _encoder(files: Path, variant: str = "", dtype: str = "float32") -> resnet50.ResNet50:
    arithmetic = published.Arithmetic("cpu", dtype, "a test")
    model = published.read_model(files / REPOSITORY, resnet50.ARCHITECTURE, arithmetic)
    return resnet50.ResNet50(model, arithmetic, resnet50.Variant.of(variant.split("+")))


def _tiny(name: str = "resnet50") -> EncoderSpec:
    return replace(registry.spec(name), dimensions=DIMENSIONS)


def _load(name: str = "resnet50") -> resnet50.ResNet50:
    """What the registry would load, of the stand-in's size."""
    spec = _tiny(name)
    return spec.load(spec)


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colour fields under fine noise, so that a shift of half a pixel shows."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height))
    noise = rng.integers(-40, 41, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def _reference_processor(variant: str = ""):
    """By the values of the published preprocessor_config.json; squeezed, by those of torchvision's Resize."""
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    colours = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    if "plain" in variant:
        return ViTImageProcessorPil(size={"height": 224, "width": 224}, resample=2, **colours)
    return ConvNextImageProcessorPil(size={"shortest_edge": 224}, crop_pct=0.875, resample=3, **colours)


def _vectors(encoder: resnet50.ResNet50, pictures: list[Image.Image]) -> np.ndarray:
    return encoder.encode(np.stack([encoder.prepare(picture) for picture in pictures]))


# Vectors


@pytest.mark.parametrize("variant", VARIANTS)
def test_vector_equals_the_reference(model_hub: Hub, files: Path, variant: str, monkeypatch) -> None:
    in_float32 = published.Arithmetic("cpu", "float32", "a test")
    monkeypatch.setattr(published, "choose_arithmetic", lambda: in_float32)
    pictures = [_picture(300, 400, seed) for seed in range(4)]
    vectors = _vectors(_load(f"resnet50{variant}"), pictures)
    assert vectors.shape == (4, DIMENSIONS)
    expected = _reference(files / REPOSITORY, pictures, variant)
    assert _alike(vectors, expected).min() > 0.9999


def _reference(folder: Path, pictures: list[Image.Image], variant: str) -> np.ndarray:
    """By the whole classifier of transformers: what it pools itself, or the largest of each channel's 49 places."""
    import torch
    from transformers import AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        output = model.resnet(_reference_processor(variant)(pictures, return_tensors="pt").pixel_values)
    layer4 = output.last_hidden_state.numpy()
    assert layer4.shape[2:] == (7, 7)
    long = (
        layer4.reshape(*layer4.shape[:2], 49).max(2) if "layer4" in variant else output.pooler_output.numpy()[..., 0, 0]
    )
    return long / np.linalg.norm(long, axis=1, keepdims=True)


def _alike(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosines of what sets each picture apart from the others' mean, row by row.

    Channels are never below 0, so that the vectors of any two pictures are much alike.
    """
    some, others = some - some.mean(axis=0), others - others.mean(axis=0)
    return np.einsum("nd,nd->n", some, others) / np.linalg.norm(some, axis=1) / np.linalg.norm(others, axis=1)


def test_variants_of_a_picture_differ(files: Path) -> None:
    pictures = [_picture(300, 500, seed) for seed in range(4)]
    vectors = [_vectors(_encoder(files, variant), pictures) for variant in VARIANTS]
    assert max(_alike(one, other).max() for one, other in combinations(vectors, 2)) < 0.99


@pytest.mark.parametrize("variant", ["", "layer4"])
def test_vectors_are_float32_of_unit_length(files: Path, variant: str) -> None:
    pictures = [_picture(300, 200), Image.new("RGB", (1, 1)), Image.new("RGB", (50, 5))]
    vectors = _vectors(_encoder(files, variant), pictures)
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, DIMENSIONS))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", ["", "layer4"])
def test_a_batch_gives_what_single_pictures_give(files: Path, variant: str, dtype: str) -> None:
    encoder = _encoder(files, variant, dtype)
    pictures = [_picture(260, 240, seed) for seed in range(32)]
    single = np.concatenate([_vectors(encoder, [picture]) for picture in pictures])
    np.testing.assert_allclose(_vectors(encoder, pictures), single, atol=1e-3)


def test_threads_share_an_encoder(encoder: resnet50.ResNet50) -> None:
    pictures = [_picture(260, 240, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda picture: _vectors(encoder, [picture])[0], pictures))
    np.testing.assert_allclose(together, _vectors(encoder, pictures), atol=1e-3)


@pytest.mark.parametrize("variant", ["", "layer4", "plain"])
def test_bfloat16_agrees_with_float32(files: Path, variant: str) -> None:
    _require_agreement(files, variant, [_picture(300, 400, seed) for seed in range(4)])


@pytest.mark.parametrize("variant", ["", "layer4"])
def test_bfloat16_agrees_with_float32_on_photographs(files: Path, variant: str, shared: Path) -> None:
    """Random weights of few layers: a check of the arithmetic, not of the published model."""
    paths = sorted(shared.glob("photos/*/*/*.jpg"))[::50]
    assert len(paths) > 20
    _require_agreement(files, variant, [Image.open(path).convert("RGB") for path in paths])


def _require_agreement(files: Path, variant: str, pictures: list[Image.Image]) -> None:
    whole, half = (_encoder(files, variant, dtype) for dtype in ("float32", "bfloat16"))
    assert half.dtype == "bfloat16"
    in_whole, in_half = _vectors(whole, pictures), _vectors(half, pictures)
    assert np.einsum("nd,nd->n", in_whole, in_half).min() > 0.999
    assert _alike(in_whole, in_half).min() > 0.98


# Preprocessing

SIZES = [
    *[(1, 1), (2, 3), (7, 5), (16, 300), (100, 100), (255, 255), (256, 256), (257, 257), (301, 256), (640, 480)],
    *[(480, 640), (1023, 767), (224, 224), (511, 513), (1600, 1200), (37, 1111), (3000, 50), (60, 1), (292, 1863)],
]


@pytest.mark.parametrize("variant", ["", "plain"])
@pytest.mark.parametrize("size", SIZES)
def test_prepare_equals_the_reference(files: Path, size: tuple[int, int], variant: str) -> None:
    picture = _picture(*size)
    reference = _reference_processor(variant)(picture, do_normalize=False, do_rescale=False)["pixel_values"][0]
    prepare = pixels.squeeze if variant else pixels.cut
    difference = np.abs(prepare(picture, 224).astype(int) - np.moveaxis(np.asarray(reference), 0, -1))
    assert difference.max() <= 1


def test_cut_leaves_the_ends_out_and_squeeze_keeps_them(files: Path) -> None:
    strip = Image.new("RGB", (600, 200), "black")
    strip.paste("white", (250, 0, 350, 200))
    ends = slice(0, 20)
    assert (_encoder(files, "").prepare(strip)[:, 112] == 255).all()
    cut, squeezed = (_encoder(files, variant).prepare(strip) for variant in ("", "plain"))
    assert cut[0].mean() > 100  # a third of the strip is all that there is: half of it white
    assert squeezed[0].mean() == pytest.approx(255 / 6, abs=2)
    assert (squeezed[:, ends] == 0).all()


@pytest.mark.parametrize(("variant", "side_px"), [("", 512), ("plain", 448)])
def test_decoder_leaves_twice_the_pixels_that_are_needed(files: Path, variant: str, side_px: int) -> None:
    assert _encoder(files, variant).decode_side_px == side_px


# Files


def test_weights_come_from_the_hub_at_the_pinned_revision(
    model_hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert _load().dimensions == DIMENSIONS
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert model_hub.ranges(WEIGHTS) == [None]
    (snapshot,) = (tmp_path / "cache/models--microsoft--resnet-50/snapshots").iterdir()
    assert snapshot.name == registry.spec("resnet50").revision == "34c2154c194f829b11125337b98c8f5f9965ff19"


def test_every_variant_has_the_dimensions_of_the_last_layer() -> None:
    assert {registry.spec(f"resnet50{variant}").dimensions for variant in VARIANTS} == {2048}


@pytest.mark.parametrize("layout", ["resnet50", REPOSITORY, "."])
def test_model_dir_serves_a_variant_too(tmp_path: Path, settings, layout: str) -> None:
    save_tiny_resnet(tmp_path / layout)
    settings.MODEL_DIR = tmp_path
    assert _load("resnet50+layer4").dimensions == DIMENSIONS


def test_model_of_other_dimensions_is_refused(tmp_path: Path, settings) -> None:
    save_tiny_resnet(tmp_path, hidden_sizes=[16, 16, 16, 32])
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"32 dimensions.*64"):
        _load()


def test_model_of_another_type_is_refused(tmp_path: Path, settings) -> None:
    from tests.hub import save_tiny_dinov2

    save_tiny_dinov2(tmp_path)
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"type dinov2 .* resnet50 is of type resnet"):
        _load()


def test_weights_that_lack_a_statistic_are_refused(tmp_path: Path, settings) -> None:
    from safetensors.torch import load_file, save_file

    save_tiny_resnet(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    del tensors["resnet.embedder.embedder.normalization.running_mean"]
    save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"lacks 1 tensors, such as .*running_mean"):
        _load()


def test_weights_without_the_counters_of_training_serve(tmp_path: Path, settings) -> None:
    save_tiny_resnet(tmp_path, with_counters=False)
    settings.MODEL_DIR = tmp_path
    assert _load().dimensions == DIMENSIONS
