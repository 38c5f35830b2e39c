"""Contact sheets: rows of small pictures with a line of text below each, framed where there is something to say."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

#: In pixels. Captions have a tile's width and are cut to it.
_TILE, _GAP, _CAPTION, _FRAME = 176, 12, 20, 4
_BACKGROUND, _INK, _EMPTY = "#ffffff", "#222222", "#e5e5e5"
_FONT = ImageFont.load_default(13)

#: Frames: of what was searched with, and of hits that are right or wrong. Told apart by the colour-blind.
QUERY, RIGHT, WRONG = "#555555", "#0e9a6e", "#d55e00"


@dataclass(frozen=True)
class Tile:
    """A picture, None where it cannot be shown; what stands below; and the colour of its frame."""

    image: Image.Image | None
    caption: str
    frame: str | None = None


def draw(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """One picture of all the rows, the tiles of each from left to right."""
    columns = max((len(row) for row in rows), default=0)
    sheet = Image.new("RGB", (_GAP + columns * _STEP_X, _GAP + len(rows) * _STEP_Y), _BACKGROUND)
    for down, row in enumerate(rows):
        for across, tile in enumerate(row):
            _draw_tile(sheet, tile, _GAP + across * _STEP_X, _GAP + down * _STEP_Y)
    return sheet


_STEP_X, _STEP_Y = _TILE + _GAP, _TILE + _CAPTION + _GAP


def _draw_tile(sheet: Image.Image, tile: Tile, left: int, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    if tile.frame:
        pen.rectangle((left, top, left + _TILE - 1, top + _TILE - 1), tile.frame)
    inside = _TILE - 2 * _FRAME
    pen.rectangle((left + _FRAME, top + _FRAME, left + _TILE - _FRAME - 1, top + _TILE - _FRAME - 1), _EMPTY)
    if tile.image:
        small = tile.image.convert("RGB")
        small.thumbnail((inside, inside), Image.Resampling.LANCZOS)
        sheet.paste(small, (left + (_TILE - small.width) // 2, top + (_TILE - small.height) // 2))
    pen.text((left, top + _TILE + 3), _cut(tile.caption), _INK, font=_FONT)


def _cut(caption: str) -> str:
    """As much of it as fits below a tile."""
    if _FONT.getlength(caption) <= _TILE:
        return caption
    kept = len(caption)
    while kept and _FONT.getlength(caption[:kept] + "…") > _TILE:
        kept -= 1
    return caption[:kept].rstrip() + "…"
