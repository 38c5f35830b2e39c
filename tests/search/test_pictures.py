import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from gallery import sandbox
from gallery.errors import Code, Refused
from search import encoders, pictures, pipeline
from search.encoders import EncoderSpec
from search.models import Embedding, Encoder
from search.pictures import Picture, Region
from tests.conftest import encoded
from tests.gallery import decoders

RED, BLUE = (220, 20, 40), (30, 60, 200)


def upload(image, name="query.png", format="PNG"):
    return SimpleUploadedFile(name, encoded(image, format))


def flag(left=RED, right=BLUE, size=(200, 120)):
    """Two colours side by side."""
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def by_hand(rgb):
    long = np.array([*rgb, 64], float)
    return long / np.linalg.norm(long)


# --- regions ------------------------------------------------------------------------------------------------


def test_region_is_read_from_text():
    assert Region.parse("0.1,0.25, 0.5,.75") == Region(0.1, 0.25, 0.5, 0.75)


@pytest.mark.parametrize(
    "text",
    [
        "", "0,0,1", "0,0,1,1,1", "a,b,c,d", "0,0,nan,1", "nan,0,1,1", "0,0,inf,1", "-inf,0,1,1",
        "0,0,0,1", "0,0,1,0", "0.5,0,-0.5,1", "-0.1,0,0.5,0.5", "0.6,0,0.5,1", "0,0.6,1,0.5", "1,0,1,1",
    ],
)  # fmt: skip
def test_what_is_no_region_is_refused(text):
    with pytest.raises(Refused, match="x,y,w,h") as refused:
        Region.parse(text)
    assert refused.value.code == Code.INVALID


def test_what_is_lost_in_rounding_does_not_matter():
    assert Region(1 / 3, -1e-17, 2 / 3 + 1e-16, 1).cut_from(flag(size=(300, 100))).size == (200, 100)


def test_region_is_what_is_searched_with(colour_encoder):
    file = upload(flag())
    for region, rgb in ((Region(0, 0, 0.5, 1), RED), (Region(0.5, 0.5, 0.5, 0.5), BLUE)):
        [made] = pictures.encode([Picture(file, region)], colour_encoder)
        np.testing.assert_allclose(made, [by_hand(rgb)], atol=0.02)


def test_region_of_a_stored_picture_is_what_is_searched_with(colour_encoder, flat):
    from gallery.uploads import store_upload

    asset = store_upload(upload(flag()), flat(1, 1, 1).owner).asset
    [made] = pictures.encode([Picture(asset, Region(0.5, 0, 0.5, 1))], colour_encoder)
    np.testing.assert_allclose(made, [by_hand(BLUE)], atol=0.02)


def test_region_counts_upright(colour_encoder):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter: what is left now belongs above
    file = SimpleUploadedFile("turned.png", encoded(flag(), "PNG", exif=exif))
    [made] = pictures.encode([Picture(file, Region(0, 0, 1, 0.5))], colour_encoder)
    np.testing.assert_allclose(made, [by_hand(RED)], atol=0.02)


def test_small_region_is_refused(colour_encoder):
    file = upload(flag(size=(200, 120)))
    pictures.encode([Picture(file, Region(0, 0, 0.08, 0.2))], colour_encoder)  # 16 x 24
    with pytest.raises(Refused, match="15 x 24 pixels") as refused:
        pictures.encode([Picture(file, Region(0, 0, 0.075, 0.2))], colour_encoder)
    assert refused.value.code == Code.INVALID


def test_region_without_extent_worth_mentioning_is_refused(colour_encoder):
    with pytest.raises(Refused, match="too small"):
        pictures.encode([Picture(upload(flag()), Region(0, 0, 1e-320, 1))], colour_encoder)


def test_region_is_cut_from_as_many_pixels_as_the_encoder_needs(colour_encoder, mean_colour, monkeypatch):
    seen = []
    really = mean_colour.prepare
    monkeypatch.setattr(mean_colour, "prepare", lambda image: seen.append(image.size) or really(image))
    monkeypatch.setattr(mean_colour, "decode_side_px", 100)
    file = upload(flag(size=(1600, 1200)))
    pictures.encode([Picture(file), Picture(file, Region(0, 0, 0.1, 0.1))], colour_encoder)
    assert sorted(seen) == [(160, 120), (200, 150)]  # of 1600 x 1200, and as a whole an eighth of it


# --- turned -------------------------------------------------------------------------------------------------


class Corners:
    """An encoder whose vectors are the brightness of a picture's four quarters."""

    dimensions, dtype, decode_side_px, batch_size = 4, "float32", 8, 32

    def prepare(self, image):
        return np.asarray(image.convert("L").resize((2, 2), Image.Resampling.BOX))

    def encode(self, prepared):
        return prepared.reshape(len(prepared), 4).astype(np.float32)


@pytest.fixture
def corner_encoder(db, monkeypatch):
    spec = EncoderSpec("corners", "1", 4, 1, lambda _: Corners())
    monkeypatch.setitem(encoders.SPECS, spec.name, spec)
    return Encoder.objects.for_spec(spec)


def test_turned_picture_is_seen_eight_ways_in_the_order_stated(corner_encoder):
    quarters = np.array([[20, 90], [160, 250]], np.uint8)
    file = upload(Image.fromarray(quarters).resize((64, 64), Image.Resampling.NEAREST))
    [made] = pictures.encode([Picture(file, turned=True)], corner_encoder)
    turned = [np.rot90(quarters, turns) for turns in range(4)]
    expected = np.array([view.ravel() for view in [*turned, *map(np.fliplr, turned)]], float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(made, expected, atol=0.01)


# --- vectors ------------------------------------------------------------------------------------------------


def test_file_and_stored_picture_give_the_stored_vector(encoder, asset, picture):
    stored = asset(3)
    pipeline.embed_pending(encoder)
    kept = np.asarray(Embedding.objects.get(asset=stored).vector)
    [of_file] = pictures.encode([Picture(picture(3))], encoder)
    [of_asset] = pictures._encode([Picture(stored)], encoder, of=1)
    assert of_file.shape == (1, encoder.dimensions)
    assert of_file.dtype == np.float32
    np.testing.assert_array_equal(of_file, of_asset)
    np.testing.assert_allclose(of_file[0], kept, atol=1e-3)


def test_stored_preview_is_what_a_query_of_the_same_bytes_is_seen_by(asset):
    from pathlib import Path

    stored = asset(5)
    assert sandbox.render_file_preview(Path(stored.original.path)) == stored.preview.read()


def test_several_pictures_are_one_batch(colour_encoder, mean_colour):
    colours = [RED, BLUE, (90, 90, 90)]
    files = [upload(Image.new("RGB", (32, 32), rgb)) for rgb in colours]
    made = pictures.encode([Picture(file) for file in files], colour_encoder)
    assert mean_colour.batches == [3]
    np.testing.assert_allclose(np.concatenate(made), [by_hand(rgb) for rgb in colours], atol=0.02)


def test_unreadable_picture_is_refused(colour_encoder):
    with pytest.raises(Refused) as refused:
        pictures.encode([Picture(SimpleUploadedFile("x.jpg", b"no picture"))], colour_encoder)
    assert refused.value.code == Code.UNSUPPORTED_TYPE
    assert "x.jpg" not in refused.value.detail


def test_refusal_names_the_picture_among_several(colour_encoder):
    broken = SimpleUploadedFile("broken.jpg", b"no picture")
    with pytest.raises(Refused, match=r"^broken\.jpg: "):
        pictures.encode([Picture(upload(flag())), Picture(broken)], colour_encoder)


def test_too_large_picture_is_refused_by_name(colour_encoder, settings):
    settings.MAX_UPLOAD_BYTES = 1000
    large = SimpleUploadedFile("large.png", bytes(1001))
    with pytest.raises(Refused, match=r"^large\.png: ") as refused:
        pictures.encode([Picture(large), Picture(large)], colour_encoder)
    assert refused.value.code == Code.TOO_LARGE


@pytest.mark.parametrize(
    ("decoder", "code"), [(decoders.hang, Code.DECODE_TIMEOUT), (decoders.devour, Code.DECODE_MEMORY)]
)
def test_decoder_that_misbehaves_is_stopped(colour_encoder, settings, monkeypatch, decoder, code):
    settings.DECODE_TIMEOUT_S = 1
    monkeypatch.setattr(sandbox, "render_preview", decoder)
    with pytest.raises(Refused) as refused:
        pictures.encode([Picture(upload(flag()))], colour_encoder)
    assert refused.value.code == code


def test_stored_picture_whose_preview_is_gone_is_refused(colour_encoder, asset):
    stored = asset(1)
    stored.preview.storage.delete(stored.preview.name)
    with pytest.raises(Refused, match="preview") as refused:
        pictures.encode([Picture(stored, turned=True)], colour_encoder)
    assert refused.value.code == Code.NOT_SEARCHABLE


def test_encoder_that_cannot_be_loaded_is_named(colour_encoder):
    colour_encoder.revision = "another"
    with pytest.raises(Refused, match="mean-colour") as refused:
        pictures.encode([Picture(upload(flag()))], colour_encoder)
    assert refused.value.code == Code.ENCODER_UNAVAILABLE


# --- cached -------------------------------------------------------------------------------------------------


def test_repeated_picture_is_neither_decoded_nor_encoded(colour_encoder, mean_colour, monkeypatch):
    query = [Picture(upload(flag()), Region(0, 0, 0.5, 1), turned=True)]
    first = pictures.encode(query, colour_encoder)
    batches = list(mean_colour.batches)
    monkeypatch.setattr(sandbox, "render_file_preview", None)
    np.testing.assert_array_equal(pictures.encode(query, colour_encoder), first)
    assert first[0].shape == (8, 4)
    assert mean_colour.batches == batches


def test_same_picture_twice_is_encoded_once(colour_encoder, mean_colour):
    first, second = pictures.encode([Picture(upload(flag())), Picture(upload(flag(), "other.png"))], colour_encoder)
    assert mean_colour.batches == [1]
    np.testing.assert_array_equal(first, second)


def test_only_what_is_not_known_is_encoded(colour_encoder, mean_colour):
    pictures.encode([Picture(upload(flag()))], colour_encoder)
    _, fresh = pictures.encode([Picture(upload(flag())), Picture(upload(flag(BLUE, BLUE)))], colour_encoder)
    assert mean_colour.batches == [1, 1]
    np.testing.assert_allclose(fresh, [by_hand(BLUE)], atol=0.02)


def test_stored_picture_and_its_file_are_known_by_each_other(colour_encoder, mean_colour, asset, picture):
    region = Region(0, 0, 0.5, 0.5)
    [of_asset] = pictures.encode([Picture(asset(1), region)], colour_encoder)
    [of_file] = pictures.encode([Picture(picture(1), region)], colour_encoder)
    assert mean_colour.batches == [1]
    np.testing.assert_array_equal(of_asset, of_file)


def test_another_region_turn_or_encoder_is_another_query(colour_encoder, mean_colour, monkeypatch):
    other = EncoderSpec("other-colour", "1", 4, 1, lambda _: mean_colour)
    monkeypatch.setitem(encoders.SPECS, other.name, other)
    file, region = upload(flag()), Region(0, 0, 0.5, 1)
    pictures.encode([Picture(file)], colour_encoder)
    pictures.encode([Picture(file, region)], colour_encoder)
    pictures.encode([Picture(file, turned=True)], colour_encoder)
    pictures.encode([Picture(file)], Encoder.objects.for_spec(other))
    assert mean_colour.batches == [1, 1, 4, 4, 1]


def test_sha256_is_that_of_the_original(asset, picture):
    assert Picture(picture(1)).sha256 == Picture(asset(1)).sha256 != Picture(picture(2)).sha256


@pytest.mark.django_db(transaction=True)
def test_warm_up_goes_all_the_way_every_time(colour_encoder, mean_colour):
    pictures.warm_up()
    pictures.warm_up()
    assert mean_colour.batches == [1, 1]
