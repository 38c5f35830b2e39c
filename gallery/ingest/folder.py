"""Imports a folder and all below it. Running it again takes up where it stopped: what is stored is known by hash."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.contrib.auth.models import User
from django.core.files import File

from gallery.images import SUFFIXES
from gallery.ingest.bulk import Import, Outcome
from gallery.uploads import Details


def pictures(folder: Path) -> list[Path]:
    """Files below the folder that are pictures by their names, in order. Links and hidden folders are left out."""
    return sorted(path for path in _files(folder) if path.suffix.lower() in SUFFIXES)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def import_files(paths: Iterable[Path], owner: User, details: Details) -> Iterator[Outcome[Path]]:
    return Import(_open, owner, details).store_all(paths)


@contextmanager
def _open(path: Path) -> Iterator[File[bytes]]:
    with path.open("rb") as opened:
        yield File(opened, name=path.name)
