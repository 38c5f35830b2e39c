"""Imports a folder and all below it. Running it again takes up where it stopped: what is stored is known by hash."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Barrier

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.db import connection

from gallery.errors import Code, Refused
from gallery.images import SUFFIXES
from gallery.models import Asset
from gallery.signals import bulk_finished
from gallery.uploads import Details, store_upload

#: Uploads under way at once for each decoding process: while one decodes, the other reads, hashes and writes.
_UPLOADS_PER_DECODER = 2


@dataclass(frozen=True)
class Outcome:
    path: Path
    stored: bool = False
    duplicate: bool = False
    refused: Refused | None = None


@dataclass
class Report:
    stored: int = 0
    duplicates: int = 0
    refused: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.stored += outcome.stored
        self.duplicates += outcome.duplicate
        if outcome.refused:
            self.refused.append(outcome)


def pictures(folder: Path) -> list[Path]:
    """Files below the folder that are pictures by their names, in order. Links and hidden folders are left out."""
    return sorted(path for path in _files(folder) if path.suffix.lower() in SUFFIXES)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def import_files(paths: Iterable[Path], owner: User, details: Details) -> Iterator[Outcome]:
    """Store each file, several at once, and tell how each fared. What is refused stops nothing."""
    at_once = _UPLOADS_PER_DECODER * settings.DECODE_PROCESSES
    waiting, under_way = iter(paths), deque[Future[Outcome]]()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while True:
                for path in islice(waiting, at_once - len(under_way)):
                    under_way.append(pool.submit(_import_file, path, owner, details))
                if not under_way:
                    return
                yield under_way.popleft().result()
        finally:
            _close_connections(pool, at_once)
            bulk_finished.send_robust(Asset)


def _close_connections(pool: ThreadPoolExecutor, threads: int) -> None:
    """Close each thread's own connection to the database."""
    together = Barrier(threads)  # holds a thread until every other has one of these, so that none gets two

    def close() -> None:
        together.wait()
        connection.close()

    for _ in range(threads):
        pool.submit(close)


def _import_file(path: Path, owner: User, details: Details) -> Outcome:
    try:
        with path.open("rb") as opened:
            stored = store_upload(File(opened, name=path.name), owner, details, in_bulk=True)
    except Refused as refused:
        return Outcome(path, refused=refused)
    except OSError as error:
        return Outcome(path, refused=Refused(Code.CORRUPT, f"The file cannot be read: {error.strerror}."))
    return Outcome(path, stored=not stored.duplicate, duplicate=stored.duplicate)
