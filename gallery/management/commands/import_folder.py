from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from gallery.errors import Refused
from gallery.ingest.archive import entries, import_entries, open_archive
from gallery.ingest.folder import import_files, pictures
from gallery.management.commands._importing import EXIT_STATUS, ImportCommand


class Command(ImportCommand):
    help = (
        "Import all pictures of a folder and the folders below it, or of a ZIP file. Run again, it skips what is "
        f"stored. {EXIT_STATUS}"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", type=Path, metavar="FOLDER_OR_ZIP")
        super().add_arguments(parser)

    def handle(self, *args: Any, source: Path, **options: Any) -> None:
        if source.is_dir():
            self.run_import(pictures(source), import_files, options, lambda path: path.relative_to(source))
        elif source.is_file():
            self._import_archive(source, options)
        else:
            raise CommandError(f"{source} is not a folder, nor a ZIP file.")

    def _import_archive(self, source: Path, options: dict[str, Any]) -> None:
        try:
            with open_archive(source) as archive:
                found = entries(archive, source.stat().st_size)
                self.run_import(found, partial(import_entries, archive), options)
        except Refused as refused:
            raise CommandError(f"{source}: {refused}") from None
