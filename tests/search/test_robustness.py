import numpy as np
import pytest
from PIL import Image

from search.evaluation.robustness import VARIANTS, Recall, Variant, by_kind, robustness
from tests.conftest import drawn

NAMED = {f"{variant.kind} {variant.strength}": variant for variant in VARIANTS}


def altered(name, image):
    return NAMED[name].alter(image)


# --- variants -------------------------------------------------------------------------------------------------


def test_variants_are_what_is_promised():
    assert list(NAMED) == [
        "crop, centre 90% of each side", "crop, centre 75% of each side", "crop, centre 50% of each side",
        "crop, corner 90% of each side", "crop, corner 75% of each side", "crop, corner 50% of each side",
        "rescale 50%", "rescale 25%", "rescale 10%", "JPEG quality 60", "JPEG quality 30", "JPEG quality 10",
        "rotation 5°", "rotation 15°", "rotation 90°", "rotation 180°", "flip horizontal", "flip vertical",
        "greyscale full", "watermark 25% opaque", "watermark 50% opaque",
        "brightness x 0.6", "brightness x 1.4", "contrast x 0.6", "contrast x 1.4",
    ]  # fmt: skip
    assert len(NAMED) == len(VARIANTS)


@pytest.mark.parametrize("name", NAMED)
def test_variant_changes_a_copy_and_is_the_same_every_time(name):
    image = drawn(3, (160, 120))
    made, again = altered(name, image), altered(name, drawn(3, (160, 120)))
    assert image.tobytes() == drawn(3, (160, 120)).tobytes()
    assert made.mode == "RGB"
    assert (made.size, made.tobytes()) != (image.size, image.tobytes())
    assert (made.size, made.tobytes()) == (again.size, again.tobytes())


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3)])
def test_smallest_pictures_can_be_altered(name, size):
    made = altered(name, Image.new("RGB", size, "red"))
    assert made.mode == "RGB"
    assert min(made.size) >= 1


def test_variants_of_a_kind_differ_by_strength():
    image = drawn(3, (160, 120))
    made = [(made.size, made.tobytes()) for made in (variant.alter(image) for variant in VARIANTS)]
    assert len(set(made)) == len(made)


def quarters():
    """Red, green over blue, white: 40 x 20 pixels."""
    image = Image.new("RGB", (40, 20))
    for place, colour in (((0, 0), "red"), ((20, 0), "lime"), ((0, 10), "blue"), ((20, 10), "white")):
        image.paste(colour, (*place, place[0] + 20, place[1] + 10))
    return image


def corners(image):
    """What lies above, then below, from left to right, by first letters."""
    letters = {(255, 0, 0): "r", (0, 255, 0): "g", (0, 0, 255): "b", (255, 255, 255): "w"}
    right, lower = image.width - 1, image.height - 1
    return "".join(letters[image.getpixel(place)] for place in ((0, 0), (right, 0), (0, lower), (right, lower)))


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("crop, centre 50% of each side", (20, 10), "rgbw"),
        ("crop, centre 90% of each side", (36, 18), "rgbw"),
        ("crop, corner 50% of each side", (20, 10), "rrrr"),
        ("crop, corner 75% of each side", (30, 15), "rgbw"),
        ("rotation 90°", (20, 40), "gwrb"),
        ("rotation 180°", (40, 20), "wbgr"),
        ("flip horizontal", (40, 20), "grwb"),
        ("flip vertical", (40, 20), "bwrg"),
        ("rotation 15°", (44, 30), "wwww"),  # 40 cos 15° + 20 sin 15° = 43.8
    ],
)
def test_variant_shows_what_it_says(name, size, expected):
    made = altered(name, quarters())
    assert (made.size, corners(made)) == (size, expected)


def test_crop_keeps_pixels_as_they_are():
    made = altered("crop, centre 50% of each side", quarters())
    assert made.tobytes() == quarters().crop((10, 5, 30, 15)).tobytes()


@pytest.mark.parametrize(("share", "size"), [("50%", (80, 60)), ("25%", (40, 30)), ("10%", (16, 12))])
def test_rescale_shows_all_in_less(share, size):
    image = drawn(3, (160, 120))
    made = altered(f"rescale {share}", image)
    assert made.size == size
    assert np.abs(np.asarray(made).mean((0, 1)) - np.asarray(image).mean((0, 1))).max() < 4


def off(name, image):
    return np.abs(np.asarray(altered(name, image), int) - np.asarray(image, int)).mean()


def test_lower_quality_is_further_off():
    image = drawn(3, (160, 120))
    assert 0 < off("JPEG quality 60", image) < off("JPEG quality 30", image) < off("JPEG quality 10", image) < 20


def test_greyscale_has_no_colour():
    pixels = np.asarray(altered("greyscale full", drawn(3)))
    assert (pixels == pixels[..., :1]).all()


def test_watermark_covers_the_middle_and_leaves_the_rest():
    image = Image.new("RGB", (200, 100), (120, 120, 120))
    light, strong = (np.asarray(altered(f"watermark {part} opaque", image), int) for part in ("25%", "50%"))
    for pixels in (light, strong):
        assert (pixels[:40] == 120).all()
        assert (pixels[61:] == 120).all()
        assert (pixels[40:60] != 120).any(axis=2).mean() > 0.9
        assert pixels[40:61].max() > 120  # the letters
    assert (light[42, 5] == 90).all()  # a quarter of the way to black, and half of it
    assert (strong[42, 5] == 60).all()


def test_brightness_and_contrast_go_both_ways():
    image = drawn(3, (160, 120))
    mean, spread = np.asarray(image).mean(), np.asarray(image).std()
    assert np.asarray(altered("brightness x 0.6", image)).mean() == pytest.approx(0.6 * mean, abs=1)
    assert np.asarray(altered("brightness x 1.4", image)).mean() > 1.1 * mean
    assert np.asarray(altered("contrast x 0.6", image)).std() == pytest.approx(0.6 * spread, rel=0.05)
    assert np.asarray(altered("contrast x 1.4", image)).std() > 1.1 * spread


# --- recall ---------------------------------------------------------------------------------------------------


def unit(*values):
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def first_pixel(images):
    """A toy encoder: the colour of the pixel in the upper left corner."""
    return np.stack([unit(*image.getpixel((0, 0))) for image in images])


SAME = Variant("none", "", lambda image: image)
MIRRORED = Variant("flip", "horizontal", NAMED["flip horizontal"].alter)
UPTURNED = Variant("flip", "vertical", NAMED["flip vertical"].alter)


def pair(left, right):
    image = Image.new("RGB", (4, 2), left)
    image.paste(right, (2, 0, 4, 2))
    return image


#: A mirror shows the first as the second, the second as the first, and leaves the third what it is.
PICTURES = {"a": pair("red", "lime"), "b": pair("lime", "red"), "c": pair("blue", "blue")}
ORIGINALS = dict(zip(PICTURES, first_pixel(PICTURES.values()), strict=True))


def test_robustness_by_hand():
    told = []
    made = robustness(
        PICTURES.items(), first_pixel, ORIGINALS, variants=[SAME, MIRRORED, UPTURNED], progress=told.append
    )
    assert made == [Recall("none", "", 3, 3), Recall("flip", "horizontal", 1, 3), Recall("flip", "vertical", 3, 3)]
    assert [one.at_1 for one in made] == [1, 1 / 3, 1]
    assert by_kind(made) == [Recall("none", "", 3, 3), Recall("flip", "", 4, 6)]
    assert told == [1, 1, 1]


def test_originals_that_are_not_altered_are_searched_too():
    distractor = ORIGINALS | {"d": unit(1, 1, 0)}
    closer = {name: unit(*(vector + 0.6)) for name, vector in ORIGINALS.items()}  # less like what a picture becomes
    pictures = {"a": pair("red", "red")}
    yellowish = Variant("tint", "", lambda image: Image.new("RGB", image.size, (255, 160, 0)))
    assert robustness(pictures.items(), first_pixel, ORIGINALS, variants=[yellowish]) == [Recall("tint", "", 1, 1)]
    assert robustness(pictures.items(), first_pixel, distractor, variants=[yellowish]) == [Recall("tint", "", 0, 1)]
    assert robustness(pictures.items(), first_pixel, closer, variants=[SAME]) == [Recall("none", "", 1, 1)]


def test_order_of_originals_does_not_matter():
    backwards = dict(reversed(ORIGINALS.items()))
    made = robustness(PICTURES.items(), first_pixel, backwards, variants=[SAME, MIRRORED])
    assert [one.found for one in made] == [3, 1]


def test_what_is_as_near_as_another_is_not_found():
    twins = {"a": unit(1, 0), "b": unit(1, 0), "c": unit(0, 1)}
    images = [(name, pair("red", "red")) for name in "ab"]

    def encode(altered):
        return np.stack([unit(1, 0)] * len(altered))

    assert robustness(images, encode, twins, variants=[SAME]) == [Recall("none", "", 0, 2)]
    assert robustness(images, encode, twins, variants=[SAME], ties_by_name=True) == [Recall("none", "", 1, 2)]
    for originals in (twins, dict(reversed(twins.items()))):
        made = robustness(images[1:], encode, originals, variants=[SAME], ties_by_name=True)
        assert made == [Recall("none", "", 0, 1)]


def test_what_rounding_leaves_is_no_difference():
    nearly = {"a": unit(1, 0), "b": unit(1 - 1e-7, 0) * np.float32(1 - 1e-7)}

    def encode(altered):
        return np.stack([unit(1, 0)] * len(altered))

    images = [("a", pair("red", "red"))]
    assert robustness(images, encode, nearly, variants=[SAME])[0].found == 0
    assert robustness(images, encode, nearly | {"b": unit(1, 0.01)}, variants=[SAME])[0].found == 1


def test_encoder_that_tells_nothing_apart_finds_nothing():
    same = dict.fromkeys(PICTURES, unit(1, 1, 1))
    made = robustness(PICTURES.items(), lambda images: np.stack([unit(1, 1, 1)] * len(images)), same)
    assert {one.found for one in made} == {0}
    assert len(made) == len(VARIANTS)


def test_vector_that_is_no_number_finds_nothing():
    made = robustness(
        PICTURES.items(), lambda images: np.full((len(images), 3), np.nan, np.float32), ORIGINALS, variants=[SAME]
    )
    assert made[0].found == 0


def test_pictures_are_taken_one_by_one():
    taken = []

    def images():
        for name, image in PICTURES.items():
            taken.append(name)
            yield name, image

    def encode(altered):
        seen.append(len(taken))
        return first_pixel(altered)

    seen = []
    robustness(images(), encode, ORIGINALS, variants=[SAME])
    assert seen == [1, 2, 3]


def test_what_cannot_be_judged_is_refused():
    image = [("a", PICTURES["a"])]
    with pytest.raises(ValueError, match="At least two originals are needed to tell a picture from"):
        robustness(image, first_pixel, {"a": ORIGINALS["a"]})
    with pytest.raises(ValueError, match="No picture was given"):
        robustness([], first_pixel, ORIGINALS)
    with pytest.raises(KeyError):
        robustness([("z", PICTURES["a"])], first_pixel, ORIGINALS)


def test_real_variants_are_found_by_an_encoder_that_looks_at_colours():
    """A sanity check on the whole of it: nothing but a change of colours can fool a mean of colours much."""
    pictures = {f"{seed:02}": drawn(seed, (160, 120)) for seed in range(6)}

    def encode(images):
        return np.stack([unit(*(np.asarray(image).mean((0, 1)) - 128)) for image in images])

    originals = dict(zip(pictures, encode(list(pictures.values())), strict=True))
    found = {f"{one.kind} {one.strength}": one.at_1 for one in robustness(pictures.items(), encode, originals)}
    for name in ("flip horizontal", "flip vertical", "rotation 90°", "rotation 180°", "JPEG quality 60", "rescale 50%"):
        assert found[name] == 1, name
    assert found["greyscale full"] < 1
