"""The pictures of the sample gallery: drawn here, the same ones each time, in families that search can tell apart."""

import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from django.contrib.auth.models import User
from django.core.files import File
from django.core.files.uploadedfile import SimpleUploadedFile

from gallery.ingest.bulk import Intake, Outcome
from gallery.samples import outdoors, patterns, things
from gallery.samples.canvas import Canvas, Rng
from gallery.uploads import Details

#: Of each family.
_PICTURES = 12
_SIZES = [(800, 600), (800, 600), (600, 800), (800, 534), (700, 700)]
_QUALITY = 90
COLLECTION = "Sample gallery"
#: The source of a drawn picture begins so, by which it is known again.
SOURCE = "sample:"


@dataclass(frozen=True)
class Family:
    draw: Callable[[Rng, tuple[int, int], int], Canvas]
    title: str
    tags: tuple[str, ...]
    #: Of its paper or cloth, in levels of brightness.
    grain: float = 2


FAMILIES = {
    "mountains": Family(outdoors.mountains, "Mountains", ("landscape", "mountains")),
    "seas": Family(outdoors.seas, "Evening at sea", ("landscape", "sea")),
    "woods": Family(outdoors.woods, "In the woods", ("landscape", "woods")),
    "skylines": Family(things.skylines, "Skyline by night", ("town", "night")),
    "houses": Family(things.houses, "Old houses", ("town", "houses")),
    "flowers": Family(things.flowers, "Flower", ("flowers",)),
    "fruit": Family(things.fruit, "Still life with fruit", ("still life", "fruit")),
    "plaids": Family(patterns.plaids, "Tartan", ("pattern", "fabric"), 7),
    "dots": Family(patterns.dots, "Polka dots", ("pattern", "dots"), 5),
    "shapes": Family(patterns.shapes, "Composition", ("pattern", "shapes"), 4),
}


def names() -> list[str]:
    """family/number, by turns, so that the first few show them all."""
    return [f"{family}/{number}" for number in range(1, _PICTURES + 1) for family in FAMILIES]


def drawn(name: str) -> bytes:
    """A JPEG file. The same name gives the same picture."""
    key, number = name.split("/")
    family = FAMILIES[key]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    size = _SIZES[int(rng.integers(len(_SIZES)))]
    written = io.BytesIO()
    canvas = family.draw(rng, size, int(number))
    canvas.picture(rng, family.grain).save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()


def import_drawn(wanted: Iterable[str], owner: User, details: Details) -> Iterator[Outcome[str]]:
    def details_of(name: str) -> Details:
        family, number = name.split("/")
        about = FAMILIES[family]
        return Details(f"{about.title} {number}", details.collection, [*details.tags, *about.tags], SOURCE + name)

    return Intake(_opened, owner, details_of).store_all(wanted)


@contextmanager
def _opened(name: str) -> Iterator[File[bytes]]:
    yield SimpleUploadedFile(f"{name.replace('/', '-')}.jpg", drawn(name), "image/jpeg")
