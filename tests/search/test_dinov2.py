"""DINOv2: where its weights come from, what goes wrong on the way, and what it computes."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.encoders import EncoderSpec, EncoderUnavailable, dinov2, hub, registry
from tests.hub import Content, Cut, Hub, Status, save_tiny_dinov2, serve

DIMENSIONS = 32
REPOSITORY = "facebook/dinov2-base"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stand-in hub serves."""
    folder = tmp_path_factory.mktemp("hub")
    save_tiny_dinov2(folder / REPOSITORY, hidden_size=DIMENSIONS)
    save_tiny_dinov2(folder / "facebook/dinov2-with-registers-base", hidden_size=DIMENSIONS, registers=True)
    return folder


@pytest.fixture
def model_hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in hub as this process's hub, over an empty cache, with downloads in pieces of 16 KiB."""
    from huggingface_hub import constants

    with serve(published) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16384)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
        yield served


@pytest.fixture(autouse=True)
def no_model_dir(settings) -> None:
    settings.MODEL_DIR = None


@pytest.fixture(scope="session")
def encoder(published: Path) -> dinov2.Dinov2:
    """The tiny model in float32, wherever the tests run."""
    return _encoder(published, "float32")


def _encoder(published: Path, dtype: str) -> dinov2.Dinov2:
    arithmetic = dinov2.Arithmetic("cpu", dtype, "a test")
    return dinov2.Dinov2(dinov2._read_model(published / REPOSITORY, arithmetic), arithmetic)


def _tiny(name: str = "dinov2-base") -> EncoderSpec:
    return replace(registry.spec(name), dimensions=DIMENSIONS)


def _load(name: str = "dinov2-base") -> dinov2.Dinov2:
    spec = _tiny(name)
    return spec.load(spec)


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colour fields under fine noise, so that a shift of half a pixel shows."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height))
    noise = rng.integers(-40, 41, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def _reference_processor():
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    return BitImageProcessorPil(
        size={"shortest_edge": 256},
        crop_size={"height": 224, "width": 224},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


def _cached_weights(tmp_path: Path) -> Path:
    return next((tmp_path / "cache").glob(f"models--*/snapshots/*/{WEIGHTS}"))


# Fetching


def test_first_start_downloads_and_shows_progress(model_hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    encoder = _load()
    assert encoder.dimensions == DIMENSIONS
    assert model_hub.ranges(WEIGHTS) == [None]
    assert "model.safetensors: 100%" in caplog.text


def test_first_start_shows_a_bar_on_a_terminal(
    model_hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _load()
    assert "model.safetensors: 100%" in capsys.readouterr().err


def test_second_start_asks_no_network(model_hub: Hub) -> None:
    _load()
    model_hub.stop()
    model_hub.requests.clear()
    assert _load().dimensions == DIMENSIONS
    assert model_hub.requests == []


def test_dropped_connection_is_resumed(model_hub: Hub, published: Path) -> None:
    model_hub.faults[WEIGHTS].append(Cut(after_bytes=100_000))
    _load()
    assert model_hub.ranges(WEIGHTS) == [None, "bytes=98304-"]  # six whole pieces of 16 KiB
    size = (published / REPOSITORY / WEIGHTS).stat().st_size
    assert model_hub.sent_bytes[WEIGHTS] < size + 16384


def test_download_broken_off_is_resumed_by_the_next_start(model_hub: Hub) -> None:
    model_hub.faults[WEIGHTS].extend([Cut(after_bytes=100_000), Status(503)])
    with pytest.raises(EncoderUnavailable, match="503"):
        _load()
    _load()
    assert model_hub.ranges(WEIGHTS)[-1] == "bytes=98304-"


def test_weights_in_the_store_behind_the_hub_are_resumed(model_hub: Hub, published: Path) -> None:
    with serve(published) as store:
        model_hub.store = store.url.replace("127.0.0.1", "localhost")  # another host: credentials stay behind
        store.faults[WEIGHTS].append(Cut(after_bytes=100_000))
        _load()
    assert store.ranges(WEIGHTS) == [None, "bytes=98304-"]


def test_server_that_knows_no_ranges_sends_all_again(model_hub: Hub) -> None:
    model_hub.ignores_range = True
    model_hub.faults[WEIGHTS].append(Cut(after_bytes=100_000))
    assert _load().dimensions == DIMENSIONS


def test_one_download_serves_all_who_start_at_once(model_hub: Hub) -> None:
    file = hub.HubFile(REPOSITORY, _tiny().revision, WEIGHTS)
    with ThreadPoolExecutor(4) as starting:
        paths = set(starting.map(hub.fetch, [file] * 4))
    assert len(paths) == 1
    assert model_hub.ranges(WEIGHTS) == [None]


def test_transfer_goes_on_while_bytes_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def http_get(_url, stream, *, resume_size, **_options) -> None:
        attempts.append(resume_size)
        stream.write(b"abc" if len(attempts) < 3 else b"")
        raise RuntimeError("connection reset")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", http_get)
    with pytest.raises(RuntimeError):
        hub._transfer(tmp_path / "part", "http://127.0.0.1", WEIGHTS, 9)
    assert attempts == [0, 3, 6]


def test_partial_longer_than_the_file_is_started_anew(model_hub: Hub, tmp_path: Path) -> None:
    model_hub.faults[WEIGHTS].extend([Cut(after_bytes=100_000), Status(503)])
    with pytest.raises(EncoderUnavailable):
        _load()
    part = next((tmp_path / "cache").glob("models--*/blobs/*.part"))
    part.write_bytes(bytes(1_000_000))
    _load()
    assert model_hub.ranges(WEIGHTS)[-1] is None


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500])
def test_refusal_names_the_status_and_a_remedy(model_hub: Hub, code: int) -> None:
    model_hub.statuses["config.json"] = code
    with pytest.raises(EncoderUnavailable, match=str(code)) as raised:
        _load()
    assert "dinov2-base" in raised.value.reason
    assert raised.value.remedy


def test_server_that_is_no_hub_is_told_apart(model_hub: Hub) -> None:
    model_hub.statuses["config.json"] = 200  # without the hub's headers, as a proxy's log-in page
    with pytest.raises(EncoderUnavailable, match="does not answer as a model hub"):
        _load()


def test_weights_missing_from_the_hub(model_hub: Hub) -> None:
    model_hub.statuses[WEIGHTS] = 404
    with pytest.raises(EncoderUnavailable, match=r"has no model\.safetensors.*404"):
        _load()


def test_wrong_content_is_refused_and_not_kept(model_hub: Hub, published: Path, tmp_path: Path) -> None:
    size = (published / REPOSITORY / WEIGHTS).stat().st_size
    model_hub.faults[WEIGHTS].append(Content(bytes(size)))
    with pytest.raises(EncoderUnavailable, match="not what it had announced"):
        _load()
    assert not list((tmp_path / "cache").glob("models--*/blobs/*.part"))
    _load()


def test_hub_that_refuses_connections_is_found_at_once(model_hub: Hub) -> None:
    model_hub.stop()
    started = time.monotonic()
    with pytest.raises(EncoderUnavailable, match="could not be reached") as raised:
        _load()
    assert time.monotonic() - started < 5
    assert "MODEL_DIR" in raised.value.remedy


def test_hub_that_hangs_is_given_up(model_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_S", 0.2)
    model_hub.hangs = True
    with pytest.raises(EncoderUnavailable, match=r"no answer within 0\.2 s"):
        _load()


def test_answer_is_bounded_within_fifteen_seconds() -> None:
    assert hub.ANSWER_S <= 15


def test_full_disk_is_said_before_the_download(model_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(EncoderUnavailable, match=r"0 MB free") as raised:
        _load()
    assert "HF_HOME" in raised.value.remedy
    assert model_hub.ranges("config.json") == []


def test_cache_that_cannot_be_written(model_hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(EncoderUnavailable, match="cannot be written"):
        _load()


def test_offline_without_a_cache(model_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderUnavailable, match="HF_HUB_OFFLINE"):
        _load()


# Damage


@pytest.fixture(params=["truncated", "altered"])
def damaged_weights(request: pytest.FixtureRequest, model_hub: Hub, tmp_path: Path) -> Path:
    _load()
    path = _cached_weights(tmp_path)
    content = bytearray(path.read_bytes())
    if request.param == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def test_damaged_cache_is_fetched_again(model_hub: Hub, damaged_weights: Path) -> None:
    _load()
    assert model_hub.ranges(WEIGHTS) == [None, None]


def test_damaged_cache_without_a_hub_names_the_file(model_hub: Hub, damaged_weights: Path) -> None:
    model_hub.stop()
    with pytest.raises(EncoderUnavailable, match="is damaged") as raised:
        _load()
    assert str(damaged_weights) in raised.value.remedy


def test_damaged_config_is_fetched_again(model_hub: Hub, tmp_path: Path) -> None:
    _load()
    _cached_weights(tmp_path).with_name("config.json").write_bytes(b"{")
    _load()
    assert model_hub.ranges("config.json") == [None, None]


# MODEL_DIR


@pytest.mark.parametrize("layout", ["dinov2-base", REPOSITORY, "."])
def test_model_dir_needs_no_hub(published: Path, tmp_path: Path, settings, layout: str) -> None:
    shutil.copytree(published / REPOSITORY, tmp_path / layout, dirs_exist_ok=True)
    settings.MODEL_DIR = tmp_path
    assert _load().dimensions == DIMENSIONS


def test_empty_model_dir_names_where_it_looked(tmp_path: Path, settings) -> None:
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"MODEL_DIR has no config\.json") as raised:
        _load()
    assert str(tmp_path / "dinov2-base") in raised.value.remedy


def test_model_dir_without_weights(published: Path, tmp_path: Path, settings) -> None:
    shutil.copy(published / REPOSITORY / "config.json", tmp_path)
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"has no model\.safetensors"):
        _load()


def test_model_dir_with_truncated_weights_names_the_file(published: Path, tmp_path: Path, settings) -> None:
    shutil.copytree(published / REPOSITORY, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=str(weights)):
        _load()


def test_model_of_other_dimensions_is_refused(tmp_path: Path, settings) -> None:
    save_tiny_dinov2(tmp_path, hidden_size=48)
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"48 dimensions.*32"):
        _load()


def test_model_of_another_type_is_refused(published: Path, settings) -> None:
    settings.MODEL_DIR = published / "facebook/dinov2-with-registers-base"
    with pytest.raises(EncoderUnavailable, match="dinov2_with_registers"):
        _load()


def test_weights_that_lack_a_tensor_are_refused(published: Path, tmp_path: Path, settings) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copy(published / REPOSITORY / "config.json", tmp_path)
    tensors = load_file(published / REPOSITORY / WEIGHTS)
    del tensors["layernorm.weight"]
    save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"lacks 1 tensors, such as layernorm\.weight"):
        _load()


def test_weights_of_another_shape_are_refused(published: Path, tmp_path: Path, settings) -> None:
    shutil.copytree(published / REPOSITORY, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"mlp_ratio": 2}))
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match="cannot be used"):
        _load()


# Vectors


def test_registry_loads_it_by_name(model_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.SPECS, "dinov2-tiny", replace(_tiny(), name="dinov2-tiny"))
    assert registry.load("dinov2-tiny") is registry.load("dinov2-tiny")


@pytest.mark.parametrize("name", ["dinov2-base", "dinov2-base-registers"])
def test_vector_equals_the_reference(model_hub: Hub, published: Path, name: str, monkeypatch) -> None:
    import torch
    from transformers import AutoModel

    arithmetic = dinov2.Arithmetic("cpu", "float32", "a test")
    monkeypatch.setattr(dinov2, "choose_arithmetic", lambda: arithmetic)
    pictures = [_picture(300, 400, seed) for seed in range(4)]
    reference = AutoModel.from_pretrained(published / _repository(name)).eval()
    with torch.no_grad():
        pixels = _reference_processor()(pictures, return_tensors="pt").pixel_values
        expected = reference(pixels).last_hidden_state[:, 0].numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = _vectors(_load(name), pictures)
    assert (vectors @ vectors.T).min() < 0.9  # different pictures differ: agreement below says something
    assert np.einsum("nd,nd->n", vectors, expected).min() > 0.9999


def _repository(name: str) -> str:
    return {"dinov2-base": REPOSITORY, "dinov2-base-registers": "facebook/dinov2-with-registers-base"}[name]


def _vectors(encoder: dinov2.Dinov2, pictures: list[Image.Image]) -> np.ndarray:
    return encoder.encode(np.stack([encoder.prepare(picture) for picture in pictures]))


def test_vectors_are_float32_of_unit_length(encoder: dinov2.Dinov2) -> None:
    vectors = _vectors(encoder, [_picture(300, 200), Image.new("RGB", (1, 1)), Image.new("RGB", (50, 5))])
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, DIMENSIONS))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_batch_gives_what_single_pictures_give(encoder: dinov2.Dinov2) -> None:
    pictures = [_picture(260, 240, seed) for seed in range(8)]
    single = np.concatenate([_vectors(encoder, [picture]) for picture in pictures])
    np.testing.assert_allclose(_vectors(encoder, pictures), single, atol=1e-3)


def test_bfloat16_agrees_with_float32(encoder: dinov2.Dinov2, published: Path) -> None:
    half = _encoder(published, "bfloat16")
    assert half.dtype == "bfloat16"
    pictures = [_picture(300, 400, seed) for seed in range(4)]
    agreement = np.einsum("nd,nd->n", _vectors(encoder, pictures), _vectors(half, pictures))
    assert agreement.min() > 0.999


@pytest.mark.parametrize(
    ("capability", "dtype"), [("amx_bf16", "bfloat16"), ("avx512_bf16", "bfloat16"), ("avx2", "float32")]
)
def test_arithmetic_follows_the_processor(capability: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {capability: True})
    assert (dinov2.choose_arithmetic().device, dinov2.choose_arithmetic().dtype) == ("cpu", dtype)


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_arithmetic_follows_the_gpu(*, native: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda *, including_emulation: native)
    assert (dinov2.choose_arithmetic().device, dinov2.choose_arithmetic().dtype) == ("cuda", dtype)


# Preprocessing

SIZES = [
    *[
        (1, 1),
        (2, 3),
        (7, 5),
        (16, 300),
        (100, 100),
        (255, 255),
        (256, 256),
        (257, 257),
        (256, 300),
        (301, 256),
    ],
    *[(640, 480), (480, 640), (1023, 767), (1001, 333), (224, 224), (511, 513), (1600, 1200), (37, 1111)],
    *[(3000, 50), (60, 1), (1, 90), (2500, 301), (292, 1863), (371, 1825), (747, 1676), (83, 5), (120, 9000)],
]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_prepare_equals_the_reference(width: int, height: int) -> None:
    picture = _picture(width, height)
    reference = _reference_processor()(picture, do_normalize=False, do_rescale=False)["pixel_values"][0]
    difference = np.abs(dinov2.prepare(picture).astype(int) - np.moveaxis(np.asarray(reference), 0, -1))
    assert difference.max() <= 1


@pytest.mark.parametrize("size", [(640, 480), (301, 977), (40, 30), (9, 400)])
def test_prepare_of_a_part_equals_prepare_of_the_whole(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(60, 196, (9, 9, 3), dtype=np.uint8)).resize(size, dinov2.BICUBIC)
    whole = dinov2.prepare(soft).astype(int)
    monkeypatch.setattr(dinov2, "LONGEST_RESIZED_PX", 0)
    assert np.abs(dinov2.prepare(soft) - whole).max() <= 1


@pytest.mark.parametrize("size", [(1, 5000), (30_000, 1)])
def test_prepare_of_a_strip_takes_its_centre(size: tuple[int, int]) -> None:
    strip = Image.new("RGB", size, "black")
    middle = (size[0] // 2, size[1] // 2)
    strip.paste("white", (max(middle[0] - 9, 0), max(middle[1] - 9, 0), middle[0] + 9, middle[1] + 9))
    prepared = dinov2.prepare(strip)
    assert prepared.shape == (224, 224, 3)
    assert (prepared == 255).all()


# Processes of their own


def _python(code: str, **environment: str) -> str:
    known = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"} | environment
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=known, capture_output=True, text=True, check=True, timeout=60).stdout


def test_importing_the_encoders_loads_no_torch() -> None:
    code = "import sys, search.encoders; print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    assert _python(code).strip() == "set()"


def test_hf_home_and_hf_endpoint_are_honoured(published: Path, tmp_path: Path) -> None:
    code = (
        "from dataclasses import replace; from search.encoders import spec; "
        f"tiny = replace(spec('dinov2-base'), dimensions={DIMENSIONS}); print(tiny.load(tiny).dimensions)"
    )
    with serve(published) as served:
        out = _python(code, HF_HOME=str(tmp_path), HF_ENDPOINT=served.url, MODEL_DIR="")
    assert out.strip() == str(DIMENSIONS)
    assert served.ranges(WEIGHTS) == [None]
    assert list(tmp_path.glob(f"hub/models--facebook--dinov2-base/snapshots/*/{WEIGHTS}"))
