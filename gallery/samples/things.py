"""Drawn towns and things: skylines, facades, flowers and fruit."""

import numpy as np

from gallery.samples.canvas import Canvas, Rgb, Rng, lighter, mixed, petal, rgb, round_outline, varied

_NIGHTS = [
    ("#0b1026", "#1d2a55", "#4a3f78", "#2a3566", "#0a0e20"),
    ("#0d0f22", "#262550", "#6b4470", "#33305f", "#0b0b1c"),
    ("#08131f", "#143047", "#2f5a6e", "#1f4058", "#07101a"),
]
_LAMPS = [rgb(code) for code in ("#ffd98a", "#ffc65c", "#fff0c2", "#ffb347")]
_PLASTERS = [
    rgb(code) for code in ("#d9694f", "#e3a54a", "#c9c3b0", "#a85647", "#e6c98f", "#7f9a9e", "#d88a6a", "#b8b08a")
]
_PETALS = [rgb(code) for code in ("#e2588b", "#f07fa8", "#c0499a", "#f4a3b8", "#d94468", "#e889c0")]
_HEARTS = [rgb(code) for code in ("#f6c945", "#f2b134", "#8a5a2b")]
_TABLES = [("#5a4436", "#9a6a48"), ("#4d4640", "#8f6648"), ("#654a3c", "#a8744c")]


def skylines(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    top, middle, low, far, near = (rgb(code) for code in _NIGHTS[number % len(_NIGHTS)])
    canvas = Canvas(size)
    canvas.gradient(top, middle, low)
    canvas.glow((0.5, 0.95), 0.6, rgb("#f0a35c"), 0.35)
    for place in rng.uniform(0, [1, 0.4], (70, 2)):
        canvas.disc((place[0], place[1]), rng.uniform(0.0008, 0.0022), rgb("#dfe6ff"))
    canvas.disc((rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.2)), 0.045, rgb("#f6f1dc"))
    for colour, tallest, lit in ((far, 0.62, 0.12), (mixed(far, near, 0.55), 0.5, 0.3), (near, 0.36, 0.42)):
        _street(canvas, rng, colour, tallest, lit)
    return canvas


def _street(canvas: Canvas, rng: Rng, colour: Rgb, tallest: float, lit: float) -> None:
    x = -0.02
    while x < 1:
        width = rng.uniform(0.05, 0.12)
        roof = 1 - tallest * rng.uniform(0.5, 1)
        canvas.rectangle(x, roof, x + width, 1, varied(rng, colour, 5))
        if rng.random() < 0.3:
            middle = x + width / 2
            canvas.polygon([(middle - 0.004, roof), (middle, roof - 0.07), (middle + 0.004, roof)], colour)
        _windows(canvas, rng, (x, roof, x + width), lit)
        x += width + rng.uniform(0, 0.012)


def _windows(canvas: Canvas, rng: Rng, walls: tuple[float, float, float], lit: float) -> None:
    left, roof, right = walls
    pane, floor = 0.0075, 0.022
    for y in np.arange(roof + 0.02, 0.99, floor):
        for x in np.arange(left + 0.008, right - pane - 0.004, pane * 1.8):
            if rng.random() < lit:
                canvas.rectangle(x, y, x + pane, y + floor * 0.5, _LAMPS[rng.integers(len(_LAMPS))])


def houses(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    canvas = Canvas(size)
    canvas.gradient(rgb("#bcd7ea"), rgb("#e8f1f5"), bottom=0.8)
    for _ in range(4):
        _cloud(canvas, rng)
    count = int(rng.integers(4, 7))
    edges = np.linspace(0, 1, count + 1) + np.pad(rng.uniform(-0.02, 0.02, count - 1), 1)
    order = rng.permutation(len(_PLASTERS))
    for n in range(count):
        _facade(canvas, rng, edges[n], edges[n + 1], varied(rng, _PLASTERS[order[n]], 8))
    canvas.rectangle(0, 0.9, 1, 1, rgb("#8d8a84"))
    canvas.rectangle(0, 0.9, 1, 0.915, rgb("#b9b5ac"))
    return canvas


def _cloud(canvas: Canvas, rng: Rng) -> None:
    x, y = rng.uniform(0, 1), rng.uniform(0.03, 0.2)
    for _ in range(5):
        canvas.ellipse((x + rng.uniform(-0.06, 0.06), y + rng.uniform(-0.012, 0.012)), 0.06, 0.025, rgb("#f7fbfd"))


def _facade(canvas: Canvas, rng: Rng, left: float, right: float, colour: Rgb) -> None:
    eaves, wide = rng.uniform(0.3, 0.44), right - left
    middle, trim, glass = (left + right) / 2, rgb("#f5efe2"), rgb("#3b4f5e")
    canvas.rectangle(left, eaves, right, 0.9, colour)
    roof = rgb(("#6e3f38", "#5b4a4a", "#7a4a3a")[rng.integers(3)])
    if rng.random() < 0.6:
        canvas.polygon([(left, eaves), (middle, eaves - rng.uniform(0.1, 0.17)), (right, eaves)], roof)
    else:
        step = wide / 6
        for n in range(3):
            canvas.rectangle(left + n * step, eaves - 0.045 * (n + 1), right - n * step, eaves, lighter(colour, -0.06))
    canvas.rectangle(left, eaves, right, eaves + 0.012, trim)
    columns, rows = 2 if wide < 0.2 else 3, 3
    for row in range(rows):
        y = eaves + 0.05 + row * (0.78 - eaves) / rows
        for column in range(columns):
            x = left + wide * (column + 0.5) / columns
            half, tall = wide / columns * 0.24, 0.085
            canvas.rectangle(x - half - 0.005, y - 0.007, x + half + 0.005, y + tall + 0.007, trim)
            canvas.rectangle(x - half, y, x + half, y + tall, glass)
            canvas.rectangle(x - 0.002, y, x + 0.002, y + tall, trim)
            canvas.rectangle(x - half, y + tall * 0.45, x + half, y + tall * 0.49, trim)
    door = left + wide * (0.3 if columns == 2 else 0.5)
    canvas.rectangle(
        door - wide * 0.1, 0.775, door + wide * 0.1, 0.9, rgb(("#2f5d50", "#31465f", "#6d2f2f")[rng.integers(3)])
    )


def flowers(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    ground = varied(rng, rgb(("#f3eee0", "#eef1e4", "#f4e9e2")[number % 3]), 5)
    canvas = Canvas(size, ground)
    canvas.glow((0.4, 0.35), 0.7, lighter(ground, 0.6), 0.8)
    colour = _PETALS[number % len(_PETALS)]
    blooms = [((0.5 + rng.uniform(-0.08, 0.08), 0.42), rng.uniform(0.27, 0.33))]
    if number % 2:
        blooms = [((0.32, 0.5), 0.21), ((0.68, 0.33), 0.24)]
    for centre, radius in blooms:
        _stem(canvas, rng, centre)
        _bloom(canvas, rng, centre, radius, varied(rng, colour, 10))
    return canvas


def _stem(canvas: Canvas, rng: Rng, centre: tuple[float, float]) -> None:
    green, foot = varied(rng, rgb("#5d8a4a")), 0.5 + (centre[0] - 0.5) * 0.4
    canvas.line([(centre[0], centre[1]), ((centre[0] * 2 + foot) / 3, 0.7), (foot, 1.02)], 0.016, green)
    for side in (1, -1):
        leaf = petal(rng.uniform(0.16, 0.24), 0.035, -np.pi / 2 + side * rng.uniform(0.7, 1.1))
        canvas.blob((foot + (centre[0] - foot) * 0.3, 0.88), leaf, varied(rng, lighter(green, 0.08 * side), 8))


def _bloom(canvas: Canvas, rng: Rng, centre: tuple[float, float], radius: float, colour: Rgb) -> None:
    count, turn = int(rng.integers(7, 13)), rng.uniform(0, 1)
    for ring, (reach, shade) in enumerate(((1.0, -0.12), (0.82, 0.05), (0.56, 0.2))):
        for n in range(count):
            angle = 2 * np.pi * (n + 0.5 * ring + turn) / count
            leaf = petal(radius * reach, radius * reach * 1.5 / count + 0.01, angle, pointed=1.5)
            canvas.blob(centre, leaf, varied(rng, lighter(colour, shade), 7))
    heart = _HEARTS[rng.integers(len(_HEARTS))]
    canvas.disc(centre, radius * 0.2, heart)
    for _ in range(40):
        angle, far = rng.uniform(0, 2 * np.pi), radius * 0.2 * rng.uniform(0, 1) ** 0.5
        dot = (
            centre[0] + far * np.cos(angle) * canvas.short / canvas.width,
            centre[1] + far * np.sin(angle) * canvas.short / canvas.height,
        )
        canvas.disc(dot, radius * 0.022, lighter(heart, rng.uniform(-0.35, 0.3)))


def fruit(rng: Rng, size: tuple[int, int], number: int) -> Canvas:
    wall, table = (rgb(code) for code in _TABLES[number % len(_TABLES)])
    canvas = Canvas(size)
    canvas.gradient(lighter(wall, -0.25), wall, lighter(wall, 0.1))
    canvas.glow((0.3, 0.25), 0.6, lighter(wall, 0.3), 0.5)
    canvas.rectangle(0, 0.66, 1, 1, table)
    for y in np.linspace(0.68, 0.98, 6):
        canvas.rectangle(0, y, 1, y + 0.003, lighter(table, -0.12))
    kinds = [_orange, _apple, _pear, _lemon]
    lead = kinds[number % len(kinds)]
    places = sorted(zip(np.linspace(0.2, 0.8, 4) + rng.uniform(-0.04, 0.04, 4), rng.uniform(0.6, 0.74, 4), strict=True),
                    key=lambda place: place[1])  # fmt: skip
    for n, (x, y) in enumerate(places):
        drawn = lead if n % 2 else kinds[rng.integers(len(kinds))]
        canvas.shadow((x + 0.03, y + 0.13 * canvas.short / canvas.height), 0.15, 0.035, 0.6)
        drawn(canvas, rng, (x, y))
    return canvas


def _orange(canvas: Canvas, rng: Rng, centre: tuple[float, float]) -> None:
    canvas.ball(centre, round_outline(rng.uniform(0.125, 0.145)), varied(rng, rgb("#ee8420")))


def _apple(canvas: Canvas, rng: Rng, centre: tuple[float, float]) -> None:
    colour = rgb(("#c22f2b", "#cf4a30", "#b8282f")[rng.integers(3)])
    body = round_outline(rng.uniform(0.13, 0.145), [(2, 0.03, 0), (5, 0.012, np.pi / 2)])
    canvas.ball(centre, body, varied(rng, colour))
    x, top = centre[0], centre[1] - 0.125 * canvas.short / canvas.height
    canvas.line([(x, top + 0.015), (x + 0.012, top - 0.045)], 0.009, rgb("#4a3423"))
    canvas.blob((x + 0.01, top - 0.02), petal(0.07, 0.016, rng.uniform(-0.6, -0.1)), rgb("#6f9440"))


def _pear(canvas: Canvas, rng: Rng, centre: tuple[float, float]) -> None:
    outline = round_outline(0.13, [(1, 0.13, np.pi / 2), (3, 0.07, np.pi / 2)], squeeze=0.88)
    outline[:, 1] = np.where(outline[:, 1] < 0, outline[:, 1] * 1.5, outline[:, 1])
    canvas.ball(centre, outline, varied(rng, rgb("#b8b440")))
    x, top = centre[0], centre[1] - 0.155 * canvas.short / canvas.height
    canvas.line([(x, top), (x + 0.014, top - 0.05)], 0.009, rgb("#4a3423"))


def _lemon(canvas: Canvas, rng: Rng, centre: tuple[float, float]) -> None:
    outline = round_outline(0.11, [(2, 0.12, 0), (4, 0.03, 0)])
    canvas.ball((centre[0], centre[1] + 0.02), outline, varied(rng, rgb("#ecc930")))
