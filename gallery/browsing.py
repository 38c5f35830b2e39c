"""Walking through assets page by page, in an order that an index serves. An address holds filters, order and place."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from django.db.models import BooleanField, F, Func, Value
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan
from django.http import Http404, QueryDict
from django.utils.timezone import localtime, make_aware
from django.utils.translation import gettext_lazy as _

from gallery.filters import AssetFilter, Part
from gallery.models import PIXELS, TAKEN_OR_STORED, TITLE_LOWERED, Asset, AssetQuerySet, Viewer

#: An id, as addresses have it; what is longer is no number of the database's.
ID = r"[0-9]{1,18}"
PAGE_SIZE = 60
#: By what an address names a place: an asset to go on after, or to end before; a month to begin with.
PLACES = ("after", "before", "month")
#: What a tile shows, beside the key of its order.
_SHOWN = ("title", "filename", "format", "width", "height", "status", "error", "created", "taken")
#: Of years that the database and Python both know, with the one after.
_MONTH = re.compile(r"([12][0-9]{3})-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Order:
    """Assets by a key, and by id where that is the same. Each key has an index."""

    label: Any
    key: Any
    descending: bool = True
    #: Whether the key is a moment: pages then have headings of days, and a rail of months.
    is_dated: bool = False


ORDERS = {
    "newest": Order(_("Newest first"), F("created"), is_dated=True),
    "oldest": Order(_("Oldest first"), F("created"), descending=False, is_dated=True),
    "taken": Order(_("Taken last"), TAKEN_OR_STORED, is_dated=True),
    "taken-first": Order(_("Taken first"), TAKEN_OR_STORED, descending=False, is_dated=True),
    "title": Order(_("Title, A to Z"), TITLE_LOWERED, descending=False),
    "title-back": Order(_("Title, Z to A"), TITLE_LOWERED),
    "largest": Order(_("Largest file"), F("size_bytes")),
    "smallest": Order(_("Smallest file"), F("size_bytes"), descending=False),
    "most-pixels": Order(_("Most pixels"), PIXELS),
    "fewest-pixels": Order(_("Fewest pixels"), PIXELS, descending=False),
}
DEFAULT_ORDER = "newest"


class Place(NamedTuple):
    """Where an asset stands."""

    key: Any
    asset_id: int


@dataclass(frozen=True)
class Tile:
    """An asset, the month of its key where that is a date, and whether that is another than that of the one before."""

    asset: Asset
    month: datetime | None = None
    begins: bool = False


@dataclass(frozen=True)
class Page:
    """Some assets in their order, and the queries of the pages before and after; empty where there is none."""

    tiles: Sequence[Tile]
    earlier: str = ""
    later: str = ""

    @property
    def assets(self) -> list[Asset]:
        return [tile.asset for tile in self.tiles]


@dataclass(frozen=True)
class Browsing:
    """The assets that the filters of an address let pass, in its order."""

    chosen: AssetFilter
    order_name: str

    @classmethod
    def of(cls, query: QueryDict, viewer: Viewer) -> Self:
        """An order that there is not is the usual one."""
        chosen = AssetFilter(query, Asset.objects.readable_by(viewer))
        name = query.get("sort", DEFAULT_ORDER)
        return cls(chosen, name if name in ORDERS else DEFAULT_ORDER)

    @property
    def order(self) -> Order:
        return ORDERS[self.order_name]

    def query(self, *, without: Container[Part] = (), **place: object) -> str:
        """As addresses carry it on: without some filters, and with a place in it."""
        order = {} if self.order_name == DEFAULT_ORDER else {"sort": self.order_name}
        return "&".join(filter(None, [self.chosen.query(without=without), urlencode({**order, **place})]))

    # --- pages

    def page(self, query: QueryDict) -> Page:
        """The page that an address asks for. Raises Http404 where it names no place."""
        if before := query.get("before"):
            return self._page_before(self._place(before))
        if after := query.get("after"):
            here = self._place(after)
            return self._page_of(self._beyond(self.assets(), here), is_within=True, last=here.key)
        if month := query.get("month"):
            return self._page_of(self._from_month(self.assets(), month), is_within=True)
        return self._page_of(self.assets())

    def neighbours(self, asset: Asset) -> tuple[int | None, int | None]:
        """The ids of those before and after it."""
        here = self._place(str(asset.pk))
        before = self._ordered(self._beyond(self.assets(), here, back=True), 1, back=True)
        after = self._ordered(self._beyond(self.assets(), here), 1)
        return (before[0].pk if before else None, after[0].pk if after else None)

    def assets(self) -> AssetQuerySet:
        return self.chosen.matching()

    def _page_of(self, assets: AssetQuerySet, *, is_within: bool = False, last: Any = None) -> Page:
        """The first of some assets; within all of them, after one whose key is `last`."""
        found = self._ordered(assets, PAGE_SIZE + 1)
        shown = found[:PAGE_SIZE]
        has_earlier = is_within and bool(shown) and self._beyond(self.assets(), _place_of(shown[0]), back=True).exists()
        return self._page(shown, has_earlier=has_earlier, has_later=len(found) > PAGE_SIZE, last=last)

    def _page_before(self, here: Place) -> Page:
        found = self._ordered(self._beyond(self.assets(), here, back=True), PAGE_SIZE + 1, back=True)
        return self._page(found[:PAGE_SIZE][::-1], has_earlier=len(found) > PAGE_SIZE, has_later=True)

    def _page(self, shown: list[Any], *, has_earlier: bool, has_later: bool, last: Any = None) -> Page:
        if not shown:
            return Page([])
        earlier, later = self.query(before=shown[0].pk), self.query(after=shown[-1].pk)
        return Page(self._tiles(shown, last), earlier if has_earlier else "", later if has_later else "")

    def _tiles(self, shown: list[Any], last: Any) -> list[Tile]:
        if not self.order.is_dated:
            return [Tile(asset) for asset in shown]
        months = [_month_of(asset.key) for asset in shown]
        before = [last and _month_of(last), *months]
        return [
            Tile(asset, month, month != former) for asset, month, former in zip(shown, months, before, strict=False)
        ]

    def _ordered(self, assets: AssetQuerySet, most: int, *, back: bool = False) -> list[Any]:
        """Each with its `key`."""
        return list(self._in_order(assets, back=back).only(*_SHOWN).annotate(key=self.order.key)[:most])

    def _in_order(self, assets: AssetQuerySet, *, back: bool = False) -> AssetQuerySet:
        keys = (self.order.key, F("pk"))
        return assets.order_by(*(key.desc() if self.order.descending != back else key.asc() for key in keys))

    def _place(self, asset_id: str) -> Place:
        """Where an asset stands, wherever it is: one that was just deleted still has a place."""
        if not re.fullmatch(ID, asset_id):
            raise Http404
        found = Asset.objects.filter(pk=int(asset_id)).values_list(self.order.key, "pk").first()
        if found is None:
            raise Http404
        return Place(*found)

    def _beyond(self, assets: AssetQuerySet, here: Place, *, back: bool = False) -> AssetQuerySet:
        """Compared as rows, which Postgres looks up in the index of both keys."""
        comparison = LessThan if self.order.descending != back else GreaterThan
        return assets.filter(comparison(_row(self.order.key, F("pk")), _row(*map(Value, here))))

    def _from_month(self, assets: AssetQuerySet, month: str) -> AssetQuerySet:
        found = _MONTH.fullmatch(month)
        if not found or not self.order.is_dated:
            raise Http404
        first = make_aware(datetime(int(found[1]), int(found[2]), 1))  # noqa: DTZ001 (it is made so here)
        if not self.order.descending:
            return assets.filter(GreaterThanOrEqual(self.order.key, Value(first)))
        return assets.filter(LessThan(self.order.key, Value(_next_month(first))))


def _place_of(asset: Any) -> Place:
    return Place(asset.key, asset.pk)


def _month_of(moment: datetime) -> datetime:
    return localtime(moment).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next_month(first: datetime) -> datetime:
    return first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)


def _row(*columns: Any) -> Func:
    return Func(*columns, function="ROW", output_field=BooleanField())
