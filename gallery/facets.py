"""How many assets each further filter would leave, and how many each month holds: all under the filters in force."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.core.cache import cache
from django.db.models import Count
from django.db.models.functions import TruncMonth
from django.utils.translation import get_language

from gallery.browsing import Browsing
from gallery.filters import AssetFilter
from gallery.models import WIDER, Asset, Collection

#: Seconds. Over 100,000 assets, counting takes a third of a second.
_MAX_AGE = 20
#: Values of a facet that a page has room for, the most frequent first.
_MOST_VALUES = 60
#: Filters of which one value takes the place of another.
_SINGLE = ("collection", "format", "orientation", "status")


#: The values of some assets, by filter and as an address has them, and how many have just these.
Cell = tuple[Mapping[str, str], int]


@dataclass(frozen=True)
class Value:
    """One value of a filter, and how many assets it leaves."""

    value: str
    label: str
    count: int
    is_chosen: bool


@dataclass(frozen=True)
class Facet:
    name: str
    label: str
    values: Sequence[Value]
    #: Of all assets that it divides.
    total: int
    #: Whether several can be chosen at once.
    is_multiple: bool = False

    @property
    def is_narrowing(self) -> bool:
        return any(value.is_chosen for value in self.values)

    @property
    def is_of_use(self) -> bool:
        """One value alone divides them as well, where some have none."""
        return len(self.values) > 1 or self.is_narrowing or any(value.count < self.total for value in self.values)


@dataclass(frozen=True)
class Month:
    first: datetime
    count: int
    query: str


@dataclass(frozen=True)
class Year:
    number: int
    count: int
    months: Sequence[Month]


@dataclass(frozen=True)
class Counts:
    total: int
    facets: Sequence[Facet]
    years: Sequence[Year]


def awaited(browsing: Browsing) -> dict[str, list[str]]:
    """What is asked for by facets, for a page to hold until they come."""
    return {name: asked for name, asked in browsing.chosen.asked.items() if name in (*_SINGLE, "tag")}


def of(chosen: AssetFilter) -> list[Facet]:
    """Of some filters alone; some seconds old at most."""
    if not chosen.is_valid():
        return []
    found: list[Facet] | None = cache.get(key := f"gallery.facets:{get_language()}:{chosen.query()}")
    if found is None:
        cache.set(key, found := _facets(chosen, _cells(chosen)), _MAX_AGE)
    return found


def counts(browsing: Browsing, *, is_anew: bool = False) -> Counts:
    """Some seconds old at most, or counted anew. Nothing is counted where a filter cannot be understood."""
    if not browsing.chosen.is_valid():
        return Counts(0, [], [])
    found: Counts | None = cache.get(key := f"gallery.counts:{get_language()}:{browsing.query()}")
    if found is None or is_anew:
        cache.set(key, found := _count(browsing), _MAX_AGE)
    return found


def _count(browsing: Browsing) -> Counts:
    chosen, cells = browsing.chosen, _cells(browsing.chosen)
    return Counts(_total(chosen, cells), _facets(chosen, cells), _years(browsing))


def _facets(chosen: AssetFilter, cells: Sequence[Cell]) -> list[Facet]:
    collection, *others = (_single(chosen, name, cells) for name in _SINGLE)
    return [collection, _tags(chosen, _total(chosen, cells)), *others]


def _total(chosen: AssetFilter, cells: Sequence[Cell]) -> int:
    return sum(count for _, count in _passing(cells, _asked(chosen)))


# --- filters of one value -----------------------------------------------------------------------------------


def _cells(chosen: AssetFilter) -> list[Cell]:
    """Counted once for all of _SINGLE: few formats, orientations and states make few cells of a collection."""
    signs = {sign: orientation.value for orientation, sign in Asset.SIGNS.items()}
    wide = chosen.without(_SINGLE).matching().order_by().annotate(wider=WIDER)
    counted = wide.values_list("collection", "format", "wider", "status").annotate(Count("pk"))
    return [
        (dict(zip(_SINGLE, (str(collection or ""), kind, signs[wider], status), strict=True)), count)
        for collection, kind, wider, status, count in counted
    ]


def _asked(chosen: AssetFilter) -> dict[str, str]:
    return {name: values[-1] for name, values in chosen.asked.items() if name in _SINGLE}


def _passing(cells: Iterable[Cell], asked: Mapping[str, str]) -> list[Cell]:
    return [cell for cell in cells if asked.items() <= cell[0].items()]


def _single(chosen: AssetFilter, name: str, cells: Iterable[Cell]) -> Facet:
    """What is chosen of the filter itself is left out of account: another may be chosen in its place."""
    asked = _asked(chosen)
    here = asked.pop(name, "")
    totals: Counter[str] = Counter()
    for cell, count in _passing(cells, asked):
        totals[cell[name]] += count
    total = totals.total()
    del totals[""]
    shown = dict(totals.most_common(_MOST_VALUES)) | ({here: totals[here]} if here else {})
    labels = _labels(chosen, name, shown)
    values = [Value(value, labels.get(value, value), count, value == here) for value, count in shown.items()]
    return Facet(name, str(chosen.form[name].label), values, total)


def _labels(chosen: AssetFilter, name: str, values: Iterable[str]) -> dict[str, str]:
    if name == "collection":
        found = Collection.objects.filter(pk__in=map(int, values)).values_list("pk", "name")
        return {str(pk): label for pk, label in found}
    return {str(value): str(label) for value, label in chosen.form.fields[name].choices}


# --- tags and months ----------------------------------------------------------------------------------------


def _tags(chosen: AssetFilter, total: int) -> Facet:
    uses = Asset.tags.through.objects.filter(asset__in=chosen.matching().order_by().values("pk"))
    counted = uses.values_list("tag__name").annotate(count=Count("pk")).order_by("-count", "tag__name")  # type: ignore[misc]
    found = dict(counted[:_MOST_VALUES])
    here = {name.lower(): name for name in chosen.asked.get("tag", [])}
    missing = {name: 0 for key, name in here.items() if key not in map(str.lower, found)}
    values = [Value(name, name, count, name.lower() in here) for name, count in (missing | found).items()]
    return Facet("tag", str(chosen.form["tag"].label), values, total, is_multiple=True)


def _years(browsing: Browsing) -> list[Year]:
    """Of the key of the order, in its direction; none where that is no date."""
    order = browsing.order
    if not order.is_dated:
        return []
    months = browsing.assets().order_by().annotate(month=TruncMonth(order.key)).values_list("month")
    counted = months.annotate(count=Count("pk")).order_by("-month" if order.descending else "month")
    each = [Month(first, count, browsing.query(month=f"{first:%Y-%m}")) for first, count in counted]
    years = ((number, list(of_year)) for number, of_year in groupby(each, key=lambda month: month.first.year))
    return [Year(number, sum(month.count for month in of_year), of_year) for number, of_year in years]
