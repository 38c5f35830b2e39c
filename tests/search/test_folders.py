import time
from threading import Barrier

import numpy as np
import pytest
from django.core.files import File
from PIL import Image

from gallery import sandbox
from gallery.errors import Code, Refused
from search import pictures
from search.encoders import load
from search.evaluation import folders
from search.evaluation.folders import embed_files, encode_images, open_view
from search.evaluation.layouts import Box, Part
from search.pictures import Picture, Region
from tests.conftest import MeanColour, drawn, encoded
from tests.gallery import decoders

RED, BLUE = (220, 20, 40), (30, 60, 200)
#: Nine colours, more than two batches; far enough apart that no two vectors can be mistaken.
COLOURS = [(30 * n + 10, 250 - 25 * n, 90 * (n % 3) + 20) for n in range(9)]


def by_hand(rgb):
    long = np.array([*rgb, 64], float)
    return long / np.linalg.norm(long)


@pytest.fixture
def painted(tmp_path):
    """painted(rgb, ...): files of one colour, in this order."""

    def make(*colours):
        paths = [tmp_path / f"{number:02}.png" for number in range(len(colours))]
        for path, rgb in zip(paths, colours, strict=True):
            path.write_bytes(encoded(Image.new("RGB", (32, 32), rgb), "PNG"))
        return paths

    return make


@pytest.fixture
def flag(tmp_path):
    """A file of two colours side by side, 200 x 120 pixels."""
    image, path = Image.new("RGB", (200, 120), RED), tmp_path / "flag.png"
    image.paste(BLUE, (100, 0, 200, 120))
    path.write_bytes(encoded(image, "PNG"))
    return path


def check(made, paths, colours=COLOURS):
    """Each file has the vector of its own colour."""
    assert list(made.vectors) == paths
    for path, rgb in zip(paths, colours, strict=True):
        np.testing.assert_allclose(made.vectors[path], by_hand(rgb), atol=0.02, err_msg=str(path))


def test_colours_are_told_apart():
    """Or the tests below would pass whichever vector goes where."""
    apart = [np.abs(by_hand(a) - by_hand(b)).max() for a in COLOURS for b in COLOURS if a != b]
    assert min(apart) > 0.04


# --- whole files ----------------------------------------------------------------------------------------------


def test_each_file_has_its_own_vector(painted):
    paths, encoder, told = painted(*COLOURS), MeanColour(), []
    made = embed_files(paths, encoder, progress=told.append)
    check(made, paths)
    assert made.failures == {}
    assert encoder.batches == [4, 4, 1]
    assert told == [4, 4, 1]
    assert {vector.dtype for vector in made.vectors.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose([np.linalg.norm(vector) for vector in made.vectors.values()], 1, atol=1e-6)


@pytest.mark.parametrize("broken", [{0}, {3}, {4}, {8}, {1, 2}, {4, 5, 6, 7}])
def test_unreadable_pictures_shift_no_vector(painted, broken):
    paths, told = painted(*COLOURS), []
    for position in broken:
        paths[position].write_bytes(b"no picture")
    made = embed_files(paths, MeanColour(), progress=told.append)
    kept = [position for position in range(len(paths)) if position not in broken]
    check(made, [paths[position] for position in kept], [COLOURS[position] for position in kept])
    assert set(made.failures) == {paths[position] for position in broken}
    assert {refused.code for refused in made.failures.values()} == {Code.UNSUPPORTED_TYPE}
    assert sum(told) == len(paths)


def test_each_failure_says_why(painted, tmp_path):
    good, empty, cut, damaged = painted(RED, RED, RED, RED)
    empty.write_bytes(b"")
    cut.write_bytes(encoded(drawn(1, (300, 200)))[:-2000])
    whole = encoded(drawn(2), "PNG")
    damaged.write_bytes(whole[:60] + b"x" * 40 + whole[100:])
    made = embed_files([tmp_path / "gone.png", tmp_path, empty, cut, damaged, good], MeanColour())
    assert {path.name: str(refused) for path, refused in made.failures.items()} == {
        "gone.png": "The file cannot be read: No such file or directory.",
        tmp_path.name: "The file cannot be read: Is a directory.",
        empty.name: "The file is empty.",
        cut.name: "The file ends too early; it may have been cut off on its way. Send it again.",
        damaged.name: "The file is damaged and cannot be decoded.",
    }
    check(made, [good], [RED])


def test_decoder_that_dies_takes_no_other_file_along(painted, monkeypatch, settings):
    paths, render = painted(*COLOURS[:3]), sandbox.render_file_preview

    def fails(path):
        with monkeypatch.context() as patch:
            if path == paths[1]:
                patch.setattr(sandbox, "render_preview", decoders.die)
            return render(path)

    settings.DECODE_PROCESSES = 1
    monkeypatch.setattr(sandbox, "render_file_preview", fails)
    made = embed_files(paths, MeanColour())
    check(made, [paths[0], paths[2]], [COLOURS[0], COLOURS[2]])
    assert made.failures[paths[1]].code == Code.DECODE_MEMORY


def test_vector_is_that_of_an_upload(tmp_path):
    path, encoder = tmp_path / "large.jpg", load("descriptor")
    path.write_bytes(encoded(drawn(5, (2000, 1500))))
    with path.open("rb") as opened:
        image = pictures.open_picture(Picture(File(opened, "large.jpg")), encoder.decode_side_px)
    expected = encoder.encode(encoder.prepare(image)[None])[0]
    np.testing.assert_allclose(embed_files([path], encoder).vectors[path], expected, atol=1e-6)


def test_file_asked_for_again_is_embedded_once(painted):
    [path], encoder, told = painted(RED), MeanColour(), []
    check(embed_files([path] * 6, encoder, progress=told.append), [path], [RED])
    assert (encoder.batches, told) == ([1], [1])


def test_nothing_is_embedded_of_nothing():
    assert embed_files([], MeanColour()) == folders.Embedded()


def test_as_many_files_are_decoded_at_once_as_there_are_decoders(painted, monkeypatch, settings):
    settings.DECODE_PROCESSES = 3
    together, render = Barrier(3), sandbox.render_file_preview

    def meets(path):
        together.wait(20)
        return render(path)

    monkeypatch.setattr(sandbox, "render_file_preview", meets)
    paths = painted(*COLOURS[:3])
    check(embed_files(paths, MeanColour()), paths, COLOURS[:3])


class Counting(MeanColour):
    """Knows how many pictures were ever prepared and not yet encoded, and is slow enough for these to pile up."""

    def __init__(self):
        super().__init__()
        self.prepared = self.most = 0

    def prepare(self, image):
        self.prepared += 1
        return super().prepare(image)

    def encode(self, prepared):
        time.sleep(0.2)
        self.most = max(self.most, self.prepared - sum(self.batches))
        return super().encode(prepared)


@pytest.fixture
def quick(monkeypatch):
    """Decodes to a picture at hand, whatever the file."""
    preview = encoded(Image.new("RGB", (32, 32), RED))
    monkeypatch.setattr(sandbox, "render_file_preview", lambda path: preview)


@pytest.mark.usefixtures("quick")
def test_few_pictures_are_held_at_once(painted):
    encoder = Counting()
    assert len(embed_files(painted(*[RED] * 30), encoder).vectors) == 30
    assert encoder.batch_size < encoder.most <= 3 * encoder.batch_size  # ahead of the encoder, but not far


@pytest.mark.usefixtures("quick")
def test_who_interrupts_does_not_wait_for_the_rest(painted, settings):
    class Slow(Counting):
        def prepare(self, image):
            time.sleep(0.1)
            return super().prepare(image)

        def encode(self, prepared):
            return MeanColour.encode(self, prepared)

    def interrupt(_):
        raise KeyboardInterrupt

    settings.DECODE_PROCESSES, encoder = 1, Slow()
    with pytest.raises(KeyboardInterrupt):
        embed_files(painted(*[RED] * 30), encoder, progress=interrupt)
    assert encoder.prepared <= encoder.batch_size + 2  # and not the two batches that wait behind the first


# --- parts of files -------------------------------------------------------------------------------------------


def test_part_of_a_file_has_a_vector_of_its_own(flag):
    left, right = Part(flag, Box(0, 0, 100, 120)), Part(flag, Box(120.4, 30, 180, 90.6))
    made = embed_files([flag, left, right], MeanColour())
    np.testing.assert_allclose(made.vectors[left], by_hand(RED), atol=0.02)
    np.testing.assert_allclose(made.vectors[right], by_hand(BLUE), atol=0.02)
    np.testing.assert_allclose(made.vectors[flag], by_hand(np.mean([RED, BLUE], axis=0)), atol=0.02)


def test_part_that_reaches_beyond_the_edge_is_what_lies_inside(flag):
    assert open_view(Part(flag, Box(-9, -1.5, 100, 121)), shorter_side_px=500).size == (100, 120)
    assert open_view(Part(flag, Box(150, 60, 999, 999)), shorter_side_px=500).size == (50, 60)


@pytest.mark.parametrize(
    ("box", "reason"),
    [(Box(300, 0, 400, 100), "A region is four numbers"), (Box(0, 0, 8, 100), "The region is too small, 8 x 100")],
)
def test_part_that_is_none_is_a_failure_of_its_own(flag, box, reason):
    made = embed_files([Part(flag, box), flag], MeanColour())
    assert str(made.failures[Part(flag, box)]).startswith(reason)
    assert list(made.vectors) == [flag]


def test_box_counts_pixels_of_the_upright_original(tmp_path):
    image, path, exif = Image.new("RGB", (3200, 2000), RED), tmp_path / "turned.jpg", Image.Exif()
    image.paste(BLUE, (1600, 0, 3200, 2000))
    exif[0x0112] = 6  # to be turned clockwise by a quarter: what is left now belongs above
    path.write_bytes(encoded(image, exif=exif))
    upper, lower = Part(path, Box(0, 0, 2000, 1500)), Part(path, Box(0, 1700, 2000, 3200))
    made = embed_files([upper, lower], MeanColour())
    np.testing.assert_allclose(made.vectors[upper], by_hand(RED), atol=0.02)
    np.testing.assert_allclose(made.vectors[lower], by_hand(BLUE), atol=0.02)


def test_part_is_opened_as_a_search_with_a_region_opens_it(tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(encoded(drawn(5, (2000, 1500))))
    with path.open("rb") as opened:
        searched = pictures.open_picture(Picture(File(opened, "large.jpg"), Region(0.25, 0.2, 0.5, 0.4)), 96)
    part = open_view(Part(path, Box(500, 300, 1500, 900)), shorter_side_px=96)
    assert part.size == searched.size
    assert part.tobytes() == searched.tobytes()


# --- encoders that fail ---------------------------------------------------------------------------------------


POISON = (MeanColour.poison,) * 3


@pytest.mark.parametrize("position", [0, 3, 4, 8])
def test_picture_that_the_encoder_will_not_take_fails_alone(painted, position):
    colours = [*COLOURS]
    colours[position] = POISON
    paths = painted(*colours)
    made = embed_files(paths, MeanColour())
    assert {path: str(refused) for path, refused in made.failures.items()} == {
        paths[position]: "The encoder failed: poison"
    }
    del paths[position], colours[position]
    assert set(made.vectors) == set(paths)
    for path, rgb in zip(paths, colours, strict=True):
        np.testing.assert_allclose(made.vectors[path], by_hand(rgb), atol=0.02)


@pytest.mark.parametrize("how_many", [1, 3])
def test_encoder_that_takes_nothing_is_no_picture_s_fault(painted, how_many):
    with pytest.raises(RuntimeError, match="poison"):
        embed_files(painted(*[POISON] * how_many), MeanColour())


def test_encoder_that_is_lost_on_its_way_is_no_picture_s_fault(painted):
    with pytest.raises(RuntimeError, match="poison"):
        embed_files(painted(*[RED] * 4, *[POISON] * 3), MeanColour())


def test_vector_without_direction_is_a_failure(painted):
    class Dark(MeanColour):
        def encode(self, prepared):
            return prepared.astype(np.float32) * (prepared > 100).any(axis=1, keepdims=True)

    red, black = painted(RED, (0, 0, 0))
    made = embed_files([red, black], Dark())
    assert "A vector without a direction" in str(made.failures[black])
    assert list(made.vectors) == [red]


def test_picture_that_cannot_be_prepared_is_a_failure(painted):
    class Choosy(MeanColour):
        def prepare(self, image):
            if image.getpixel((0, 0))[2] > 150:
                raise ValueError("too blue")
            return super().prepare(image)

    red, blue = painted(RED, BLUE)
    made = embed_files([blue, red], Choosy())
    assert str(made.failures[blue]) == "The picture cannot be prepared: too blue"
    check(made, [red], [RED])


# --- pictures at hand -----------------------------------------------------------------------------------------


def test_pictures_at_hand_are_encoded_in_order_and_in_batches():
    encoder = MeanColour()
    made = encode_images([Image.new("RGB", (8, 8), rgb) for rgb in COLOURS], encoder)
    np.testing.assert_allclose(made, [by_hand(rgb) for rgb in COLOURS], atol=0.01)
    assert (made.dtype, encoder.batches) == (np.float32, [4, 4, 1])


def test_file_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(Refused, match="The file cannot be read: No such file or directory"):
        open_view(tmp_path / "gone.png", shorter_side_px=8)
