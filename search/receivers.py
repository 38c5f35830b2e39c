"""What search does when gallery has stored an asset."""

from typing import Any

from django.core.cache import cache
from django.dispatch import receiver

from gallery.signals import asset_stored, bulk_finished
from search import tasks

#: Seconds. One task embeds all that is pending, so an import needs no more than one in so long.
_BULK_EVERY_S = 5


@receiver(asset_stored)
def queue_embedding(asset_id: int, *, in_bulk: bool, **_: Any) -> None:
    if not in_bulk:
        tasks.queue_asset(asset_id)
    elif cache.add("search.bulk_embedding_queued", True, _BULK_EVERY_S):  # noqa: FBT003 (a cache's value)
        tasks.queue_pending()


@receiver(bulk_finished)
def queue_what_is_left(**_: Any) -> None:
    tasks.queue_pending()
