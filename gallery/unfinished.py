"""Uploads that come in pieces: kept as files until they are whole, and what became of them for a day after.

`unfinished/<user>/<name>.data` holds the bytes so far, so that its size is the offset whatever happened to the process
that wrote it; the `.json` beside it tells what was announced. `finished/<user>/<name>.json` is the answer. All of it
lies in the spool, in folders that the sweep of abandoned copies does not enter.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile

#: Seconds from the last byte, or from the answer, until it is forgotten.
LIFETIME_S = 24 * 60 * 60
#: Of one user. Clients send a handful at a time; what they gave up stays until it expires.
MOST_UPLOADS = 100
#: Of one user, by the lengths announced: a file may be as long as it was said to become.
MOST_BYTES = 4_000_000_000


class Busy(Exception):
    """Another request is adding to the upload, or storing it."""


class TooMany(Exception):
    """The user has as many unfinished uploads as anyone may have."""


@dataclass(frozen=True)
class Outcome:
    """What became of a whole upload: how it was answered."""

    status: int
    answer: dict[str, Any]

    @property
    def is_refusal(self) -> bool:
        return "code" in self.answer


@dataclass(frozen=True)
class Unfinished:
    owner_id: int
    #: Random, and all that an address tells.
    name: str
    #: Bytes that it will have.
    length: int
    #: As the client gave it.
    metadata: str

    @property
    def outcome(self) -> Outcome | None:
        with suppress(FileNotFoundError):
            return Outcome(**json.loads(_answer(self.owner_id, self.name).read_text())["outcome"])
        return None

    @property
    def offset(self) -> int:
        try:
            return self._data.stat().st_size
        except FileNotFoundError:  # it is finished
            return self.length

    @property
    def expires(self) -> float:
        """In seconds since the epoch; long ago where it was removed just now."""
        for path in (self._data, _answer(self.owner_id, self.name)):
            with suppress(FileNotFoundError):
                return path.stat().st_mtime + LIFETIME_S
        return 0

    @contextmanager
    def held(self) -> Iterator[FileIO]:
        """Its bytes, to be added to at the end, by this request alone. Raises Busy."""
        with self._open() as data:
            try:
                fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy from None
            if os.fstat(data.fileno()).st_nlink == 0:  # whoever held it before has finished it
                raise Busy
            yield data

    def _open(self) -> FileIO:
        try:
            data = self._data.open("r+b", buffering=0)  # what is written is the offset, and none of it in our memory
        except FileNotFoundError:  # finished just now
            raise Busy from None
        data.seek(0, os.SEEK_END)
        return data

    def whole(self, filename: str) -> UploadedFile[bytes]:
        return _Whole(self._data, filename)

    def finish(self, outcome: Outcome) -> None:
        """Keep the answer in place of the bytes."""
        about = {"length": self.length, "metadata": self.metadata, "outcome": asdict(outcome)}
        _write(_answer(self.owner_id, self.name), about)
        self._forget_bytes()

    def remove(self) -> None:
        _answer(self.owner_id, self.name).unlink(missing_ok=True)
        self._forget_bytes()

    def _forget_bytes(self) -> None:
        _about(self.owner_id, self.name).unlink(missing_ok=True)
        self._data.unlink(missing_ok=True)

    @property
    def _data(self) -> Path:
        return _about(self.owner_id, self.name).with_suffix(".data")


class _Whole(TemporaryUploadedFile):
    """The bytes where they lie, so that storing them does not copy them twice."""

    def __init__(self, path: Path, filename: str) -> None:
        UploadedFile.__init__(self, path.open("rb"), filename, size=path.stat().st_size)
        self._path = path

    def temporary_file_path(self) -> str:
        return str(self._path)


def begin(owner_id: int, length: int, metadata: str) -> Unfinished:
    """A new one, without bytes. Raises TooMany."""
    lengths = _lengths(owner_id)
    if len(lengths) >= MOST_UPLOADS or sum(lengths) + length > MOST_BYTES:
        raise TooMany
    begun = Unfinished(owner_id, secrets.token_urlsafe(24), length, metadata)
    about = _about(owner_id, begun.name)
    about.parent.mkdir(parents=True, exist_ok=True)
    about.with_suffix(".data").touch()  # first, for what is told of there must be
    try:
        _write(about, {"length": length, "metadata": metadata})
    except OSError:
        begun.remove()
        raise
    return begun


def find(owner_id: int, name: str) -> Unfinished | None:
    for path in (_about(owner_id, name), _answer(owner_id, name)):  # in the order in which one replaces the other
        with suppress(FileNotFoundError):
            about = json.loads(path.read_text())
            return Unfinished(owner_id, name, about["length"], about["metadata"])
    return None


def remove_expired() -> None:
    """For a schedule: within an hour or so of when they expire."""
    limit = time.time() - LIFETIME_S
    for path in Path(settings.SPOOL_DIR).glob("*finished/*/*"):
        with suppress(FileNotFoundError):
            data = path.with_suffix(".data")
            if (data if data.exists() else path).stat().st_mtime < limit:
                path.unlink()


def _lengths(owner_id: int) -> list[int]:
    lengths = []
    for about in _about(owner_id, "").parent.glob("*.json"):
        with suppress(FileNotFoundError):  # finished since
            lengths.append(json.loads(about.read_text())["length"])
    return lengths


def _about(owner_id: int, name: str) -> Path:
    return Path(settings.SPOOL_DIR) / "unfinished" / str(owner_id) / f"{name}.json"


def _answer(owner_id: int, name: str) -> Path:
    return Path(settings.SPOOL_DIR) / "finished" / str(owner_id) / f"{name}.json"


def _write(path: Path, content: dict[str, Any]) -> None:
    """All of it or nothing, whenever the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
