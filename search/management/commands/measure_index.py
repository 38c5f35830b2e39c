from typing import Any

from django.core.management.base import BaseCommand, CommandError

from search import index
from search.index import BuildFailed
from search.models import Encoder, Measurement


class Command(BaseCommand):
    help = "Measure the serving index against exact search, over sampled stored vectors and recent queries."

    def handle(self, *args: Any, **options: Any) -> None:
        row = Encoder.objects.active()
        if row is None:
            raise CommandError("No encoder serves yet. Run manage.py prepare.")
        try:
            build = index.measure(row)
        except BuildFailed as error:
            raise CommandError(str(error)) from None
        if build is None:
            raise CommandError("No index serves: every search compares every vector, and misses nothing.")
        if build.last_check:
            self.stdout.write(_told(build.last_check))


def _told(taken: Measurement) -> str:
    recalls = {"stored": taken.recall, "recent": taken.recall_recent, "filtered": taken.recall_filtered}
    told = ", ".join(f"{name} {recall:.3f}" for name, recall in recalls.items() if recall is not None)
    return f"{taken.kind} over {taken.rows} embeddings: recall@10 {told}; {taken.p50_ms:.2f} ms"
