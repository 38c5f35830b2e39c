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

from search.encoders import EncoderSpec, EncoderUnavailable, dinov2, hub, pixels, published, registry
from tests import hub as stand_in
from tests.hub import Content, Cut, Hub, Status, save_tiny_dinov2, serve, serve_this_process

DIMENSIONS = 32
REPOSITORY = "facebook/dinov2-base"
REGISTERS = "facebook/dinov2-with-registers-base"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stand-in hub serves."""
    folder = tmp_path_factory.mktemp("hub")
    save_tiny_dinov2(folder / REPOSITORY, hidden_size=DIMENSIONS)
    save_tiny_dinov2(folder / REGISTERS, hidden_size=DIMENSIONS, registers=True)
    shutil.copytree(folder / REGISTERS, folder / REGISTERS.replace("base", "large"))
    return folder


@pytest.fixture
def model_hub(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in hub as this process's hub, over an empty cache, with downloads in pieces of 16 KiB."""
    from huggingface_hub import constants

    with serve_this_process(files, tmp_path / "cache", monkeypatch) as served:
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16384)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
        yield served


@pytest.fixture(autouse=True)
def no_model_dir(settings) -> None:
    settings.MODEL_DIR = None


@pytest.fixture(scope="session")
def encoder(files: Path) -> dinov2.Dinov2:
    """The tiny model in float32, wherever the tests run."""
    return _encoder(files, "float32")


def _encoder(files: Path, dtype: str, variant: str = "", repository: str = REPOSITORY) -> dinov2.Dinov2:
    arithmetic = dinov2.Arithmetic("cpu", dtype, "a test")
    model = published.read_model(files / repository, dinov2.architecture(repository), arithmetic)
    return dinov2.Dinov2(model, arithmetic, dinov2.Variant.of(variant.split("+")))


def _tiny(name: str = "dinov2-base") -> EncoderSpec:
    return replace(registry.spec(name), dimensions=DIMENSIONS * (2 if "+cls+mean" in name else 1))


def _load(name: str = "dinov2-base") -> dinov2.Dinov2:
    """What the registry would load, of the stand-in's size."""
    spec = _tiny(name)
    return spec.load(spec)


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colour fields under fine noise, so that a shift of half a pixel shows."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height))
    noise = rng.integers(-40, 41, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def _reference_processor(side_px: int = 224):
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    return BitImageProcessorPil(
        size={"shortest_edge": side_px * 256 // 224},
        crop_size={"height": side_px, "width": side_px},
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


def test_dropped_connection_is_resumed(model_hub: Hub, files: Path) -> None:
    model_hub.faults[WEIGHTS].append(Cut(after_bytes=100_000))
    _load()
    assert model_hub.ranges(WEIGHTS) == [None, "bytes=98304-"]  # six whole pieces of 16 KiB
    size = (files / REPOSITORY / WEIGHTS).stat().st_size
    assert model_hub.sent_bytes[WEIGHTS] < size + 16384


def test_download_broken_off_is_resumed_by_the_next_start(model_hub: Hub) -> None:
    model_hub.faults[WEIGHTS].extend([Cut(after_bytes=100_000), Status(503)])
    with pytest.raises(EncoderUnavailable, match="503"):
        _load()
    _load()
    assert model_hub.ranges(WEIGHTS)[-1] == "bytes=98304-"


def test_weights_in_the_store_behind_the_hub_are_resumed(model_hub: Hub, files: Path) -> None:
    with serve(files) as store:
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


def test_wrong_content_is_refused_and_not_kept(model_hub: Hub, files: Path, tmp_path: Path) -> None:
    size = (files / REPOSITORY / WEIGHTS).stat().st_size
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
def test_model_dir_needs_no_hub(files: Path, tmp_path: Path, settings, layout: str) -> None:
    shutil.copytree(files / REPOSITORY, tmp_path / layout, dirs_exist_ok=True)
    settings.MODEL_DIR = tmp_path
    assert _load().dimensions == DIMENSIONS


def test_empty_model_dir_names_where_it_looked(tmp_path: Path, settings) -> None:
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"MODEL_DIR has no config\.json") as raised:
        _load()
    assert str(tmp_path / "dinov2-base") in raised.value.remedy


def test_model_dir_without_weights(files: Path, tmp_path: Path, settings) -> None:
    shutil.copy(files / REPOSITORY / "config.json", tmp_path)
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"has no model\.safetensors"):
        _load()


def test_model_dir_with_truncated_weights_names_the_file(files: Path, tmp_path: Path, settings) -> None:
    shutil.copytree(files / REPOSITORY, tmp_path, dirs_exist_ok=True)
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


def test_model_of_another_type_is_refused(files: Path, settings) -> None:
    settings.MODEL_DIR = files / REGISTERS
    with pytest.raises(EncoderUnavailable, match="dinov2_with_registers"):
        _load()


def test_weights_that_lack_a_tensor_are_refused(files: Path, tmp_path: Path, settings) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copy(files / REPOSITORY / "config.json", tmp_path)
    tensors = load_file(files / REPOSITORY / WEIGHTS)
    del tensors["layernorm.weight"]
    save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match=r"lacks 1 tensors, such as layernorm\.weight"):
        _load()


def test_weights_of_another_shape_are_refused(files: Path, tmp_path: Path, settings) -> None:
    shutil.copytree(files / REPOSITORY, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"mlp_ratio": 2}))
    settings.MODEL_DIR = tmp_path
    with pytest.raises(EncoderUnavailable, match="cannot be used"):
        _load()


@pytest.mark.parametrize("variant", ["+mean", "+cls+mean+392"])
def test_variants_share_the_files_of_their_model(files: Path, tmp_path: Path, settings, variant: str) -> None:
    shutil.copytree(files / REPOSITORY, tmp_path / "dinov2-base")
    settings.MODEL_DIR = tmp_path
    assert _load(f"dinov2-base{variant}").dimensions == _tiny(f"dinov2-base{variant}").dimensions


# Revisions that are no commits

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FLOATING = "dinov2-large-registers"


@pytest.fixture
def branch(model_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Where the hub's branches stand, by name."""
    stands = {"main": COMMIT}
    send_header = stand_in._Handler.send_header

    def send(handler, keyword: str, value: str) -> None:
        send_header(handler, keyword, stands.get(value, value) if keyword == "X-Repo-Commit" else value)

    monkeypatch.setattr(stand_in._Handler, "send_header", send)
    registry.forget()
    yield stands
    registry.forget()


def test_commit_of_a_branch_is_the_revision(model_hub: Hub, branch: dict[str, str], tmp_path: Path) -> None:
    assert registry.spec(f"{FLOATING}+mean").revision == COMMIT
    assert _load(FLOATING).dimensions == DIMENSIONS
    assert _cached_weights(tmp_path).parent.name == COMMIT
    assert model_hub.ranges("config.json") == [None]


def test_a_branch_that_moves_is_followed_by_new_caches_alone(
    model_hub: Hub, branch: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.spec(FLOATING)
    branch["main"] = COMMIT[::-1]
    model_hub.requests.clear()
    assert registry.spec(FLOATING).revision == COMMIT
    assert model_hub.requests == []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "another"))
    assert registry.spec(FLOATING).revision == COMMIT[::-1]  # another encoder: its vectors do not mix


def test_a_branch_that_cannot_be_looked_up(model_hub: Hub, branch: dict[str, str], caplog) -> None:
    model_hub.stop()
    assert registry.spec(FLOATING).revision == "main"
    assert "could not be reached" in caplog.text
    with pytest.raises(EncoderUnavailable, match="could not be reached"):
        registry.load(FLOATING)


def test_model_dir_asks_no_hub_for_a_commit(model_hub: Hub, branch: dict[str, str], settings, tmp_path: Path) -> None:
    settings.MODEL_DIR = tmp_path
    assert registry.spec(FLOATING).revision == "main"
    assert model_hub.requests == []


# Vectors


def test_registry_loads_it_by_name(model_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.SPECS, "dinov2-tiny", replace(_tiny(), name="dinov2-tiny"))
    assert registry.load("dinov2-tiny") is registry.load("dinov2-tiny")


VARIANTS = ["", "+mean", "+cls+mean", "+392", "+mean+518"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", ["dinov2-base", "dinov2-base-registers"])
def test_vector_equals_the_reference(model_hub: Hub, files: Path, family: str, variant: str, monkeypatch) -> None:
    in_float32 = dinov2.Arithmetic("cpu", "float32", "a test")
    monkeypatch.setattr(published, "choose_arithmetic", lambda: in_float32)
    pictures = [_picture(300, 400, seed) for seed in range(4)]
    expected = _reference(files / (REGISTERS if "registers" in family else REPOSITORY), pictures, variant)
    encoder = _load(family + variant)
    vectors = _vectors(encoder, pictures)
    assert vectors.shape == (4, encoder.dimensions)
    assert (vectors @ vectors.T).min() < 0.9  # different pictures differ: agreement below says something
    assert np.einsum("nd,nd->n", vectors, expected).min() > 0.9999


def _reference(folder: Path, pictures: list[Image.Image], variant: str) -> np.ndarray:
    """Token by token, of what transformers' own processor and model make."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    side_px = next((int(option) for option in variant.split("+") if option.isdigit()), 224)
    with torch.no_grad():
        tokens = model(_reference_processor(side_px)(pictures, return_tensors="pt").pixel_values).last_hidden_state
    tokens = tokens.numpy().astype(float)
    patches = (side_px // 14) ** 2
    assert tokens.shape[1] == patches + (5 if "registers" in folder.name else 1)
    cls, mean = tokens[:, 0], tokens[:, -patches:].sum(axis=1) / patches
    parts = {"+mean": [mean], "+cls+mean": [cls, mean], "+mean+518": [mean]}.get(variant, [cls])
    long = np.concatenate([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], axis=1)
    return long / np.linalg.norm(long, axis=1, keepdims=True)


def _vectors(encoder: dinov2.Dinov2, pictures: list[Image.Image]) -> np.ndarray:
    return encoder.encode(np.stack([encoder.prepare(picture) for picture in pictures]))


def test_variants_of_a_picture_differ(files: Path) -> None:
    """Of one length or not: none of them may be taken for another."""
    picture = [_picture(300, 400)]
    cls, mean, both, large, largest = (_vectors(_encoder(files, "float32", name), picture)[0] for name in VARIANTS)
    assert abs(cls @ mean) < 0.9
    assert cls @ large < 0.999
    assert mean @ largest < 0.999
    np.testing.assert_allclose(both, np.concatenate([cls, mean]) / np.sqrt(2), atol=1e-6)


def test_cosine_of_both_is_the_mean_of_the_two(files: Path) -> None:
    pictures = [_picture(300, 400, seed) for seed in range(2)]
    cls, mean, both = (_vectors(_encoder(files, "float32", name), pictures) for name in ["", "mean", "cls+mean"])
    assert both[0] @ both[1] == pytest.approx((cls[0] @ cls[1] + mean[0] @ mean[1]) / 2, abs=1e-6)


def test_a_larger_picture_comes_in_smaller_batches_and_is_decoded_larger(files: Path) -> None:
    small, large = (_encoder(files, "float32", side) for side in ("224", "518"))
    assert (small.decode_side_px, large.decode_side_px) == (512, 1184)
    assert (small.batch_size, large.batch_size) == (8, 1)


@pytest.mark.parametrize("variant", ["", "cls+mean"])
def test_vectors_are_float32_of_unit_length(files: Path, variant: str) -> None:
    pictures = [_picture(300, 200), Image.new("RGB", (1, 1)), Image.new("RGB", (50, 5))]
    vectors = _vectors(_encoder(files, "float32", variant), pictures)
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, DIMENSIONS * (2 if variant else 1)))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_gives_what_single_pictures_give(files: Path, dtype: str) -> None:
    encoder = _encoder(files, dtype, "cls+mean")
    pictures = [_picture(260, 240, seed) for seed in range(32)]
    single = np.concatenate([_vectors(encoder, [picture]) for picture in pictures])
    np.testing.assert_allclose(_vectors(encoder, pictures), single, atol=1e-3)


def test_threads_share_an_encoder(encoder: dinov2.Dinov2) -> None:
    pictures = [_picture(260, 240, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda picture: _vectors(encoder, [picture])[0], pictures))
    np.testing.assert_allclose(together, _vectors(encoder, pictures), atol=1e-3)


@pytest.mark.parametrize("variant", ["", "mean", "cls+mean", "392"])
def test_bfloat16_agrees_with_float32(files: Path, variant: str) -> None:
    _require_agreement(files, variant, [_picture(300, 400, seed) for seed in range(4)])


@pytest.mark.parametrize("variant", ["", "cls+mean"])
def test_bfloat16_agrees_with_float32_on_photographs(files: Path, variant: str, shared: Path) -> None:
    """Random weights of two layers: a check of the arithmetic, not of the published model."""
    paths = sorted(shared.glob("photos/*/*/*.jpg"))[::50]
    assert len(paths) > 20
    _require_agreement(files, variant, [Image.open(path).convert("RGB") for path in paths])


def _require_agreement(files: Path, variant: str, pictures: list[Image.Image]) -> None:
    whole, half = (_encoder(files, dtype, variant) for dtype in ("float32", "bfloat16"))
    assert half.dtype == "bfloat16"
    in_whole, in_half = _vectors(whole, pictures), _vectors(half, pictures)
    assert (in_whole @ in_whole.T).min() < 0.9
    assert np.einsum("nd,nd->n", in_whole, in_half).min() > 0.999


@pytest.mark.parametrize(
    ("capability", "dtype"), [("amx_bf16", "bfloat16"), ("avx512_bf16", "bfloat16"), ("avx2", "float32")]
)
def test_arithmetic_follows_the_processor(capability: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {capability: True})
    assert (published.choose_arithmetic().device, published.choose_arithmetic().dtype) == ("cpu", dtype)


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_arithmetic_follows_the_gpu(*, native: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda *, including_emulation: native)
    assert (published.choose_arithmetic().device, published.choose_arithmetic().dtype) == ("cuda", dtype)


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


@pytest.mark.parametrize("size", SIZES)
def test_prepare_equals_the_reference(encoder: dinov2.Dinov2, size: tuple[int, int]) -> None:
    _require_reference(encoder, size, 224)


@pytest.mark.parametrize("size", [(640, 480), (301, 977), (40, 30), (592, 600), (1600, 1201), (120, 900)])
@pytest.mark.parametrize("side_px", [238, 392, 518])
def test_prepare_of_any_side_equals_the_reference(files: Path, size: tuple[int, int], side_px: int) -> None:
    _require_reference(_encoder(files, "float32", str(side_px)), size, side_px)


def _require_reference(encoder: dinov2.Dinov2, size: tuple[int, int], side_px: int) -> None:
    picture = _picture(*size)
    reference = _reference_processor(side_px)(picture, do_normalize=False, do_rescale=False)["pixel_values"][0]
    difference = np.abs(encoder.prepare(picture).astype(int) - np.moveaxis(np.asarray(reference), 0, -1))
    assert difference.max() <= 1


def test_prepare_is_normalised_as_by_the_reference(encoder: dinov2.Dinov2) -> None:
    picture = _picture(300, 400)
    expected = _reference_processor()(picture, return_tensors="pt").pixel_values
    normalised = encoder._normalised(encoder.prepare(picture)[None])
    np.testing.assert_allclose(normalised.numpy(), expected.numpy(), atol=1 / 255 / 0.22 + 1e-5)  # of one level


@pytest.mark.parametrize("size", [(640, 480), (301, 977), (40, 30), (9, 400)])
def test_prepare_of_a_part_equals_prepare_of_the_whole(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(60, 196, (9, 9, 3), dtype=np.uint8)).resize(size, pixels.BICUBIC)
    whole = pixels.cut(soft, 224).astype(int)
    monkeypatch.setattr(pixels, "LONGEST_RESIZED_PX", 0)
    assert np.abs(pixels.cut(soft, 224) - whole).max() <= 1


@pytest.mark.parametrize("size", [(1, 5000), (30_000, 1)])
def test_prepare_of_a_strip_takes_its_centre(size: tuple[int, int]) -> None:
    strip = Image.new("RGB", size, "black")
    middle = (size[0] // 2, size[1] // 2)
    strip.paste("white", (max(middle[0] - 9, 0), max(middle[1] - 9, 0), middle[0] + 9, middle[1] + 9))
    prepared = pixels.cut(strip, 224)
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


def test_hf_home_and_hf_endpoint_are_honoured(files: Path, tmp_path: Path) -> None:
    code = (
        "from dataclasses import replace; from search.encoders import spec; "
        f"tiny = replace(spec('dinov2-base'), dimensions={DIMENSIONS}); print(tiny.load(tiny).dimensions)"
    )
    with serve(files) as served:
        out = _python(code, HF_HOME=str(tmp_path), HF_ENDPOINT=served.url, MODEL_DIR="")
    assert out.strip() == str(DIMENSIONS)
    assert served.ranges(WEIGHTS) == [None]
    assert list(tmp_path.glob(f"hub/models--facebook--dinov2-base/snapshots/*/{WEIGHTS}"))
