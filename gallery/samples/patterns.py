"""Drawn patterns: plaids, polka dots and shapes."""

import numpy as np

from gallery.samples.canvas import Canvas, Rgb, Rng, rgb, varied

_TARTANS = [
    ("#7e1f24", "#1e3b2c", "#14202f", "#e7d9b5"),
    ("#8d2b2b", "#22314f", "#173024", "#f0e2c0"),
    ("#6d1a20", "#2a4634", "#101a28", "#d8c48c"),
]
_SPOTTED = [("#f3e3d0", "#e07a5f"), ("#e07a5f", "#fbf3e6"), ("#f6dcd3", "#c8553d"), ("#d98c6f", "#fff4e4")]
_PRIMARIES = [rgb(code) for code in ("#d8402f", "#1f4e9e", "#f0b92b", "#1d1d1f")]
_PAPER = rgb("#f1eadb")


def plaids(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    ground, wide, dark, thin = (np.array(rgb(code), np.float32) for code in _TARTANS[number % len(_TARTANS)])
    canvas = Canvas(size)
    sett = np.repeat(ground[None], 240, axis=0)
    for colour, count, least, most in ((wide, 2, 34, 60), (dark, 3, 10, 26), (thin, 3, 3, 6)):
        for _ in range(count):
            start, length = rng.integers(0, 240), rng.integers(least, most)
            sett[np.arange(start, start + length) % 240] = colour
    step = min(size) / rng.integers(300, 620)
    down = sett[(np.arange(size[1]) / step).astype(int) % 240][:, None]
    across = sett[(np.arange(size[0]) / step).astype(int) % 240][None]
    y, x = np.mgrid[0 : size[1], 0 : size[0]] // 2
    over = np.where((x + y) % 4 < 2, np.float32(0.72), np.float32(0.28))[..., None]  # as twill is woven
    canvas.fill((across + (down - across) * over).astype(np.uint8))
    return canvas


def dots(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    ground, spot = (varied(rng, rgb(code), 4) for code in _SPOTTED[number % len(_SPOTTED)])
    canvas = Canvas(size, ground)
    apart, radius = (rng.uniform(0.1, 0.2), rng.uniform(0.24, 0.36))
    wide, tall = apart * canvas.short / canvas.width, apart * canvas.short / canvas.height
    for row in range(-1, int(1 / tall) + 3):
        for column in range(-1, int(1 / wide) + 3):
            centre = ((column + 0.5 * (row % 2)) * wide, row * tall)
            canvas.disc(centre, apart * radius, spot)
    return canvas


def shapes(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    canvas, across = Canvas(size, _PAPER), int(rng.integers(3, 6))
    side = canvas.width / across
    down = int(np.ceil(canvas.height / side))
    for row in range(down):
        for column in range(across):
            _tile(canvas, rng, column / across, row * side / canvas.height, (1 / across, side / canvas.height))
    return canvas


def _tile(canvas: Canvas, rng: Rng, left: float, top: float, sides: tuple[float, float]) -> None:
    (wide, tall), order = sides, rng.permutation(len(_PRIMARIES))
    colour, other = _PRIMARIES[order[0]], _PRIMARIES[order[1]]
    radius, kind = wide * canvas.width / canvas.short, rng.integers(6)
    corner = (left + wide * rng.integers(2), top + tall * rng.integers(2))
    if kind == 0:
        canvas.disc((left + wide / 2, top + tall / 2), radius * 0.42, colour)
        canvas.disc((left + wide / 2, top + tall / 2), radius * 0.18, other)
    elif kind == 1:
        _quarter(canvas, corner, (left, top), radius, colour)
        _quarter(canvas, corner, (left, top), radius * 0.5, other)
    elif kind == 2:
        canvas.rectangle(left, top, left + wide, top + tall, colour)
        canvas.disc((left + wide / 2, top + tall / 2), radius * 0.3, _PAPER)
    elif kind == 3:
        canvas.polygon([(left, top + tall), (left + wide, top + tall), (left + wide * rng.integers(2), top)], colour)
    elif kind == 4:
        for n in range(0, 6, 2):
            canvas.rectangle(left, top + tall * n / 6, left + wide, top + tall * (n + 1) / 6, colour)
    else:
        start = 90 * int(rng.integers(4))
        canvas.pie((left + wide / 2, top + tall / 2), radius * 0.45, start, start + 180, colour)


def _quarter(
    canvas: Canvas, corner: tuple[float, float], origin: tuple[float, float], radius: float, colour: Rgb
) -> None:
    """Of a disc about the corner of a tile, the part that lies in it."""
    is_right, is_low = corner[0] > origin[0] + 1e-9, corner[1] > origin[1] + 1e-9
    start = {(False, False): 0, (True, False): 90, (True, True): 180, (False, True): 270}[is_right, is_low]
    canvas.pie(corner, radius, start, start + 90, colour)
