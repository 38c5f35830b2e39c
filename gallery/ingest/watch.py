"""Tells which files of a folder are complete, look after look.

By looking, because notices of a kernel do not come from network shares and into containers.
"""

from pathlib import Path

from gallery.ingest.folder import pictures

#: Size in bytes, and time of change in ns.
Stamp = tuple[int, int]


class Watched:
    """A folder, and what of it has been seen. A file is complete when two looks find it alike."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, Stamp] = {}
        self._taken: dict[Path, Stamp] = {}

    def look(self) -> list[Path]:
        """Files that are complete, and have not been taken as they are now."""
        before, self._seen = self._seen, self._stamps()
        self._taken = {path: stamp for path, stamp in self._taken.items() if path in self._seen}
        return [path for path, stamp in self._seen.items() if before.get(path) == stamp != self._taken.get(path)]

    def take(self, path: Path) -> None:
        """It was imported or refused; it counts again when it changes."""
        self._taken[path] = self._seen[path]

    def _stamps(self) -> dict[Path, Stamp]:
        stamps = {}
        for path in pictures(self._folder):
            try:
                found = path.stat()
            except OSError:  # it went away just now
                continue
            stamps[path] = (found.st_size, found.st_mtime_ns)
        return stamps
