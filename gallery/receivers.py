"""Files go when their row has gone, by whatever way it was deleted."""

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from gallery.models import Asset
from gallery.uploads import remove_files


@receiver(post_delete, sender=Asset)
def remove_files_of_deleted(instance: Asset, **_: Any) -> None:
    transaction.on_commit(partial(remove_files, instance), robust=True)
