import fcntl
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import psutil
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from assetsearch import postgres, supervisor
from assetsearch.supervisor import FirstFailed, Service

_MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
#: Addresses that mean "every address of this machine", which no client can connect to.
_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 (translated, not bound to)
#: Services whose supervisor was killed are told to stop; those that do not within this are stuck.
_LEFTOVERS_SECONDS = 20
_LOOK_AT_DATABASE_SECONDS = 2


class Command(BaseCommand):
    help = "Run everything: database, web server and workers, until Ctrl-C."
    requires_system_checks = []  # they would connect before Postgres is up

    def handle(self, *args: Any, **options: Any) -> None:
        with _only_one() as lock, _database():
            _check_port_is_free()
            self.is_ready, self.looked_at = False, 0.0
            try:
                supervisor.run(
                    Service("prepare", [*_MANAGE, "prepare"]), _services(), tick=self._tick, keep_open=[lock]
                )
            except FirstFailed:
                raise CommandError("The installation could not be made ready; the reason is above.") from None
            self.stdout.write("Stopped.")

    def _tick(self) -> None:
        self._announce()
        if not settings.DATABASE_URL and time.monotonic() - self.looked_at > _LOOK_AT_DATABASE_SECONDS:
            postgres.revive(settings.DATA_DIR)
            self.looked_at = time.monotonic()

    def _announce(self) -> None:
        if not self.is_ready and _answers(f"{_address()}/readyz"):
            self.is_ready = True
            self.stdout.write(self.style.SUCCESS(f"\n  AssetSearch is ready: {_address()}/\n"))
            self.stdout.flush()


def _services() -> list[Service]:
    web = [
        sys.executable,
        "-m",
        "gunicorn",
        "assetsearch.wsgi",
        "-c",
        str(settings.BASE_DIR / "assetsearch/gunicorn.py"),
    ]
    worker = [*_MANAGE, "qcluster"]
    return [
        Service("web", web),
        # nice: neither an import nor what was just uploaded must slow down who is at work
        Service("worker", worker, niceness=2),
        Service("bulk worker", worker, {"Q_CLUSTER_NAME": "bulk"}, niceness=5),
    ]


def _address() -> str:
    return f"http://{_ANY.get(settings.URL_HOST, settings.URL_HOST)}:{settings.PORT}"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 (http, to ourselves)
            return bool(response.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def _only_one() -> Iterator[int]:
    """One `up` a data folder: the descriptor of a locked file, which names the process.

    The services inherit the lock. Where `up` was killed it lasts until they have ended too, and the next waits.
    """
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    with (settings.DATA_DIR / "up.lock").open("a+") as lock:
        until = time.monotonic() + _LEFTOVERS_SECONDS
        while not _locked(lock):
            lock.seek(0)
            if _runs(int(lock.read() or 0)) or time.monotonic() > until:
                raise CommandError(f"AssetSearch is running already over {settings.DATA_DIR}.")
            time.sleep(0.1)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock.fileno()


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _database() -> Iterator[None]:
    """The embedded Postgres, unless DATABASE_URL names another."""
    if settings.DATABASE_URL:
        yield
        return
    postgres.hold(settings.DATA_DIR)
    try:
        yield
    finally:
        postgres.release(settings.DATA_DIR)


def _check_port_is_free() -> None:
    family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.PORT))
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {settings.HOST}:{settings.PORT} ({error.strerror}). Set PORT or HOST to another."
            ) from None
