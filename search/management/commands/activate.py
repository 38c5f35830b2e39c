from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from search import switching, tasks
from search.index import BuildFailed
from search.models import Encoder
from search.switching import CannotSwitch


class Command(BaseCommand):
    help = (
        "Let an encoder serve searches, in one transaction. The one that served keeps its vectors and its index, and "
        "what is uploaded gets vectors by both, so that activating it again goes back at once and loses nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("encoder", help="Its name, or its number; see manage.py encoders.")
        parser.add_argument("--build-index", action="store_true", help="Build its index first if it needs one.")

    def handle(self, *args: Any, **options: Any) -> None:
        before = Encoder.objects.active()
        try:
            row = switching.find(options["encoder"])
            if row == before:
                self.stdout.write(f"{row} serves searches already.")
                return
            if options["build_index"]:
                switching.make_ready(row)
            switching.activate(row)
        except CannotSwitch as error:
            raise CommandError(str(error)) from None
        except BuildFailed as error:
            without = f"manage.py activate {switching.called(row)}"
            raise CommandError(f"{error} To let {row} serve without: {without}") from None
        self._say(row, before)

    def _say(self, row: Encoder, before: Encoder | None) -> None:
        tasks.queue_pending()  # what was uploaded meanwhile may have vectors by the other alone
        self.stdout.write(self.style.SUCCESS(f"{row} serves searches now."))
        if switching.standing(row).needs_index:
            self.stdout.write("It has no index yet: searches compare every vector until there is one.")
        if before:
            called = switching.called(before)
            self.stdout.write(
                f"The vectors by {before} are kept. To go back: manage.py activate {called}; "
                f"to free their space: manage.py retire {called}"
            )
