import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from assetsearch.backups import restoring
from assetsearch.backups.manifest import BackupError

#: Exit statuses: some files are lost; and what shells give for Ctrl-C.
_FAULTS, _INTERRUPTED = 3, 130


class Command(BaseCommand):
    help = (
        "Bring the gallery back from a backup, once all of that has been checked. AssetSearch must not be running. "
        "Exit status: 0 if all is well, 1 if nothing was restored or the database did not say whether, 3 if all was "
        "but files that the backup lacks, 130 if interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR", help="As manage.py backup made it.")
        parser.add_argument("--replace", action="store_true", help="Delete what is in this gallery.")
        parser.add_argument(
            "--leave-out-damaged", action="store_true", help="Restore without the pictures that the backup has lost."
        )

    def handle(self, *args: Any, folder: Path, replace: bool, leave_out_damaged: bool, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            done = restoring.restore(
                folder.expanduser().resolve(), replace=replace, leave_out_damaged=leave_out_damaged
            )
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. Run it again, with --replace if it says that the gallery is not empty.")
            sys.exit(_INTERRUPTED)
        except (BackupError, OSError, DatabaseError) as error:
            raise CommandError(str(error)) from None
        self._tell(done)
        if done.damaged or done.manifest.faults:
            sys.exit(_FAULTS)

    def _tell(self, done: restoring.Restored) -> None:
        for name, what in done.damaged:
            self.stdout.write(f"left out  {name} {what}")
        for fault in done.manifest.faults:
            self.stdout.write(f"fault  {fault}, as it was when the backup was made")
        counts = ", ".join(f"{count} {name}" for name, count in done.manifest.counts.items())
        files = ", ".join(f"{count} {how}" for how, count in sorted(done.how.items())) or "none"
        self.stdout.write(f"Restored as of {done.manifest.made}: {counts}. Files: {files}.")
        if done.removed:
            self.stdout.write(f"{done.removed} file(s) of the gallery that was here before are deleted.")
        for build in done.indexes:
            self.stdout.write(f"The index {build} was built anew, and has a recall of {build.recall:.3f}.")
        if done.damaged or done.manifest.faults:
            self.stdout.write("manage.py check_integrity --repair renders anew what can be, and names what is lost.")
