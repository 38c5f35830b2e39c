"""What search does when gallery has stored an asset, when a connection is made and when a worker starts."""

import logging
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.backends.signals import connection_created
from django.db.utils import Error
from django.dispatch import receiver
from django_q.signals import post_spawn

from gallery.signals import asset_stored, assets_leaving, assets_returning, bulk_finished
from search import shelf, tasks, wire

logger = logging.getLogger(__name__)

#: Seconds. One task embeds all that is pending, so an import needs no more than one in so long.
_BULK_EVERY_S = 5
#: A connection's. An index in groups takes one for each group and number of hits.
_PLANS_KEPT = 500


@receiver(connection_created)
def make_ready(connection: Any, **_: Any) -> None:
    """To take vectors as they are, and one plan for all of them: to plan a search takes about as long as to search."""
    if connection.vendor != "postgresql":
        return
    connection.connection.adapters.register_dumper(wire.Wire, wire.WireDumper)
    if settings.PREPARED_STATEMENTS:
        connection.connection.prepared_max = _PLANS_KEPT
        with connection.cursor() as cursor:
            cursor.execute("SET plan_cache_mode = force_generic_plan")


@receiver(asset_stored)
def queue_embedding(asset_id: int, *, in_bulk: bool, **_: Any) -> None:
    if not in_bulk:
        tasks.queue_asset(asset_id)
    elif cache.add("search.bulk_embedding_queued", True, _BULK_EVERY_S):  # noqa: FBT003 (a cache's value)
        tasks.queue_pending()


@receiver(bulk_finished)
def queue_what_is_left(**_: Any) -> None:
    tasks.queue_pending()


@receiver(assets_leaving)
def take_vectors_out(asset_ids: list[int], **_: Any) -> None:
    shelf.take_out(asset_ids)


@receiver(assets_returning)
def put_vectors_back(asset_ids: list[int], **_: Any) -> None:
    shelf.put_back(asset_ids)
    transaction.on_commit(tasks.queue_pending, robust=True)  # those that had none yet


@receiver(post_spawn)
def go_on(**_: Any) -> None:
    """In the place of a worker that may have died over a picture: the others need not wait for a sweep."""
    try:
        tasks.queue_pending()
    except Error:  # there is no database, and the worker waits for one; a sweep comes later
        logger.warning("What is pending waits for the next sweep", exc_info=True)
