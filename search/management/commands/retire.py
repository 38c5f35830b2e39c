from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat
from tqdm import tqdm

from search import switching
from search.models import Encoder
from search.switching import CannotSwitch, Standing


class Command(BaseCommand):
    help = (
        "Delete all that an encoder made, its index and itself; not the one that serves. Interrupted, the workers go "
        "on, or it does when run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("encoder", help="Its name, or its number; see manage.py encoders.")
        parser.add_argument(
            "--noinput", "--no-input", action="store_false", dest="interactive", help="Do not ask for confirmation."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            row = switching.find(options["encoder"])
            standing = switching.retirable(row)
            if options["interactive"]:
                self._ask(standing)
            self._retire(row, standing.row.embedded_count)
        except CannotSwitch as error:
            raise CommandError(str(error)) from None

    def _ask(self, standing: Standing) -> None:
        self.stdout.write(
            f"This deletes {standing.row.embedded_count:,} embeddings by {standing.row}, "
            f"about {filesizeformat(standing.size_bytes)}, and its index. "
            "To have them again, every picture is embedded anew."
        )
        if input("Type 'yes' to go on: ") != "yes":
            raise CommandError("Nothing was deleted.")

    def _retire(self, row: Encoder, embeddings: int) -> None:
        try:
            with tqdm(total=embeddings, unit="embedding", desc=row.name, disable=None) as bar:
                switching.retire(row, progress=bar.update)
        except KeyboardInterrupt:
            self.stderr.write("\nStopped. The workers go on with it, or this command does when run again.")
            raise SystemExit(130) from None
        self.stdout.write(self.style.SUCCESS(f"{row} is retired. Postgres uses its space for what comes."))
