import signal
from argparse import ArgumentParser
from pathlib import Path
from time import sleep
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.db import InterfaceError, OperationalError, close_old_connections

from gallery.ingest.bulk import Outcome, Report, printable
from gallery.ingest.folder import import_files
from gallery.ingest.watch import Watched
from gallery.management.commands._importing import ImportCommand
from gallery.uploads import Details

#: Seconds between looks. A file that does not change for so long is taken for complete; if it was not, and was refused,
#: it is tried again when it changes.
_LOOK_SECONDS = 2


class Command(ImportCommand):
    help = (
        "Import every picture that is put into a folder or one below it, once it is complete, until interrupted. What "
        "came while this did not run is imported at the start. Files are left where they are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        self.add_detail_arguments(parser)

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        owner, details = self.owner_and_details(options)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as service managers interrupt
        self.stdout.write(f"Watching {folder}. Ctrl-C ends it.")
        watched, report = Watched(folder), Report[Path]()
        try:
            while True:
                self._look(watched, report, owner, details)
                sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            self.tell_tally(report, "and no longer watching")

    def _look(self, watched: Watched, report: Report[Path], owner: User, details: Details) -> None:
        close_old_connections()  # days may lie between two pictures
        complete = watched.look()
        if not complete:
            return
        try:
            for outcome in import_files(complete, owner, details):
                if outcome.may_pass:
                    self._tell_put_off(outcome, watched.put_off(outcome.source))
                    continue
                watched.take(outcome.source)
                report.add(outcome)
                self._tell(outcome)
        except (OperationalError, InterfaceError) as error:
            self.stderr.write(f"The database does not answer; this is tried again. {error}")

    def _tell_put_off(self, outcome: Outcome[Path], seconds: int) -> None:
        self.stdout.write(
            f"put off  {printable(str(outcome.source))}: {outcome.refused} It is tried again in {seconds} s."
        )

    def _tell(self, outcome: Outcome[Path]) -> None:
        if outcome.refused:
            self.tell_refused(outcome)
        elif outcome.stored:
            self.stdout.write(f"stored  {printable(str(outcome.source))}")
