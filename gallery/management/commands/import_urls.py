import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from gallery.ingest.urls import import_urls, listed
from gallery.management.commands._importing import EXIT_STATUS, ImportCommand


class Command(ImportCommand):
    help = (
        "Fetch pictures by their URLs and store them. Run again, it fetches again and stores what is new. "
        + EXIT_STATUS
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("urls", nargs="*", metavar="URL", default=[])
        which.add_argument("--file", type=Path, metavar="LIST", help="Read them from a file, one a line; - is stdin.")
        super().add_arguments(parser)

    def handle(self, *args: Any, urls: list[str], file: Path | None, **options: Any) -> None:
        self.run_import(listed(_lines(file) if file else urls), import_urls, options)


def _lines(file: Path) -> list[str]:
    try:
        return sys.stdin.readlines() if file == Path("-") else file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None
