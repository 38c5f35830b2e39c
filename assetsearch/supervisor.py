"""Runs the services of one installation side by side, and ends them all, whatever happens.

Each service leads a process group of its own: Ctrl-C in the terminal reaches the supervisor alone (django-q2's
cluster hangs when its stop signal comes twice), and what a service leaves behind can be ended with it.
"""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from gallery.sandbox import end_with_parent

logger = logging.getLogger(__name__)

#: Seconds that a service gets to end by itself. Stopping is to take 15 s at most, Postgres included.
_STOP_SECONDS = 8
_POLL_SECONDS = 0.2
#: What was killed is gone at once, as a rule, and by then on a machine that has much to do.
_GONE_SECONDS = 3.0
#: Seconds before a service that died is started again; doubled each time, up to the second figure. One that cannot
#: start takes some 3 s of a core each time.
_RESTART_SECONDS, _RESTART_MAX_SECONDS = 1.0, 10.0
#: A service that ran for so long has got over what killed it before.
_STEADY_SECONDS = 60


@dataclass
class Service:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    #: By how much others come first, as `nice` counts.
    niceness: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause_seconds: float = field(default=_RESTART_SECONDS)

    def start(self, keep_open: Sequence[int] = ()) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=keep_open,
            preexec_fn=partial(_begin, os.getpid(), self.niceness),  # noqa: PLW1509 (the supervisor forks from one thread)
        )

    def watch(self, keep_open: Sequence[int] = ()) -> None:
        """Start the service again, after a pause, if it has died."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_again_at:
                self.start(keep_open)
        elif (status := self.process.poll()) is not None:
            self.kill()
            if now - self.started_at > _STEADY_SECONDS:
                self.pause_seconds = _RESTART_SECONDS
            logger.error("%s ended with status %s; it starts again in %g s", self.name, status, self.pause_seconds)
            self.process, self.start_again_at = None, now + self.pause_seconds
            self.pause_seconds = min(2 * self.pause_seconds, _RESTART_MAX_SECONDS)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def status(self) -> int | None:
        return self.process.returncode if self.process else None

    def ask_to_stop(self) -> None:
        if self.process and self.is_running():
            self.process.terminate()

    def wait(self, until: float) -> None:
        if self.process:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(max(0.0, until - time.monotonic()))

    def kill(self) -> None:
        """End whatever is left of the service's process group, and see it gone: until then it holds its locks."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            until = time.monotonic() + _GONE_SECONDS
            while _is_left(self.process.pid) and time.monotonic() < until:
                time.sleep(0.02)


def _is_left(group: int) -> bool:
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _begin(supervisor: int, niceness: int) -> None:
    """What a service's process does first."""
    end_with_parent(signal.SIGTERM, supervisor)
    os.nice(niceness)
    # Linux shares processors among sessions, where it groups them so, and what is nice yields to its own session alone.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness))


class FirstFailed(Exception):
    """What had to come before the services did not succeed."""


def run(
    first: Service, services: Sequence[Service], *, tick: Callable[[], None], keep_open: Sequence[int] = ()
) -> None:
    """Let `first` come to its end, then run the services, until SIGINT or SIGTERM. Raises FirstFailed.

    `tick` is called between looks at the services. The file descriptors in `keep_open` stay open in all of them, and
    so do locks on those.
    """
    stop = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: stop.set())
    try:
        first.start(keep_open)
        while first.is_running():
            if stop.wait(_POLL_SECONDS):
                return
        if first.status:
            raise FirstFailed(first.name)
        for service in services:
            service.start(keep_open)
        while not stop.wait(_POLL_SECONDS):
            for service in services:
                service.watch(keep_open)
            tick()
    finally:
        _stop([first, *services])


def _stop(services: Sequence[Service]) -> None:
    until = time.monotonic() + _STOP_SECONDS
    for service in services:
        service.ask_to_stop()
    for service in services:
        service.wait(until)
    for service in services:
        service.kill()
