"""Pictures to search with, from outside or stored, and the unit vectors they turn into."""

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Self

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.core.files import File
from django.core.files.base import ContentFile
from django.db import connection
from django.utils.translation import gettext_noop
from numpy.typing import NDArray
from PIL import Image

from gallery import sandbox
from gallery.errors import Code, Refused
from gallery.images import PREVIEW_LONG_EDGE_PX, open_rendition
from gallery.models import Asset
from gallery.storage import StorageUnavailable
from gallery.uploads import spooled
from search import batching
from search.encoders import EncoderUnavailable, ImageEncoder
from search.models import Encoder
from search.query_models import QueryPicture
from search.vectors import FloatArray

logger = logging.getLogger(__name__)

#: A region needs as many pixels either way: of fewer, an encoder sees little but how they were enlarged.
REGION_MIN_PX = 16

#: Seconds. The same picture is searched with again while its reader turns pages and changes filters.
_CACHED_S = 86_400

#: How far beyond the edge a region may reach: what is left where a browser divides pixels by pixels.
_ROUNDING = 1e-6

#: Every way to lay a picture down: as it is, after one, two and three quarter turns counterclockwise, and then what
#: a mirror beside each of these four shows.
_TURNS = (
    None,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
)

#: The smallest there is: one pixel.
_SOME_PICTURE = bytes.fromhex(
    "474946383961 0100 0100 80 00 00 808080 ffffff 2c 0000 0000 0100 0100 00 02 02 44 01 00 3b"
)


@dataclass(frozen=True)
class Region:
    """A rectangle in a picture: its upper left corner, width and height, in fractions of the upright picture's.

    Raises Refused for what is none, or reaches outside.
    """

    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        if not (_holds(self.x, self.w) and _holds(self.y, self.h)):
            raise _no_region()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `x,y,w,h`. Raises Refused."""
        try:
            x, y, w, h = map(float, text.split(","))
        except ValueError:
            raise _no_region() from None
        return cls(x, y, w, h)

    def __str__(self) -> str:
        """To a ten-thousandth, finer than a preview's pixels."""
        return ",".join(f"{number:.4f}".rstrip("0").rstrip(".") for number in (self.x, self.y, self.w, self.h))

    @property
    def outline(self) -> str:
        """As a path in an SVG that is 1 wide and 1 high."""
        return f"M{self.x:g} {self.y:g}h{self.w:g}v{self.h:g}h{-self.w:g}Z"

    def cut_from(self, image: Image.Image) -> Image.Image:
        across, down = image.size
        left, right = round(self.x * across), round((self.x + self.w) * across)
        top, bottom = round(self.y * down), round((self.y + self.h) * down)
        width, height = right - left, bottom - top
        if min(width, height) < REGION_MIN_PX:
            raise Refused(
                Code.INVALID,
                gettext_noop("The region is too small, %(width)s x %(height)s pixels; it needs %(least)s either way."),
                {"width": width, "height": height, "least": REGION_MIN_PX},
            )
        return image.crop((left, top, right, bottom))


def _holds(start: float, length: float) -> bool:
    """Whether a side from 0 to 1 holds a stretch of it; False of what is not finite."""
    return start >= -_ROUNDING and length > 0 and start + length <= 1 + _ROUNDING


def _no_region() -> Refused:
    return Refused(
        Code.INVALID,
        gettext_noop(
            "A region is four numbers x,y,w,h: its left and upper edge, width and height, as fractions of the "
            "picture's, and inside the picture."
        ),
    )


@dataclass(frozen=True)
class Picture:
    """What to search with: a file or what is stored, all of it or a region, as it is or `turned` every way as well."""

    source: File[bytes] | Asset | QueryPicture
    region: Region | None = None
    turned: bool = False

    @property
    def turns(self) -> Sequence[Image.Transpose | None]:
        return _TURNS if self.turned else _TURNS[:1]

    @cached_property
    def sha256(self) -> str:
        """Of the original's bytes. Raises Refused (too_large)."""
        if not isinstance(self.source, File):
            return self.source.sha256
        with spooled(self.source) as (_, sha256):
            return sha256


def encode(pictures: Sequence[Picture], row: Encoder) -> list[FloatArray]:
    """The unit vectors of each picture: (1, dimensions) float32, (8, dimensions) where it is `turned`.

    Those eight are of the picture as it is, after one, two and three quarter turns counterclockwise, and of the
    mirror images of these four. What is known from an earlier search is neither decoded nor encoded.
    Raises Refused, and says which where there are several pictures.
    """
    keys = [_key(picture, row, of=len(pictures)) for picture in pictures]
    known = cache.get_many(keys)
    unknown = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in known}
    if unknown:
        made = _encode(list(unknown.values()), row, of=len(pictures))
        fresh = {key: vectors.tobytes() for key, vectors in zip(unknown, made, strict=True)}
        cache.set_many(fresh, _CACHED_S)
        known |= fresh
    return [np.frombuffer(known[key], np.float32).reshape(-1, row.dimensions) for key in keys]


def warm_up() -> None:
    """Go the way of a first search ahead of it: start the decoders, load the encoder."""
    try:
        if row := Encoder.objects.active():
            _encode([Picture(ContentFile(_SOME_PICTURE, "warm-up.gif"))], row, of=1)
    except Refused as refused:
        logger.warning("Pictures cannot be searched with. %s", refused)
    finally:
        connection.close()  # the thread that warms up ends here


def _key(picture: Picture, row: Encoder, *, of: int) -> str:
    """What the vectors depend on. A stored picture and a file of the same bytes go through equal renditions."""
    with _named(picture, of=of):
        told = (picture.sha256, picture.region, picture.turned)
    made_by = (row.name, row.revision, row.dimensions, row.preprocessing)  # a cache may outlive or serve databases
    return "search.vectors." + hashlib.sha256(repr((told, made_by)).encode()).hexdigest()


def _encode(pictures: Sequence[Picture], row: Encoder, *, of: int) -> list[FloatArray]:
    encoder = _loaded(row)
    made = iter(batching.encode(encoder, partial(_prepare, pictures, encoder, of=of)))
    return [np.stack([next(made) for _ in picture.turns]) for picture in pictures]


def _loaded(row: Encoder) -> ImageEncoder:
    try:
        return row.load()
    except (EncoderUnavailable, LookupError) as error:  # the latter of one that this version does not know any more
        raise Refused(Code.ENCODER_UNAVAILABLE, str(error)) from error


def _prepare(pictures: Sequence[Picture], encoder: ImageEncoder, *, of: int) -> list[NDArray[np.uint8]]:
    """Every turn of every picture, in order. One search takes no more of the decoders than there are."""
    if len(pictures) == 1:
        return _turned(pictures[0], encoder=encoder, of=of)
    with ThreadPoolExecutor(settings.DECODE_PROCESSES) as threads:
        return [*chain.from_iterable(threads.map(partial(_turned, encoder=encoder, of=of), pictures))]


def _turned(picture: Picture, *, encoder: ImageEncoder, of: int) -> list[NDArray[np.uint8]]:
    with _named(picture, of=of):
        image = open_picture(picture, encoder.decode_side_px)
    return [encoder.prepare(image if turn is None else image.transpose(turn)) for turn in picture.turns]


def open_picture(picture: Picture, shorter_side_px: int) -> Image.Image:
    """Upright, RGB, its region alone. Raises Refused.

    Through the same rendition as a stored picture goes, so that the same bytes give the same vector.
    """
    preview, region = _preview(picture.source), picture.region
    if region is None:
        return open_rendition(preview, shorter_side_px=shorter_side_px)
    whole_px = max(shorter_side_px, REGION_MIN_PX) / min(region.w, region.h)
    return region.cut_from(open_rendition(preview, shorter_side_px=math.ceil(min(whole_px, PREVIEW_LONG_EDGE_PX))))


def _preview(source: File[bytes] | Asset | QueryPicture) -> bytes:
    if isinstance(source, File):
        with spooled(source) as (path, _):
            return sandbox.render_file_preview(path)
    try:
        with source.preview.open("rb") as stored:
            data: bytes = stored.read()
    except StorageUnavailable:
        raise
    except OSError as error:
        raise Refused(Code.NOT_SEARCHABLE, gettext_noop("The stored preview cannot be read.")) from error
    return data


@contextmanager
def _named(picture: Picture, *, of: int) -> Iterator[None]:
    """Whatever is refused names the picture, where it is one of several."""
    try:
        yield
    except Refused as refused:
        if of == 1:
            raise
        raise Refused(
            refused.code, "%(source)s: %(detail)s", {"source": picture.source, "detail": refused.detail}
        ) from None
