import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from assetsearch.backups import making
from assetsearch.backups.manifest import BackupError

#: Exit statuses: of a backup that is whole, of a gallery that was not; and what shells give for Ctrl-C.
_FAULTS, _INTERRUPTED = 3, 130


class Command(BaseCommand):
    help = (
        "Make a backup, while AssetSearch runs or while it does not: all rows, all pictures, and the key of sessions, "
        "with a manifest. Files are hard links where the file system allows; what did not change since the latest "
        "backup in the same parent folder is linked to that. Exit status: 0 if all is well, 1 if no backup was made, 3 "
        "if one was made and files of the gallery were missing or altered, 130 if interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR", help="To be made; its parent folder must be there.")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing is left behind
        target = folder.expanduser().absolute()
        try:
            made = making.make(target.parent.resolve() / target.name)
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. No backup was made.")
            sys.exit(_INTERRUPTED)
        except (BackupError, OSError, DatabaseError) as error:
            raise CommandError(f"No backup was made. {error}") from None
        self._tell(target, made)
        if made.manifest.faults:
            sys.exit(_FAULTS)

    def _tell(self, target: Path, made: making.Made) -> None:
        for fault in made.manifest.faults:
            self.stdout.write(f"fault  {fault}")
        counts = ", ".join(f"{count} {name}" for name, count in made.manifest.counts.items())
        files = ", ".join(f"{count} {how}" for how, count in sorted(made.how.items())) or "none"
        self.stdout.write(f"{target}: {counts}. Files: {files}; {made.size_bytes / 1e6:.1f} MB in all.")
        if made.manifest.faults:
            self.stdout.write(
                f"{len(made.manifest.faults)} file(s) of the gallery are missing or altered. The backup has all else; "
                "an older one may have these."
            )
