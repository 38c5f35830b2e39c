"""The only writer of what people change of assets: titles, tags, collections and owners. What becomes of a tag on all
assets that carry it is in `tagging`; the trash has a module of its own.

Any number of assets takes the same number of statements. They are locked first, so that what is recorded as it was
before is what it was.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from gallery.history import Act
from gallery.models import Asset, AssetQuerySet, Change, Collection, Tag

#: Rows a statement; each has two parameters of the 65,535 there may be.
_USES_AT_ONCE = 20_000


@transaction.atomic
def retitle(assets: AssetQuerySet, title: str, act: Act) -> None:
    before = dict(locked(assets).exclude(title=title).values_list("pk", "title"))
    Asset.objects.among(before).update(title=title)
    act.record(Change.Kind.TITLE, {asset_id: (old, title) for asset_id, old in before.items()})


@transaction.atomic
def move(assets: AssetQuerySet, collection: Collection | None, act: Act) -> None:
    """To a collection, or out of any."""
    found = locked(assets).values_list("pk", "collection", "collection__name")
    before = {pk: _told(old, name) for pk, old, name in found if old != (collection and collection.pk)}
    Asset.objects.among(before).update(collection=collection)
    after = _told(collection.pk, collection.name) if collection else None
    act.record(Change.Kind.COLLECTION, {asset_id: (old, after) for asset_id, old in before.items()})


@transaction.atomic
def hand_over(assets: AssetQuerySet, owner: User, act: Act) -> None:
    found = locked(assets).exclude(owner=owner).values_list("pk", "owner", "owner__username")
    before = {pk: _told(old, name) for pk, old, name in found}
    Asset.objects.among(before).update(owner=owner)
    after = _told(owner.pk, owner.username)
    act.record(Change.Kind.OWNER, {asset_id: (old, after) for asset_id, old in before.items()})


def _told(key: int | None, name: str) -> dict[str, Any] | None:
    return {"id": key, "name": name} if key else None


@transaction.atomic
def retag(assets: AssetQuerySet, act: Act, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
    """Add tags, made where there are none of the name, and remove others."""
    asset_ids = list(locked(assets).values_list("pk", flat=True))
    added = _add(asset_ids, Tag.objects.named(list(add)))
    removed = _remove(asset_ids, Tag.objects.ids_named(remove).values())
    changed = {pk: (removed.get(pk, []), added.get(pk, [])) for pk in asset_ids if pk in added or pk in removed}
    act.record(Change.Kind.TAGS, changed)


def set_tags(asset: Asset, names: Iterable[str], act: Act) -> None:
    """Those and no others."""
    wanted = Tag.objects.named(list(names))
    others = asset.tags.exclude(pk__in=[tag.pk for tag in wanted]).values_list("name", flat=True)
    retag(Asset.objects.filter(pk=asset.pk), act, add=[tag.name for tag in wanted], remove=list(others))


def _add(asset_ids: list[int], tags: list[Tag]) -> dict[int, list[str]]:
    """The names that each got."""
    uses = Asset.tags.through
    there = set(uses.objects.filter(asset__in=asset_ids, tag__in=tags).values_list("asset_id", "tag_id"))
    missing = [(asset_id, tag) for asset_id in asset_ids for tag in tags if (asset_id, tag.pk) not in there]
    rows = [uses(asset_id=asset_id, tag_id=tag.pk) for asset_id, tag in missing]
    uses.objects.bulk_create(rows, batch_size=_USES_AT_ONCE, ignore_conflicts=True)
    return _by_asset((asset_id, tag.name) for asset_id, tag in missing)


def _remove(asset_ids: list[int], tag_ids: Iterable[int]) -> dict[int, list[str]]:
    """The names that each lost."""
    uses = Asset.tags.through.objects.filter(asset__in=asset_ids, tag__in=list(tag_ids))
    removed = _by_asset(uses.order_by("tag__name").values_list("asset_id", "tag__name"))
    uses.delete()
    return removed


def _by_asset(uses: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for asset_id, name in uses:
        names.setdefault(asset_id, []).append(name)
    return names


def locked(assets: AssetQuerySet) -> AssetQuerySet:
    """In one order for all, so that of two who change the same assets one waits for the other."""
    return assets.select_for_update(of=("self",), no_key=True).order_by("pk")
