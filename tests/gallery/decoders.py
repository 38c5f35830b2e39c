"""Decoders that misbehave. Run in a child process, so this imports nothing of Django."""

import os
import signal
from typing import Any


def hang(*_: Any, **__: Any) -> None:
    signal.pause()


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def devour(*_: Any, **__: Any) -> None:
    bytearray(1 << 40)
