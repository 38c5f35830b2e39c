"""Where files lie: on this machine's file system, originals so that a loss of power does not take them along.

`gallery.bucket` has the other place, a bucket of an object store.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from django.core.files import File
from django.core.files.storage import FileSystemStorage
from django.utils.translation import gettext_noop

from gallery.errors import Code, Refused

#: Renditions can be made again.
_LASTING = "originals/"


class StorageUnavailable(Refused, OSError):
    """The place where files lie does not answer, or not to us. Nothing was changed that a caller knows of."""

    def __init__(self) -> None:
        super().__init__(
            Code.UNAVAILABLE, gettext_noop("The storage of files cannot be reached. Try again in a minute.")
        )


class Listing(Protocol):
    """What both places can do beyond what Django asks of a storage."""

    def names(self, prefix: str) -> Iterator[str]:
        """Of all files in folders that begin so."""

    def put_there(self, name: str) -> datetime:
        """When the file came to lie here, whatever it tells of itself. Raises FileNotFoundError."""

    def overwrite(self, name: str, content: File[bytes]) -> None:
        """In one step: there is no moment without the file."""


class LastingStorage(FileSystemStorage):
    """An original that is saved is on the disk, and so are the folders that lead to it."""

    def names(self, prefix: str) -> Iterator[str]:
        root = Path(self.location)
        for top in root.glob(f"{prefix}*"):
            for folder, _, files in os.walk(top):
                inside = Path(folder).relative_to(root).as_posix()
                yield from (f"{inside}/{name}" for name in files)

    def put_there(self, name: str) -> datetime:
        """What a restore links or copies keeps the time it was modified, and its rows are committed after it."""
        told = Path(self.path(name)).stat()
        return datetime.fromtimestamp(max(told.st_mtime, told.st_ctime), tz=UTC)

    def overwrite(self, name: str, content: File[bytes]) -> None:
        saved = self.save(name, content)
        if saved != name:
            path = Path(self.path(name))
            Path(self.path(saved)).replace(path)
            sync(path.parent)

    def _save(self, name: str, content: File[bytes]) -> str:
        try:
            saved: str = super()._save(name, content)  # type: ignore[misc]  # the stubs lack it
        except OSError:
            self._remove_half(name, content.size)
            raise
        if saved.startswith(_LASTING):
            try:
                self._sync_with_folders(Path(self.path(saved)))
            except OSError:
                self.delete(saved)
                raise
        return saved

    def _remove_half(self, name: str, size_bytes: int) -> None:
        """What the disk had no room for; not the whole that another upload has put there."""
        path = Path(self.path(name))
        with suppress(FileNotFoundError):
            if path.stat().st_size < size_bytes:
                path.unlink()

    def _sync_with_folders(self, path: Path) -> None:
        root = Path(self.location)
        sync(path)
        # all of them, as another upload may have made one just now and not have come so far
        for folder in path.parents:
            sync(folder)
            if folder == root:
                break


def sync(path: Path) -> None:
    """A file, or the names in a folder, so that a loss of power does not take them along."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
