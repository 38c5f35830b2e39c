from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from search import index
from search.index import BuildFailed
from search.models import Encoder


class Command(BaseCommand):
    help = "Build the index of the encoder that serves, measure it, and let it take over. Searches go on meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--lists", type=int, help="Lists of the ivfflat index; by default fit to the rows.")

    def handle(self, *args: Any, **options: Any) -> None:
        row = Encoder.objects.active()
        if row is None:
            raise CommandError("No encoder serves yet. Run manage.py prepare.")
        try:
            built = index.build(row, lists=options["lists"])
        except BuildFailed as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{built.kind} over {built.rows} embeddings: {built.lists} lists, {built.probes} probes, "
            f"recall@10 {built.recall:.3f}"
        )
