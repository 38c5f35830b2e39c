"""What a picture can do to the process that looks at it. Decoders run these too, so nothing of Django is imported."""

import ctypes
import os
import signal
from typing import Any


def kill(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def abort(*_: Any, **__: Any) -> None:
    os.abort()


def hang(*_: Any, **__: Any) -> None:
    """In C, where no exception reaches, while other threads run on."""
    ctypes.CDLL(None).sleep(3600)


def freeze(*_: Any, **__: Any) -> None:
    """The same with the interpreter's lock held, so that no other thread does anything either."""
    ctypes.PyDLL(None).sleep(3600)


HARMS = {harm.__name__: harm for harm in (kill, abort, hang, freeze)}
