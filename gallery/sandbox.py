"""Runs a decode in a child process with limits on memory and time, so that no file can take the server down."""

import ctypes
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Lock
from typing import TypeVar

from django.conf import settings
from django.utils.translation import gettext_noop as _
from pebble import ProcessExpired, ProcessPool

from gallery.errors import Code, Refused
from gallery.images import Rendered, load_decoders, read_size, render, render_preview, render_size

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

_pool: ProcessPool | None = None
_starting = Lock()

T = TypeVar("T")


def render_file(path: Path) -> Rendered:
    """`images.render` in a child process. Raises Refused."""
    return _in_child(partial(render, path, max_pixels=settings.MAX_PIXELS))


def render_file_preview(path: Path) -> bytes:
    """`images.render_preview` in a child process. Raises Refused."""
    return _in_child(partial(render_preview, path, max_pixels=settings.MAX_PIXELS))


def render_file_size(path: Path, long_edge_px: int) -> bytes:
    """`images.render_size` in a child process. Raises Refused."""
    return _in_child(partial(render_size, path, max_pixels=settings.MAX_PIXELS, long_edge_px=long_edge_px))


def read_file_size(path: Path) -> tuple[int, int]:
    """`images.read_size` in a child process. Raises Refused."""
    return _in_child(partial(read_size, path))


def _in_child(work: Callable[[], T]) -> T:
    try:
        return _tried_in_child(work)
    except ProcessExpired as killed:
        if killed.exitcode == -signal.SIGXCPU:
            raise _too_long() from None
        if killed.exitcode != -signal.SIGKILL:
            raise _too_much_memory() from None
    try:  # by somebody else, as the system does it for want of memory: perhaps on another picture's account
        return _tried_in_child(work)
    except ProcessExpired:
        raise _too_much_memory() from None


def _tried_in_child(work: Callable[[], T]) -> T:
    limited = partial(_in_time, work, settings.DECODE_CPU_S)
    try:
        done: T = _processes().schedule(limited, timeout=settings.DECODE_TIMEOUT_S).result()
    except FutureTimeoutError:
        raise _too_long() from None
    except (BrokenProcessPool, MemoryError):
        raise _too_much_memory() from None
    return done


def _in_time(work: Callable[[], T], cpu_s: int) -> T:
    """In the child: the kernel counts whole seconds of all that the process ever did."""
    so_far = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (so_far + cpu_s, resource.RLIM_INFINITY))
    return work()


def _too_long() -> Refused:
    return Refused(Code.DECODE_TIMEOUT, _("Decoding the picture takes too long."))


def _too_much_memory() -> Refused:
    return Refused(Code.DECODE_MEMORY, _("Decoding the picture takes too much memory."))


def _processes() -> ProcessPool:
    global _pool  # noqa: PLW0603 (one pool a process, made when first used and not when imported)
    with _starting:
        if _pool is None or not _pool.active:
            # forkserver: a fork of this process would copy its threads' locks and the encoder's memory
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["gallery.images", "gallery.dicom", "pillow_heif"])
            _pool = ProcessPool(
                settings.DECODE_PROCESSES,
                context=context,
                initializer=_start_child,
                initargs=(settings.DECODE_MEMORY_BYTES,),
            )
            # before a process that multiprocessing began, as a worker of the queue, waits for its children to end
            Finalize(None, _end, args=(_pool,), exitpriority=0)
        return _pool


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]  # pebble tells no types of it
    pool.join()


def _start_child(memory_bytes: int) -> None:
    _limit(memory_bytes)
    load_decoders()  # or its first picture waits for them


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end_with_parent(signal.SIGKILL, os.getppid())  # had that ended before, the pipe of tasks would have as well


def end_with_parent(sign: signal.Signals, parent: int) -> None:
    """Ask Linux to send this process a signal when its parent ends, however that ends. Elsewhere: nothing.

    A handler that the parent has for the signal, which a fork inherits, is not kept: it would swallow it.
    """
    if sys.platform == "linux":
        if sign != signal.SIGKILL:
            signal.signal(sign, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, sign)
        if os.getppid() != parent:  # it has ended before it could be asked
            os.kill(os.getpid(), sign)
