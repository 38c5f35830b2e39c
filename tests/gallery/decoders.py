"""Decoders that misbehave. Run in a child process, so this imports nothing of Django."""

import os
import signal
from pathlib import Path
from typing import Any

from gallery import images


def hang(*_: Any, **__: Any) -> None:
    signal.pause()


def compute(*_: Any, **__: Any) -> None:
    while True:
        pass


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(path: Path, **given: Any) -> images.Rendered:
    died = path.with_name("died")
    if not died.exists():
        died.touch()
        die()
    died.unlink()
    return images.render(path, **given)


def devour(*_: Any, **__: Any) -> None:
    bytearray(1 << 40)
