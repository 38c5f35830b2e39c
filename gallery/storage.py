"""Where files lie: on this machine's file system, originals so that a loss of power does not take them along."""

import os
from pathlib import Path

from django.core.files import File
from django.core.files.storage import FileSystemStorage

#: Renditions can be made again.
_LASTING = "originals/"


class LastingStorage(FileSystemStorage):
    """An original that is saved is on the disk, and so are the folders that lead to it."""

    def _save(self, name: str, content: File[bytes]) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]  # the stubs lack it
        if saved.startswith(_LASTING):
            try:
                self._sync(Path(self.path(saved)))
            except OSError:
                self.delete(saved)
                raise
        return saved

    def _sync(self, path: Path) -> None:
        root = Path(self.location)
        _sync(path)
        # all of them, as another upload may have made one just now and not have come so far
        for folder in path.parents:
            _sync(folder)
            if folder == root:
                break


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
