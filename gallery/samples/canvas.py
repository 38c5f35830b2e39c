"""What the drawn pictures are made with: a canvas of shares of its sides, smoothed when it is done."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFilter

Rgb = tuple[int, int, int]
Point = tuple[float, float]
Rng = np.random.Generator

#: Drawn so many times as large, then made smaller: edges come out smooth.
_SMOOTHING = 2


def rgb(code: str) -> Rgb:
    return ImageColor.getrgb(code)[:3]


def mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    """Of both, with that share of the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def lighter(colour: Rgb, share: float) -> Rgb:
    """Darker where the share is below 0."""
    return mixed(colour, (255, 255, 255) if share > 0 else (0, 0, 0), abs(share))


def varied(rng: Rng, colour: Rgb, by: int = 14) -> Rgb:
    red, green, blue = (int(np.clip(part + rng.integers(-by, by + 1), 0, 255)) for part in colour)
    return red, green, blue


class Canvas:
    """Places are shares of width and height, sizes shares of the shorter side."""

    def __init__(self, size: tuple[int, int], ground: Rgb = (255, 255, 255)) -> None:
        self.image = Image.new("RGB", (size[0] * _SMOOTHING, size[1] * _SMOOTHING), ground)
        self._draw = ImageDraw.Draw(self.image)
        self.width, self.height = self.image.size
        self.short = min(self.image.size)

    # --- flat -----------------------------------------------------------------------------------------------

    def polygon(self, points: Iterable[Point], fill: Rgb) -> None:
        self._draw.polygon([(x * self.width, y * self.height) for x, y in points], fill)

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Rgb) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def ellipse(self, centre: Point, rx: float, ry: float, fill: Rgb) -> None:
        x, y = centre[0] * self.width, centre[1] * self.height
        rx, ry = rx * self.short, ry * self.short
        self._draw.ellipse([x - rx, y - ry, x + rx, y + ry], fill)

    def disc(self, centre: Point, radius: float, fill: Rgb) -> None:
        self.ellipse(centre, radius, radius, fill)

    def pie(self, centre: Point, radius: float, start: float, end: float, fill: Rgb) -> None:
        """Degrees, clockwise from the right."""
        x, y, r = centre[0] * self.width, centre[1] * self.height, radius * self.short
        self._draw.pieslice([x - r, y - r, x + r, y + r], start, end, fill)

    def line(self, points: Sequence[Point], thickness: float, fill: Rgb) -> None:
        scaled = [(x * self.width, y * self.height) for x, y in points]
        self._draw.line(scaled, fill, max(1, round(thickness * self.short)), joint="curve")

    def blob(self, centre: Point, outline: NDArray[np.float64], fill: Rgb) -> None:
        """(n, 2) offsets from the centre, of the shorter side."""
        x, y = centre[0] * self.width, centre[1] * self.height
        self._draw.polygon([(x + dx * self.short, y + dy * self.short) for dx, dy in outline], fill)

    # --- soft -----------------------------------------------------------------------------------------------

    def gradient(self, *colours: Rgb, bottom: float = 1.0) -> None:
        """From the top down to a share of the height."""
        rows = round(self.height * bottom)
        stops = np.linspace(0, 1, len(colours))
        at = np.linspace(0, 1, rows)
        column = np.stack([np.interp(at, stops, [colour[n] for colour in colours]) for n in range(3)], axis=-1)
        strip = Image.fromarray(column[:, None].round().astype(np.uint8))
        self.image.paste(strip.resize((self.width, rows)), (0, 0))

    def glow(self, centre: Point, radius: float, colour: Rgb, strength: float) -> None:
        """Light that fades from the centre."""
        y, x = np.mgrid[0 : self.height : 4, 0 : self.width : 4]
        squared = ((x - centre[0] * self.width) ** 2 + (y - centre[1] * self.height) ** 2) / (radius * self.short) ** 2
        mask = Image.fromarray((255 * strength * np.exp(-squared)).astype(np.uint8)).resize(self.image.size)
        self.image.paste(colour, mask=mask)

    def ball(self, centre: Point, outline: NDArray[np.float64], colour: Rgb) -> None:
        """A rounded body with light from the upper left, in any outline about its centre."""
        reach = float(np.abs(outline).max()) * self.short
        side = int(2 * reach) + 2
        corner = (round(centre[0] * self.width - side / 2), round(centre[1] * self.height - side / 2))
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).polygon(
            [(side / 2 + dx * self.short, side / 2 + dy * self.short) for dx, dy in outline], 255
        )
        y, x = (np.mgrid[0:side, 0:side] - side / 2) / reach
        light = np.clip(1.12 - 0.85 * np.hypot(x + 0.35, y + 0.4), 0, 1)[..., None]
        dark, bright = np.array(lighter(colour, -0.5)), np.array(lighter(colour, 0.28))
        shaded = dark + (bright - dark) * light
        shine = np.exp(-(((x + 0.36) ** 2 + (y + 0.42) ** 2) / 0.02))[..., None]
        body = Image.fromarray((shaded + (255 - shaded) * 0.7 * shine).clip(0, 255).astype(np.uint8))
        self.image.paste(body, corner, mask)

    def shadow(self, centre: Point, rx: float, ry: float, strength: float) -> None:
        mask = Image.new("L", (self.width // 4, self.height // 4))
        x, y = centre[0] * mask.width, centre[1] * mask.height
        rx, ry = rx * self.short / 4, ry * self.short / 4
        ImageDraw.Draw(mask).ellipse([x - rx, y - ry, x + rx, y + ry], round(255 * strength))
        mask = mask.filter(ImageFilter.GaussianBlur(self.short / 4 * 0.02)).resize(self.image.size)
        self.image.paste((20, 14, 10), mask=mask)

    def fill(self, pixels: NDArray[np.uint8]) -> None:
        """All of it, by (height, width, 3) pixels of any number."""
        self.image.paste(Image.fromarray(pixels).resize(self.image.size, Image.Resampling.NEAREST))

    def picture(self, rng: Rng, grain: float) -> Image.Image:
        """With the grain of paper or cloth over it, in levels of brightness."""
        pixels = np.asarray(self.image.reduce(_SMOOTHING), np.int16)
        rough = rng.normal(0, grain, (*pixels.shape[:2], 1)).astype(np.int16)
        return Image.fromarray((pixels + rough).clip(0, 255).astype(np.uint8))


def ridge(rng: Rng, points: int, roughness: float) -> NDArray[np.float64]:
    """(points,) heights about 0 of a line that is rough at every scale, 1 at most."""
    at, line = np.linspace(0, 1, points), np.zeros(points)
    for octave in range(1, 7):
        knots = rng.uniform(-1, 1, 2**octave + 2)
        line += np.interp(at, np.linspace(0, 1, len(knots)), knots) * roughness**octave
    return line / max(float(np.abs(line).max()), 1e-9)


def round_outline(
    radius: float, bumps: Sequence[tuple[int, float, float]] = (), squeeze: float = 1.0
) -> NDArray[np.float64]:
    """(180, 2): a circle with waves of (how many, how high, turned by), squeezed in width."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    distance = radius * (
        1 + sum((height * np.cos(count * (angle - turn)) for count, height, turn in bumps), np.zeros(180))
    )
    return np.stack([distance * np.cos(angle) * squeeze, distance * np.sin(angle)], axis=1)


def petal(length: float, width: float, angle: float, *, pointed: float = 1.0) -> NDArray[np.float64]:
    """(60, 2): a leaf from the origin outwards."""
    along = np.linspace(0, 1, 30)
    half = width * np.sin(np.pi * along**pointed)
    outline = np.concatenate([np.stack([along * length, half], 1), np.stack([along * length, -half], 1)[::-1]])
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(outline @ turned, np.float64)
