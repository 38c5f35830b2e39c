"""What is written in a picture about it: who took it with what, when and where, and what it shows.

Runs where pictures are decoded, on values from outside: everything is cut to length, and nothing of it is trusted to
be what its tag says. Imports no Django.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

from defusedxml import ElementTree
from PIL import Image, ImageFile, IptcImagePlugin
from PIL.ExifTags import GPS, IFD, Base

#: Characters. Longer is what no camera and few people write.
MOST_NAME, MOST_TITLE, MOST_CAPTION, MOST_KEYWORD = 100, 300, 2_000, 100
MOST_KEYWORDS = 50
#: Some editors keep their whole history in it.
_MOST_XMP_BYTES = 1_000_000
#: Of the first photograph.
_FIRST_YEAR = 1826
#: IPTC-NAA Information Interchange Model 4.2, chapter 6: record and number of a dataset.
_TITLE, _KEYWORDS, _CAPTION = (2, 5), (2, 25), (2, 120)
_DC = "{http://purl.org/dc/elements/1.1/}"
_LI = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"

T = TypeVar("T")


@dataclass(frozen=True)
class Metadata:
    title: str = ""
    caption: str = ""
    keywords: tuple[str, ...] = ()
    camera: str = ""
    lens: str = ""
    #: By the camera's clock; it has a zone where the camera said which.
    taken: datetime | None = None
    #: Latitude and longitude in degrees, WGS 84.
    location: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Words:
    title: str = ""
    caption: str = ""
    keywords: tuple[str, ...] = ()


def read(image: ImageFile.ImageFile) -> Metadata:
    """Of a picture that was opened. What cannot be read is left out: no picture is refused for what is said of it."""
    exif = _or(image.getexif, Image.Exif())
    details: dict[int, Any] = _or(lambda: exif.get_ifd(IFD.Exif), {})
    iptc, xmp = _or(lambda: _iptc_words(image), _Words()), _or(lambda: _xmp_words(image), _Words())
    return Metadata(
        title=xmp.title or iptc.title,  # editors of today write both, and some cut IPTC's to the lengths of 1999
        caption=xmp.caption or iptc.caption,
        keywords=xmp.keywords or iptc.keywords,
        camera=_or(lambda: _named(exif.get(Base.Make), exif.get(Base.Model)), ""),
        lens=_or(lambda: _named(details.get(Base.LensMake), details.get(Base.LensModel)), ""),
        taken=_or(lambda: _taken(details), None),
        location=_or(lambda: _location(exif.get_ifd(IFD.GPSInfo)), None),
    )


def _or(wanted: Callable[[], T], otherwise: T) -> T:
    try:
        return wanted()
    except Exception:  # what is written by strangers breaks parsers in every way
        return otherwise


def _named(maker: Any, model: Any) -> str:
    """As "Canon EOS 5D", whose maker some write before the model and some do not."""
    maker, model = _text(maker, MOST_NAME), _text(model, MOST_NAME)
    if not model:
        return ""
    is_told = not maker or maker.split()[0].lower() in model.lower()
    return model if is_told else f"{maker} {model}"[:MOST_NAME]


def _taken(details: dict[int, Any]) -> datetime | None:
    taken = datetime.strptime(_text(details[Base.DateTimeOriginal], 19), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 (see below)
    taken = taken.replace(tzinfo=_or(lambda: _zone(_text(details[Base.OffsetTimeOriginal], 6)), None))
    year = (taken.astimezone(UTC) if taken.tzinfo else taken).year
    return taken if _FIRST_YEAR <= year <= datetime.now(UTC).year + 1 else None  # clocks that are a little fast


def _zone(text: str) -> timezone:
    """Of "+02:00" (EXIF 2.32, 4.6.5 E)."""
    hours, minutes = text[1:].split(":")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if text.startswith("-") else offset)


def _location(gps: dict[int, Any]) -> tuple[float, float] | None:
    latitude = _degrees(gps[GPS.GPSLatitude], is_negative=gps[GPS.GPSLatitudeRef] == "S")
    longitude = _degrees(gps[GPS.GPSLongitude], is_negative=gps[GPS.GPSLongitudeRef] == "W")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180) or (latitude, longitude) == (0, 0):  # noqa: PLR2004 (degrees)
        return None  # 0, 0 is what a camera without reception writes
    return latitude, longitude


def _degrees(parts: Iterable[Any], *, is_negative: bool) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value):
        raise ValueError("no place")
    return round(-value if is_negative else value, 7)  # a centimetre


def _iptc_words(image: ImageFile.ImageFile) -> _Words:
    told = IptcImagePlugin.getiptcinfo(image) or {}
    return _Words(
        _text(told.get(_TITLE), MOST_TITLE), _text(told.get(_CAPTION), MOST_CAPTION), _keywords(told.get(_KEYWORDS))
    )


def _xmp_words(image: Image.Image) -> _Words:
    packet = image.info.get("xmp")
    if not packet or len(packet) > _MOST_XMP_BYTES:
        return _Words()
    root = ElementTree.fromstring(packet.strip(b"\0 \n\r\t") if isinstance(packet, bytes) else packet, forbid_dtd=True)

    def said(name: str) -> list[str]:
        return [item.text or "" for element in root.iter(_DC + name) for item in element.iter(_LI)]

    title, caption = said("title"), said("description")
    return _Words(_text(title[:1], MOST_TITLE), _text(caption[:1], MOST_CAPTION), _keywords(said("subject")))


def _keywords(values: Any) -> tuple[str, ...]:
    each = values if isinstance(values, list) else [values]
    cleaned = (_text(value, MOST_KEYWORD) for value in each[: 2 * MOST_KEYWORDS])
    return tuple(dict.fromkeys(word for word in cleaned if word))[:MOST_KEYWORDS]


def _text(value: Any, longest: int) -> str:
    """One line without control characters; also without those that turn the direction of writing."""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    written = _decoded(value)[: 4 * longest]
    words = "".join(letter if letter.isprintable() else " " for letter in written).split()
    return " ".join(words)[:longest].strip()


def _decoded(value: Any) -> str:
    """UTF-8, as nearly everybody writes in spite of the standards, else Latin-1, as which Pillow hands it on."""
    if isinstance(value, str):
        return _or(lambda: value.encode("latin-1").decode(), value)
    if isinstance(value, bytes):
        return _or(value.decode, value.decode("latin-1"))
    return ""
