"""docs/encoders.md: its example is an encoder that works, and what it says of the others is so."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import search.encoders
from search import encoders
from search.encoders import ImageEncoder, dinov2, registry

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs/encoders.md").read_text()
EXAMPLE, REGISTRY = "search/encoders/colour_grid.py", "search/encoders/registry.py"


def _block(title: str) -> str:
    (found,) = re.findall(rf'^```python title="{re.escape(title)}"\n(.*?)^```$', DOC, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The registry with the example's line, beside the example's file."""
    folder = tmp_path_factory.mktemp("encoders")
    (folder / Path(EXAMPLE).name).write_text(_block(EXAMPLE))
    source = (ROOT / REGISTRY).read_text().replace(_registered(), _block(REGISTRY))
    module = ModuleType(registry.__name__)
    module.__package__ = registry.__package__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.encoders, "__path__", [*search.encoders.__path__, str(folder)])
        exec(compile(source, REGISTRY, "exec"), vars(module))  # noqa: S102 (our own file, with one line more)
        yield module


def _registered() -> str:
    """The list of files as it stands in the registry."""
    (found,) = re.findall(r"^MODULES = \(\n.*?^\)\n", (ROOT / REGISTRY).read_text(), re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def encoder(extended: ModuleType) -> ImageEncoder:
    return extended.load("colour-grid")


def _vectors(encoder: ImageEncoder, pictures: list[Image.Image]) -> np.ndarray:
    return encoder.encode(np.stack([encoder.prepare(picture) for picture in pictures]))


def _picture(seed: int, size: tuple[int, int] = (90, 60)) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size)


def test_one_line_more_registers_the_example() -> None:
    lines, with_example = _registered().splitlines(), _block(REGISTRY).splitlines()
    assert [line for line in with_example if "colour_grid" not in line] == lines
    assert len(with_example) == len(lines) + 1


def test_example_is_listed_and_found_by_name(extended: ModuleType, encoder: ImageEncoder) -> None:
    assert list(extended.SPECS) == [*encoders.SPECS, "colour-grid"]
    assert extended.spec("colour-grid").dimensions == encoder.dimensions == 4 * 4 * 3 + 1
    with pytest.raises(LookupError, match="colour-grid has no options"):
        extended.spec("colour-grid+mean")


def test_example_makes_vectors_of_unit_length(encoder: ImageEncoder) -> None:
    pictures = [_picture(0), *(Image.new("RGB", size, "gray") for size in [(1, 1), (3000, 2), (64, 64)])]
    vectors = _vectors(encoder, pictures)
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(pictures), encoder.dimensions))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_example_tells_pictures_apart_and_knows_a_copy(encoder: ImageEncoder) -> None:
    pictures = [_picture(seed) for seed in range(20)]
    copies = [picture.resize((45, 30)) for picture in pictures]
    similarity = _vectors(encoder, copies) @ _vectors(encoder, pictures).T
    assert similarity.argmax(axis=1).tolist() == list(range(20))
    assert np.diag(similarity).min() > 0.99
    assert similarity[~np.eye(20, dtype=bool)].max() < 0.9


def test_example_knows_where_a_colour_is(encoder: ImageEncoder) -> None:
    """Worked by hand: red is (1, -1, -1) and blue (-1, -1, 1), so that two halves swapped share green and the 1."""
    halves = Image.new("RGB", (80, 80), (255, 0, 0))
    halves.paste((0, 0, 255), (40, 0, 80, 80))
    swapped = halves.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    one, other = _vectors(encoder, [halves, swapped])
    assert one @ other == pytest.approx((16 * (1 - 1 - 1) + 1) / (16 * 3 + 1), abs=1e-6)


def test_every_encoder_and_option_is_described() -> None:
    for name in encoders.SPECS:
        family = re.sub(r"-(base|large|giant)-registers", "-small-registers", name)
        assert f"`{family}`" in DOC
    assert f"`+{dinov2.SIDES[1]}` to `+{dinov2.SIDES[-1]}`, in steps of {dinov2.PATCH_PX}" in DOC


def test_dimensions_are_as_stated() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ([\d,]+) \|", DOC, re.MULTILINE)
    assert len(rows) == 6
    assert {name: int(said.replace(",", "")) for name, said in rows} == {
        name: encoders.SPECS[name].dimensions for name, _ in rows
    }


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\b(?:dinov2-[a-z-]+|resnet50)(?:\+[a-z0-9]+)+", DOC))))
def test_variants_named_there_exist(name: str, settings, tmp_path: Path) -> None:
    settings.MODEL_DIR = tmp_path  # no hub is asked for a commit
    assert encoders.spec(name).name == name
