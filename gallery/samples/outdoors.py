"""Drawn landscapes: mountains, seas and woods."""

import numpy as np

from gallery.samples.canvas import Canvas, Point, Rgb, Rng, lighter, mixed, petal, rgb, ridge, varied

#: Of mountains: sky from top to horizon, the farthest and the nearest ridge, sun or moon.
_HOURS = [
    ("#2b4a8b", "#7f9fd0", "#f4dcc0", "#9fb0d2", "#22335a", "#fff2d8"),
    ("#3f6fb5", "#8db8e6", "#e3f0fa", "#a3bfe0", "#274468", "#ffffff"),
    ("#33356f", "#8c6fa6", "#f3b6a0", "#a08cb8", "#2a2750", "#ffe3c2"),
]
#: Of seas: sky from top to horizon, far and near water, sun.
_TIDES = [
    ("#f08a4b", "#f9c07a", "#ffe9bd", "#e99a62", "#0f5560", "#fff6d8"),
    ("#e8735a", "#f6a978", "#ffdf9f", "#d98068", "#15495c", "#fff0c4"),
    ("#f5b262", "#fad08a", "#fff0c8", "#e0b27a", "#1b6a72", "#fffbe6"),
]
#: Of woods: light between the trunks, farthest and nearest trunk, ground.
_SEASONS = [
    ("#dfeccb", "#a9c48f", "#24381f", "#5f8a3f"),
    ("#e9efc0", "#b9c877", "#33401a", "#7d9638"),
    ("#d3e6cf", "#8fb99a", "#18352a", "#3f7a55"),
]


def mountains(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    top, middle, horizon, far, near, light = (rgb(code) for code in _HOURS[number % len(_HOURS)])
    canvas = Canvas(size)
    canvas.gradient(top, middle, horizon, bottom=0.75)
    centre = (rng.uniform(0.2, 0.8), rng.uniform(0.18, 0.34))
    canvas.glow(centre, 0.32, light, 0.55)
    canvas.disc(centre, rng.uniform(0.035, 0.06), light)
    ridges = 5
    for n in range(ridges):
        share = n / (ridges - 1)
        base, height = 0.46 + 0.13 * n + rng.uniform(-0.02, 0.02), 0.2 - 0.025 * n
        line = base - height * ridge(rng, 240, 0.56)
        colour = mixed(far, near, share**0.8)
        canvas.polygon([(0, 1), *zip(np.linspace(0, 1, 240), line, strict=True), (1, 1)], colour)
        if n == 1:
            _snow(canvas, line, lighter(colour, 0.62))
    _pines(canvas, rng, lighter(near, -0.35))
    return canvas


def _snow(canvas: Canvas, line: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", colour: Rgb) -> None:
    """On what rises above the rest of the ridge."""
    limit = np.quantile(line, 0.35)
    lower = np.minimum(limit, line + 0.04 + 0.014 * np.sin(np.arange(len(line)) * 0.55))
    lower = np.maximum(lower, line)
    across = np.linspace(0, 1, len(line))
    canvas.polygon([*zip(across, line, strict=True), *zip(across[::-1], lower[::-1], strict=True)], colour)


def _pines(canvas: Canvas, rng: Rng, colour: Rgb) -> None:
    for x in np.sort(rng.uniform(-0.02, 1.02, rng.integers(10, 22))):
        height, foot = rng.uniform(0.09, 0.2), rng.uniform(0.98, 1.05)
        half = height * 0.24 * canvas.height / canvas.width
        for tier in range(4):
            top = foot - height * (1 - tier * 0.2)
            width = half * (0.45 + 0.2 * tier)
            canvas.polygon([(x, top), (x + width, top + height * 0.36), (x - width, top + height * 0.36)], colour)


def seas(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    top, middle, low, far, near, light = (rgb(code) for code in _TIDES[number % len(_TIDES)])
    canvas, horizon = Canvas(size), rng.uniform(0.48, 0.56)
    canvas.gradient(top, middle, low, bottom=horizon + 0.02)
    sun = rng.uniform(0.25, 0.75)
    canvas.glow((sun, horizon - 0.09), 0.34, light, 0.8)
    canvas.disc((sun, horizon - rng.uniform(0.05, 0.12)), 0.075, light)
    _water(canvas, rng, horizon, (far, near))
    _glitter(canvas, rng, horizon, sun, light)
    for _ in range(rng.integers(1, 4)):
        _sail(canvas, rng, horizon)
    return canvas


def _water(canvas: Canvas, rng: Rng, horizon: float, colours: tuple[Rgb, Rgb]) -> None:
    bands, across = 16, np.linspace(0, 1, 160)
    for n in range(bands):
        share = n / (bands - 1)
        top = horizon + (1 - horizon) * share**1.4
        swell = 0.012 * share * np.sin(across * rng.uniform(14, 26) + rng.uniform(0, 6))
        line = top + swell if n else np.full(160, top)
        colour = varied(rng, mixed(*colours, share**0.6), 6)
        canvas.polygon([(0, 1), *zip(across, line, strict=True), (1, 1)], colour)


def _glitter(canvas: Canvas, rng: Rng, horizon: float, sun: float, light: Rgb) -> None:
    for _ in range(110):
        depth = rng.uniform(0, 1) ** 1.5
        y = horizon + 0.006 + (1 - horizon) * depth * 0.9
        x = sun + rng.normal(0, 0.012 + 0.07 * depth)
        canvas.ellipse((x, y), rng.uniform(0.01, 0.03) * (0.4 + depth), 0.0018 + 0.003 * depth, light)


def _sail(canvas: Canvas, rng: Rng, horizon: float) -> None:
    x, y, size = rng.uniform(0.08, 0.92), horizon + rng.uniform(0.03, 0.16), rng.uniform(0.05, 0.11)
    wide = size * canvas.short / canvas.width
    white, hull = rgb("#fff8ee"), rgb("#3a2a33")
    canvas.polygon([(x, y - size * 1.5), (x, y - size * 0.12), (x + wide * 0.75, y - size * 0.12)], white)
    canvas.polygon([(x - 0.004, y - size * 1.25), (x - 0.004, y - size * 0.12), (x - wide * 0.5, y - size * 0.12)],
                   lighter(white, -0.1))  # fmt: skip
    bow, stern, deck, keel = x + wide * 0.8, x - wide * 0.7, y - size * 0.08, y + size * 0.1
    canvas.polygon([(stern, deck), (bow, deck), (x + wide * 0.5, keel), (x - wide * 0.45, keel)], hull)


def woods(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    light, far, near, ground = (rgb(code) for code in _SEASONS[number % len(_SEASONS)])
    canvas = Canvas(size)
    canvas.gradient(lighter(light, 0.25), light, mixed(light, ground, 0.5))
    canvas.glow((rng.uniform(0.3, 0.7), 0.3), 0.5, lighter(light, 0.7), 0.7)
    layers = 4
    for layer in range(layers):
        share = layer / (layers - 1)
        colour, foot = mixed(far, near, share), 0.72 + 0.08 * layer
        if layer == layers - 1:
            _floor(canvas, rng, 0.86, ground)
        for x in rng.uniform(0, 1, 9 - 2 * layer):
            _trunk(canvas, rng, (x, foot + rng.uniform(-0.02, 0.03)), 0.008 + 0.02 * share, varied(rng, colour, 8))
    _leaves(canvas, rng, mixed(near, ground, 0.75))
    return canvas


def _floor(canvas: Canvas, rng: Rng, top: float, colour: Rgb) -> None:
    across = np.linspace(0, 1, 120)
    line = top - 0.03 * ridge(rng, 120, 0.5)
    canvas.polygon([(0, 1), *zip(across, line, strict=True), (1, 1)], colour)
    for _ in range(160):
        x, y = rng.uniform(0, 1), rng.uniform(top, 1)
        canvas.line(
            [(x, y), (x + rng.uniform(-0.008, 0.008), y - 0.03)], 0.003, varied(rng, lighter(colour, -0.15), 22)
        )


def _trunk(canvas: Canvas, rng: Rng, root: Point, half: float, colour: Rgb) -> None:
    x, foot = root
    half *= canvas.short / canvas.width
    lean = rng.uniform(-0.02, 0.02)
    canvas.polygon(
        [(x - half * 1.5, foot), (x - half + lean, 0), (x + half * 0.8 + lean, 0), (x + half * 1.5, foot)], colour
    )
    for _ in range(rng.integers(1, 4)):
        y, reach = rng.uniform(0.05, foot * 0.6), rng.choice([-1, 1]) * rng.uniform(0.05, 0.12)
        canvas.line([(x + lean * 0.6, y + 0.06), (x + reach, y - 0.03)], half * 0.7, colour)


def _leaves(canvas: Canvas, rng: Rng, colour: Rgb) -> None:
    """Boughs that hang into the picture from above."""
    for _ in range(150):
        place = (rng.uniform(0, 1), abs(rng.normal(0, 0.09)))
        leaf = petal(rng.uniform(0.03, 0.06), rng.uniform(0.008, 0.016), rng.uniform(0, np.pi))
        canvas.blob(place, leaf, varied(rng, colour, 26))
