"""Imports very many files, several at once. What is refused stops nothing."""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from threading import Barrier
from typing import Generic, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.db import InterfaceError, OperationalError, connection
from django.utils.translation import gettext_noop

from gallery.errors import Code, Refused
from gallery.models import Asset
from gallery.signals import bulk_finished
from gallery.uploads import Details, store_upload

logger = logging.getLogger(__name__)

#: Uploads under way at once for each decoding process: while one decodes, the other is read, hashed and written.
_UPLOADS_PER_DECODER = 2
#: Where the others would fare no better.
STOPPING = {Code.STORAGE_FULL, Code.UNAVAILABLE}
#: What may be otherwise an hour later. Not found is the collection, where it was deleted meanwhile.
_PASSING = {*STOPPING, Code.FETCH_FAILED, Code.NOT_FOUND}

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    source: T
    stored: bool = False
    duplicate: bool = False
    refused: Refused | None = None
    #: It was refused for what is no fault of its own, and may be taken later as it is.
    may_pass: bool = False
    #: What was stored, or was there already.
    asset: Asset | None = None


@dataclass
class Report(Generic[T]):
    stored: int = 0
    duplicates: int = 0
    refused: list[Outcome[T]] = field(default_factory=list)

    def add(self, outcome: Outcome[T]) -> None:
        self.stored += outcome.stored
        self.duplicates += outcome.duplicate
        if outcome.refused:
            self.refused.append(outcome)


@dataclass(frozen=True)
class Intake(Generic[T]):
    """How files come in, and what is said of each."""

    #: May raise Refused or OSError, when called or when the file is read.
    open: Callable[[T], AbstractContextManager[File[bytes]]]
    owner: User
    details_of: Callable[[T], Details]

    def store(self, source: T) -> Outcome[T]:
        try:
            with self.open(source) as file:
                stored = store_upload(file, self.owner, self.details_of(source), in_bulk=True)
        except Refused as refused:
            return Outcome(source, refused=refused, may_pass=refused.code in _PASSING)
        except OSError as error:
            return Outcome(
                source,
                refused=Refused(
                    Code.CORRUPT, gettext_noop("The file cannot be read: %(error)s."), {"error": error.strerror}
                ),
                may_pass=True,
            )
        except (OperationalError, InterfaceError):  # the database does not answer, and would not for the others
            raise
        except Exception:
            logger.exception("%s could not be stored", source)
            fault = Refused(Code.INTERNAL, gettext_noop("Something went wrong here. It was logged."))
            return Outcome(source, refused=fault, may_pass=True)
        return Outcome(source, stored=not stored.duplicate, duplicate=stored.duplicate, asset=stored.asset)

    def store_all(self, sources: Iterable[T]) -> Iterator[Outcome[T]]:
        """Tells how each fared, as soon as that is known."""
        at_once = _UPLOADS_PER_DECODER * settings.DECODE_PROCESSES
        waiting, under_way = iter(sources), set[Future[Outcome[T]]]()
        with ThreadPoolExecutor(at_once) as pool:
            try:
                while True:
                    for source in islice(waiting, at_once - len(under_way)):
                        under_way.add(pool.submit(self.store, source))
                    if not under_way:
                        return
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
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


def printable(name: str) -> str:
    """Without what a terminal would obey, and what neither it nor a database could hold: names come from outside."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
