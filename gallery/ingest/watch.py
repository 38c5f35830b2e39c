"""Tells which files of a folder are complete, look after look.

By looking, because notices of a kernel do not come from network shares and into containers.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from gallery.ingest.folder import pictures

#: Size in bytes, and time of change in ns.
Stamp = tuple[int, int]
#: Seconds until a file is tried again; the first pause doubles with each trial.
_FIRST_PAUSE, _LONGEST_PAUSE = 10, 3600


@dataclass(frozen=True)
class _PutOff:
    """A file that is put off."""

    stamp: Stamp
    pause: int
    #: By the monotonic clock.
    until: float


class Watched:
    """A folder, and what of it has been seen. A file is complete when two looks find it alike."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, Stamp] = {}
        self._taken: dict[Path, Stamp] = {}
        self._put_off: dict[Path, _PutOff] = {}

    def look(self) -> list[Path]:
        """Files that are complete, and have not been taken, or put off until later, as they are now."""
        before, self._seen = self._seen, self._stamps()
        self._taken = {path: stamp for path, stamp in self._taken.items() if path in self._seen}
        self._put_off = {path: put for path, put in self._put_off.items() if put.stamp == self._seen.get(path)}
        complete = [path for path, stamp in self._seen.items() if before.get(path) == stamp != self._taken.get(path)]
        now = time.monotonic()
        return [path for path in complete if path not in self._put_off or self._put_off[path].until <= now]

    def take(self, path: Path) -> None:
        """It was imported or refused; it counts again when it changes."""
        self._taken[path] = self._seen[path]

    def put_off(self, path: Path) -> int:
        """It could not be taken for now, and counts again after so many seconds, or when it changes."""
        earlier = self._put_off.get(path)
        pause = min(2 * earlier.pause, _LONGEST_PAUSE) if earlier else _FIRST_PAUSE
        self._put_off[path] = _PutOff(self._seen[path], pause, time.monotonic() + pause)
        return pause

    def _stamps(self) -> dict[Path, Stamp]:
        stamps = {}
        for path in pictures(self._folder):
            try:
                found = path.stat()
            except OSError:  # it went away just now
                continue
            stamps[path] = (found.st_size, found.st_mtime_ns)
        return stamps
