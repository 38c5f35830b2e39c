"""What a search is by, as addresses have it: a picture, a region of it, and others that hits are to be like or unlike.

A picture goes by its key: an asset by its number, a query picture by its id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from gallery.errors import Code, Refused
from gallery.models import Asset, Viewer
from search.pictures import Picture, Region
from search.query import Part
from search.query_models import QueryPicture

#: All that addresses carry of what a search is by.
NAMES = ("asset", "query", "crop", "plus", "minus")
#: Pictures of one search, as the API takes them.
MOST_PICTURES = 20
#: What leads away counts half as much as what leads there: a search is for something, not against something.
PLUS, MINUS = 1.0, -0.5


@dataclass(frozen=True)
class Asked:
    first: str = ""
    crop: str = ""
    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.first)

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.first, *self.plus, *self.minus) if self else ()

    def more_like(self, key: str) -> Self:
        """By that one as well; by it alone, where there was none."""
        if key == self.first:
            return self
        rest = self.without(key)
        return replace(rest, plus=(*rest.plus, key)) if rest else replace(rest, first=key)

    def less_like(self, key: str) -> Self:
        rest = self.without(key)
        return replace(rest, minus=(*rest.minus, key)) if rest else self

    def without(self, key: str) -> Self:
        """Where it came first, the next takes its place; nothing is left where no other leads anywhere."""
        if key == self.first:
            first, *others = self.plus or ("",)
            return replace(self, first=first, crop="", plus=tuple(others)) if first else type(self)()
        plus, minus = ((other for other in several if other != key) for several in (self.plus, self.minus))
        return replace(self, plus=tuple(plus), minus=tuple(minus))

    def whole(self) -> Self:
        return replace(self, crop="")

    def query(self) -> str:
        if not self:
            return ""
        first = {"asset" if self.first.isdecimal() else "query": self.first}
        crop = {"crop": self.crop} if self.crop else {}
        return urlencode({**first, **crop, "plus": self.plus, "minus": self.minus}, doseq=True, safe=",")


def picture_url(key: str, rendition: str) -> str:
    """Of a query picture there is the preview alone."""
    if key.isdecimal():
        return reverse(f"gallery:{rendition}", args=[int(key)])
    return reverse("search:query_picture", args=[key])


@dataclass(frozen=True)
class Tile:
    """One picture of a search, as its page shows it."""

    key: str
    source: Asset | QueryPicture
    weight: float
    region: Region | None = None

    @property
    def asset(self) -> Asset | None:
        return self.source if isinstance(self.source, Asset) else None

    @property
    def leads_away(self) -> bool:
        return self.weight < 0

    @property
    def preview_url(self) -> str:
        return picture_url(self.key, "preview")

    @property
    def thumbnail_url(self) -> str:
        return picture_url(self.key, "thumbnail")

    def part(self, *, turned: bool) -> Part:
        return Part(Picture(self.source, self.region, turned), self.weight)


def tiles(asked: Asked, viewer: Viewer) -> list[Tile]:
    """The pictures of a search, the first first. Raises Refused where one is not there, or not any more."""
    if not asked:
        return []
    if len(asked.keys) > MOST_PICTURES:
        told = _("A search is by %(most)d pictures at most.") % {"most": MOST_PICTURES}
        raise Refused(Code.INVALID, told)
    found: dict[str, Asset | QueryPicture] = {**_assets(asked.keys, viewer), **_query_pictures(asked.keys)}
    if missing := [key for key in asked.keys if key not in found]:
        raise Refused(Code.NOT_FOUND, _gone(missing[0]))
    region = Region.parse(asked.crop) if asked.crop else None
    first = Tile(asked.first, found[asked.first], PLUS, region)
    return [first, *_weighed(asked.plus, found, PLUS), *_weighed(asked.minus, found, MINUS)]


def _assets(keys: Iterable[str], viewer: Viewer) -> dict[str, Asset]:
    ids = [int(key) for key in keys if key.isdecimal()]
    if not ids:
        return {}
    return {str(asset.pk): asset for asset in Asset.objects.visible_to(viewer).filter(pk__in=ids)}


def _query_pictures(keys: Iterable[str]) -> dict[str, QueryPicture]:
    wanted = [key for key in keys if not key.isdecimal()]
    return dict(QueryPicture.objects.alive().in_bulk(wanted)) if wanted else {}


def _weighed(keys: Sequence[str], found: Mapping[str, Asset | QueryPicture], weight: float) -> list[Tile]:
    return [Tile(key, found[key], weight) for key in keys]


def _gone(key: str) -> str:
    if key.isdecimal():
        return _("An asset of this search is not there any more. Take it out of the search, or begin anew.")
    return _("A picture of this search was kept for a day, and is gone. Search with it again.")
