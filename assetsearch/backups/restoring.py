"""A gallery brought back from a backup.

Files come first, under names that no other file has; then the rows, in one transaction; then the files of the gallery
that was replaced go. So wherever this is interrupted, the rows there are, old or new, have their files.
"""

import fcntl
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from tqdm import tqdm

from assetsearch.backups import tools
from assetsearch.backups.files import each, put
from assetsearch.backups.manifest import (
    DATABASE,
    MEDIA,
    SECRET_KEY,
    BackupError,
    Damage,
    Held,
    Manifest,
    check_parts,
    damage_of,
    files,
)
from gallery import named_files
from gallery.models import Asset, Collection, Tag
from search import index
from search.models import Encoder, IndexBuild

logger = logging.getLogger(__name__)

#: The server takes a moment to notice that a program has ended; see tools.load.
_LINGER_SECONDS = 5


class InDoubt(BackupError):
    """The rows of the backup may have come, so its files stay."""


@dataclass
class Restored:
    manifest: Manifest
    damaged: list[Damage]
    #: Files by how they came: linked, copied, uploaded, there already.
    how: Counter[str] = field(default_factory=Counter)
    removed: int = 0
    indexes: list[IndexBuild] = field(default_factory=list)


def restore(folder: Path, *, replace: bool, leave_out_damaged: bool) -> Restored:
    """Raises BackupError, and whatever disks raise; then the gallery is as it was."""
    manifest = Manifest.read(folder)
    with _stopped():
        _check_versions(manifest)
        if not replace and _holds_something():
            raise BackupError("This gallery is not empty. With --replace all that is in it goes, and the backup comes.")
        programs = tools.find("pg_restore", "psql")
        check_parts(folder, manifest)
        listed = dict(files(folder))
        restored = Restored(manifest, _damaged(folder, listed))
        if restored.damaged and not leave_out_damaged:
            raise BackupError(_told(restored.damaged))
        for damage in restored.damaged:
            del listed[damage.name]
        before = named_files.names()
        with _files_put(folder, listed, restored.how):
            _load(programs, folder / DATABASE, manifest.index_memory_mb)
        connection.close()  # whatever it knew of the tables is no longer so
        _restore_key(folder)
        restored.indexes = _make_ready()
        restored.removed = _remove(before - named_files.names())
    return restored


@contextmanager
def _stopped() -> Iterator[None]:
    """Nobody else is at work here, and nobody starts. `manage.py up` locks the same file. Raises BackupError."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    with (settings.DATA_DIR / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"AssetSearch is running over {settings.DATA_DIR}. Stop it first.") from None
        if others := _wait_for_others():
            raise BackupError(
                f"The database is in use, by {others} other connection(s). Stop the web server, the workers and "
                "whatever else is at work on it first."
            )
        yield


def _wait_for_others() -> int:
    """How many there still are."""
    until = time.monotonic() + _LINGER_SECONDS
    while (others := _other_connections()) and time.monotonic() < until:
        time.sleep(0.1)
    return others


def _other_connections() -> int:
    """Of people and programs, not of the server's own processes, which have no user."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def _check_versions(manifest: Manifest) -> None:
    known = MigrationLoader(None).disk_migrations.keys()
    applied = {(app, name) for app, names in manifest.migrations.items() for name in names}
    if unknown := sorted(".".join(one) for one in applied - known):
        raise BackupError(
            f"The backup was made by a newer AssetSearch, {manifest.project}, with tables that this one does not know "
            f"({', '.join(unknown)}). Update it first."
        )
    if tools.server_version() < int(manifest.postgres.partition(".")[0]):
        raise BackupError(
            f"The backup was made with Postgres {manifest.postgres}, and this database is of "
            f"{tools.server_version()}. It takes that version or a newer."
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_available_extensions WHERE name = 'vector'")
        if not cursor.rowcount:
            raise BackupError("The database has no pgvector. Install it beside Postgres first.")


def _holds_something() -> bool:
    """More than the first user, whom the first start makes."""
    if not _has_tables():
        return False
    return User.objects.count() > 1 or any(
        model._default_manager.exists()  # noqa: SLF001 (public, so named)
        for model in (Asset, Collection, Tag)
    )


def _has_tables() -> bool:
    return Asset._meta.db_table in connection.introspection.table_names()  # noqa: SLF001 (public, so named)


def _damaged(folder: Path, listed: Mapping[str, Held]) -> list[Damage]:
    found: list[Damage] = []
    size_bytes = sum(one.size_bytes for one in listed.values())
    with tqdm(total=size_bytes, unit="B", unit_scale=True, desc="Checking", file=sys.stderr, disable=None) as bar:
        for name, expected in listed.items():
            if damage := damage_of(folder / MEDIA, name, expected):
                found.append(damage)
                bar.set_postfix(damaged=len(found), refresh=False)
            bar.update(expected.size_bytes)
    return found


def _told(damaged: list[Damage]) -> str:
    lines = [f"  {MEDIA}/{name} {what}" for name, what in damaged]
    return "\n".join(
        [
            f"The backup is damaged in {len(damaged)} file(s), and nothing was restored from it:",
            *lines,
            "Try an older backup. With --leave-out-damaged all the rest is restored.",
        ]
    )


@contextmanager
def _files_put(folder: Path, listed: Mapping[str, Held], how: Counter[str]) -> Iterator[None]:
    """The files, in their places; those that came anew go again if it is certain that no row names them."""
    new: list[str] = []

    def put_one(name: str) -> str:
        if not default_storage.exists(name):
            new.append(name)
        return put(folder / MEDIA / name, name)

    try:
        for _, came in each(put_one, tqdm(listed, unit="file", desc="Files", file=sys.stderr, disable=None)):
            how[came] += 1
        os.sync()  # the files before the rows
        yield
    except InDoubt:
        raise
    except BaseException:
        _remove(new)
        raise


def _load(programs: Sequence[str], dump: Path, memory_mb: int) -> None:
    """The rows. Raises BackupError where none came, and InDoubt where they may have."""
    before = _generation()
    connection.close()
    try:
        tools.load(programs, dump, dropping=_tables(), memory_mb=memory_mb)
    except BaseException as error:
        connection.close()
        if _is_still(before):
            raise
        if not isinstance(error, BackupError):
            raise InDoubt("It was interrupted once the rows had come. Run it again, with --replace.") from error
        logger.warning("The rows came, though their last answer was lost. %s", error)


def _generation() -> int | None:
    """Of the tables: a restore makes them anew, under other numbers. None where there are none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)::oid", [Asset._meta.db_table])  # noqa: SLF001 (public, so named)
        generation: int | None = cursor.fetchone()[0]
        return generation


def _is_still(generation: int | None) -> bool:
    """Once nobody is at work on the tables any more. Raises InDoubt."""
    try:
        if not _wait_for_others():
            return _generation() == generation
        reason = "its session has not ended"
    except (DatabaseError, KeyboardInterrupt) as error:
        reason = str(error).strip() or "it was interrupted"
    raise InDoubt(
        f"It cannot be said whether the rows of the backup came: {reason}. Its files are in place. When the database "
        "answers, run it again, with --replace."
    )


def _tables() -> list[str]:
    """Ours. What else is in the database is left alone."""
    return sorted({"django_migrations", *connection.introspection.django_table_names()})


def _remove(names: Iterable[str]) -> int:
    return sum(1 for _ in each(default_storage.delete, names))


def _restore_key(folder: Path) -> None:
    if not (folder / SECRET_KEY).exists():
        return
    handle, made = tempfile.mkstemp(prefix=f"{SECRET_KEY}.", dir=settings.DATA_DIR)
    os.close(handle)
    shutil.copyfile(folder / SECRET_KEY, made)
    Path(made).replace(settings.DATA_DIR / SECRET_KEY)


def _make_ready() -> list[IndexBuild]:
    """Tables as this version has them; what the planner knows of them; and how well the indexes, built anew, find."""
    call_command("migrate", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    measured = []
    for row in Encoder.objects.order_by("pk"):
        with suppress(index.BuildFailed):
            if build := index.measure(row):
                measured.append(build)
    return measured
