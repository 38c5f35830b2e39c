import numpy as np
import pytest
from PIL import Image

from search import contact_sheet
from search.contact_sheet import QUERY, RIGHT, WRONG, Tile


def colours(sheet):
    """Colour as "#rrggbb" -> number of pixels."""
    pixels, counts = np.unique(np.asarray(sheet).reshape(-1, 3), axis=0, return_counts=True)
    return {"#{:02x}{:02x}{:02x}".format(*pixel): count for pixel, count in zip(pixels.tolist(), counts, strict=True)}


def test_sheet_has_room_for_its_longest_row_and_for_all_rows():
    one, two = Tile(None, "a"), Tile(None, "b")
    alone = contact_sheet.draw([[one]])
    assert contact_sheet.draw([[one], [one, two, two]]).width - alone.width == 2 * (
        contact_sheet.draw([[one, two]]).width - alone.width
    )
    assert contact_sheet.draw([[one], [two], [one]]).height > 2.5 * alone.height


def test_nothing_is_an_empty_sheet():
    assert contact_sheet.draw([]).size == (12, 12)


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (20, 20)])
def test_picture_is_shown_whole_in_its_proportions(size):
    shown = np.asarray(contact_sheet.draw([[Tile(Image.new("RGB", size, "#0000ff"), "")]]))
    blue = np.argwhere((shown == (0, 0, 255)).all(axis=2))
    height, width = blue.max(axis=0) - blue.min(axis=0) + 1
    assert width / height == pytest.approx(size[0] / size[1], rel=0.03)
    assert max(width, height) == min(168, max(size))


def test_frames_tell_right_from_wrong_in_the_order_given():
    tiles = [Tile(None, "", frame) for frame in (QUERY, RIGHT, WRONG, None)]
    sheet = contact_sheet.draw([tiles])
    assert all(colours(sheet)[frame] > 1000 for frame in (QUERY, RIGHT, WRONG))
    middle = sheet.crop((0, 90, sheet.width, 91)).convert("RGB")
    across = ["#{:02x}{:02x}{:02x}".format(*middle.getpixel((x, 0))) for x in range(middle.width)]
    assert [seen for seen in dict.fromkeys(across) if seen in {QUERY, RIGHT, WRONG}] == [QUERY, RIGHT, WRONG]


def test_long_caption_stays_below_its_own_tile():
    sheet = contact_sheet.draw([[Tile(None, "w" * 200), Tile(None, "")]])
    dark = np.argwhere(np.asarray(sheet.convert("L")) < 100)
    assert 150 < dark[:, 1].max() < 12 + 176
