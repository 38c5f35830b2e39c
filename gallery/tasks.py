"""What workers are called for: ids in, one call, nothing else."""

from functools import partial

from django.db import transaction
from django_q.tasks import async_task

from gallery import trash
from gallery.import_models import Import
from gallery.ingest import background


def queue_import(row: Import) -> None:
    """After the commit, and whatever becomes of the queue: a sweep takes up what it lost."""
    task = partial(async_task, "gallery.tasks.run_import", row.pk, row.turn, cluster="bulk")
    transaction.on_commit(task, robust=True)


def run_import(import_id: int, turn: int) -> None:
    """Bulk queue: a slice. The turn keeps a task that was queued twice from running twice."""
    if left := background.work(import_id, turn):
        queue_import(left)


def sweep_imports() -> None:
    """Every minute: take up imports whose worker died, or whose task was lost; forget what is not needed any more."""
    for row in Import.objects.idle().defer("sources"):
        queue_import(row)
    background.forget_ended()


def queue_sweep_of_trash() -> None:
    transaction.on_commit(partial(async_task, "gallery.tasks.sweep_trash", cluster="bulk"), robust=True)


def sweep_trash() -> None:
    """Every minute, and when someone emptied it."""
    trash.sweep()
