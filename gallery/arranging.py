"""The order of a collection's assets. One move is one small write."""

from typing import Any

from django.db import transaction
from django.db.models import F, Q

from gallery.history import Act
from gallery.models import Asset, AssetQuerySet, Change, Collection

#: What is put first stands before every asset to come, whose place is its id with the sign turned.
_BEFORE_ALL = -float(2**40)
#: Between neighbours at an end. Halving it leaves room for some thirty moves to the same spot.
_STEP = float(2**20)


@transaction.atomic
def put_before(asset: Asset, next_one: Asset, act: Act) -> None:
    _lock(asset)
    _put(asset, _those_before(next_one).exclude(pk=asset.pk).last(), next_one, act)


@transaction.atomic
def put_after(asset: Asset, previous: Asset, act: Act) -> None:
    _lock(asset)
    _put(asset, previous, those_after(previous).exclude(pk=asset.pk).first(), act)


def move_to_start(asset: Asset, act: Act) -> None:
    first = _arranged(asset).first()
    if first and first != asset:
        put_before(asset, first, act)


def move_earlier(asset: Asset, act: Act) -> None:
    if previous := _those_before(asset).last():
        put_before(asset, previous, act)


def move_later(asset: Asset, act: Act) -> None:
    if next_one := those_after(asset).first():
        put_after(asset, next_one, act)


@transaction.atomic
def put_back(assets: AssetQuerySet, before: dict[str, Any] | None, after: dict[str, Any], act: Act) -> None:
    """Those that still have the place that a move gave them, to where they were before it."""
    stayed = assets.filter(placed_in=after["collection"], given_place=after["place"]).select_for_update(of=("self",))
    for asset in stayed:
        Asset.objects.filter(pk=asset.pk).update(
            placed_in=before and before["collection"], given_place=before and before["place"]
        )
        act.record(Change.Kind.PLACE, {asset.pk: (after, before)})


def those_after(asset: Asset) -> AssetQuerySet:
    """Those of its collection that stand after an asset, in their order."""
    place = _place_of(asset)
    return _arranged(asset).filter(Q(place__gt=place) | Q(place=place, pk__lt=asset.pk))


def _those_before(asset: Asset) -> AssetQuerySet:
    place = _place_of(asset)
    return _arranged(asset).filter(Q(place__lt=place) | Q(place=place, pk__gt=asset.pk))


def _arranged(asset: Asset) -> AssetQuerySet:
    return Asset.objects.filter(collection=asset.collection_id).arranged()


def _place_of(asset: Asset) -> float:
    return _arranged(asset).get(pk=asset.pk).place  # type: ignore[attr-defined,no-any-return]  # annotated


def _lock(asset: Asset) -> None:
    """Of those who arrange a collection at once, one waits for the other."""
    list(Collection.objects.select_for_update().filter(assets=asset.pk).values_list("pk"))


def _put(asset: Asset, previous: Asset | None, next_one: Asset | None, act: Act) -> None:
    place = _between(previous, next_one)
    if place is None and next_one:
        _make_room_before(next_one)
        place = _between(previous, next_one)
    own = Asset.objects.filter(pk=asset.pk)
    was_in, was_at = own.values_list("placed_in", "given_place").get()  # after room was made
    own.update(placed_in=F("collection"), given_place=place)
    act.record(Change.Kind.PLACE, {asset.pk: (_told(was_in, was_at), _told(asset.collection_id, place))})


def _told(collection_id: int | None, place: float | None) -> dict[str, Any] | None:
    return None if place is None else {"collection": collection_id, "place": place}


def _between(previous: Asset | None, next_one: Asset | None) -> float | None:
    """A place between neighbours; None where no number is left there."""
    if previous is None:
        return min(_BEFORE_ALL, _place_of(next_one)) - _STEP if next_one else _BEFORE_ALL
    low = _place_of(previous)
    if next_one is None:
        return low + _STEP
    high = _place_of(next_one)
    middle = low + (high - low) / 2
    return middle if low < middle < high else None


def _make_room_before(asset: Asset) -> None:
    """The one move in thirty or more, if ever, that is no small write."""
    _those_before(asset).order_by().update(placed_in=F("collection"), given_place=F("place") - _STEP)
