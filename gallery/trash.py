"""The trash: where deleted assets wait, out of everyone's sight, until they are restored or their time is up."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from gallery.history import Act
from gallery.models import Asset, AssetQuerySet, Change
from gallery.signals import assets_leaving, assets_returning

logger = logging.getLogger(__name__)

#: Deleted for good by one transaction: each takes files along, one by one.
_AT_ONCE = 100


@transaction.atomic
def move_to_trash(assets: AssetQuerySet, act: Act) -> None:
    """Those that are not there yet."""
    asset_ids = list(assets.kept().order_by("pk").values_list("pk", flat=True))
    if asset_ids:
        assets_leaving.send(Asset, asset_ids=asset_ids)
        until = Now() + timedelta(days=settings.TRASH_DAYS)
        there = Asset.objects.among(asset_ids)
        there.update(trashed=Now(), trashed_by=act.user, delete_after=until)
        act.record(Change.Kind.TRASHED, dict.fromkeys(asset_ids, (None, None)))


@transaction.atomic
def restore(assets: AssetQuerySet, act: Act) -> None:
    """Those that are in the trash."""
    asset_ids = list(assets.filter(trashed__isnull=False).order_by("pk").values_list("pk", flat=True))
    if asset_ids:
        assets_returning.send(Asset, asset_ids=asset_ids)
        there = Asset.objects.among(asset_ids)
        there.update(trashed=None, trashed_by=None, delete_after=None)
        act.record(Change.Kind.RESTORED, dict.fromkeys(asset_ids, (None, None)))


def doom(assets: AssetQuerySet) -> int:
    """Give up what lies in the trash: out of it at once, and deleted for good by the next sweep; how many."""
    return assets.filter(trashed__isnull=False).update(delete_after=Now())


def sweep() -> None:
    """Delete for good whatever is doomed, until nothing is."""
    while deleted := _delete_some():
        logger.info("%s assets of the trash were deleted for good", deleted)


@transaction.atomic
def _delete_some() -> int:
    """Locked before they are deleted: one that is restored at this moment is left alone."""
    locked = Asset.objects.select_for_update(of=("self",), skip_locked=True).doomed()
    doomed = list(locked.order_by("pk").values_list("pk", flat=True)[:_AT_ONCE])
    Asset.objects.filter(pk__in=doomed).delete()
    return len(doomed)
