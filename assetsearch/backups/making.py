"""A backup, made while the gallery is in use.

First all files are brought over, which takes long. Then a snapshot of the rows is taken, what it names beyond those
files is brought too, and the snapshot is dumped. A file that is gone by then belongs to an asset that was deleted
since: then a newer snapshot is taken, in which that asset is no more. One that this still names was lost before.
"""

import fcntl
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from tqdm import tqdm

from assetsearch.backups import tools
from assetsearch.backups.files import bring, each, fetch, told_by_disk, told_by_gallery
from assetsearch.backups.manifest import (
    DATABASE,
    FILES,
    INCOMPLETE,
    LOCK,
    MEDIA,
    PROJECT_VERSION,
    SECRET_KEY,
    BackupError,
    Held,
    Manifest,
    damage_of,
    files,
    held,
    write_files,
)
from gallery import named_files
from gallery.models import Asset, Collection, Tag
from search import kinds
from search.models import IndexBuild


class Owner(NamedTuple):
    """Whose a file is, in words, and what that says of it."""

    named: str
    #: Of originals; of what can be rendered anew it is not known.
    sha256: str = ""


@dataclass
class Gathered:
    """The files of a backup under way."""

    folder: Path
    #: The backup made last, whose files need not be read again, and what it holds.
    previous: tuple[Path, Mapping[str, Held]] | None
    kept: dict[str, Held] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    how: Counter[str] = field(default_factory=Counter)

    def take(self, names: Iterable[str]) -> None:
        wanted = (name for name in names if name not in self.kept and name not in self.gone)
        for name, taken in each(self._take, wanted):
            if taken is None:
                self.gone.add(name)
            else:
                how, self.kept[name] = taken
                self.how[how] += 1

    def _take(self, name: str) -> tuple[str, Held] | None:
        """How it came, and what came; None where it is gone."""
        target = self.folder / MEDIA / name
        try:
            if known := self._unchanged(name):
                path, told = known
                with suppress(FileNotFoundError):  # somebody deletes that backup just now
                    bring(path, target)
                    return "unchanged", told
            return fetch(name, target), held(target)  # of what is in the backup now; the source may be deleted
        except FileNotFoundError:
            return None

    def _unchanged(self, name: str) -> tuple[Path, Held] | None:
        if self.previous is None or name not in self.previous[1]:
            return None
        path, held = self.previous[0] / MEDIA / name, self.previous[1][name]
        now = told_by_gallery(name)
        try:
            then = told_by_disk(path)
        except OSError:
            return None
        return (path, held) if then == now and then.size_bytes == held.size_bytes else None

    def keep_only(self, names: Mapping[str, Owner]) -> None:
        for name in self.kept.keys() - names.keys():
            del self.kept[name]
            (self.folder / MEDIA / name).unlink()

    def faults(self, names: Mapping[str, Owner]) -> Iterator[str]:
        for name, owner in names.items():
            if name in self.gone:
                yield f"{name} of {owner.named} is missing from the gallery"
            elif owner.sha256 and owner.sha256 != self.kept[name].sha256:
                yield f"{name} of {owner.named} is not what was uploaded"


@dataclass(frozen=True)
class Made:
    manifest: Manifest
    #: Files by how they came: linked, copied, downloaded, unchanged.
    how: Counter[str]
    size_bytes: int


def make(target: Path) -> Made:
    """Raises BackupError, and whatever disks raise; then nothing is kept."""
    _check(target)
    (pg_dump,) = tools.find("pg_dump")
    with _unfinished(target) as folder:
        gathered = Gathered(folder, _latest(target.parent))
        total = 3 * Asset.objects.count()
        gathered.take(tqdm(_named(), total=total, unit="file", desc="Files", file=sys.stderr, disable=None))
        manifest = None
        while manifest is None:
            manifest = _complete(gathered, pg_dump)
        manifest.write(folder)
    size_bytes = sum(one.size_bytes for held in (gathered.kept, manifest.parts) for one in held.values())
    return Made(manifest, gathered.how, size_bytes)


def _check(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise BackupError(f"{target} exists. Name a folder that does not; what is in its parent is made use of.")
    if not target.parent.is_dir():
        raise BackupError(f"There is no folder {target.parent}. Make it, or mount what it should be on.")
    if any(target.is_relative_to(folder.resolve()) for folder in (settings.DATA_DIR, settings.MEDIA_ROOT)):
        raise BackupError(f"{target} is within {settings.DATA_DIR}, and would be lost with what it is to save.")
    if Asset._meta.db_table not in connection.introspection.table_names():  # noqa: SLF001 (public, so named)
        raise BackupError("There is no gallery yet.")


def _named() -> Iterator[str]:
    for name, _ in _named_with_owners():
        yield name


def _named_with_owners() -> Iterator[tuple[str, Owner]]:
    """Every file that a row names."""
    for named in named_files.fields():
        kind = named.model._meta.verbose_name  # noqa: SLF001 (public, so named)
        if named.model is Asset and named.name == "original":
            for pk, name, sha256 in named_files.rows(named, "sha256"):
                yield name, Owner(f"{kind} {pk}", sha256)
        else:
            yield from ((name, Owner(f"{kind} {pk}")) for pk, name in named_files.rows(named))


def _complete(gathered: Gathered, pg_dump: str) -> Manifest | None:
    """All but the manifest itself; None where assets were deleted since the snapshot and their files are not there."""
    with _snapshot() as snapshot:
        names = dict(_named_with_owners())
        known_gone = len(gathered.gone)
        gathered.take(names)
        if len(gathered.gone) > known_gone:
            return None
        gathered.keep_only(names)
        folder = gathered.folder
        tools.dump(pg_dump, folder / DATABASE, snapshot=snapshot)
        write_files(folder, gathered.kept.items())
        key = settings.DATA_DIR / SECRET_KEY
        if key.exists():
            shutil.copyfile(key, folder / SECRET_KEY)
        parts = [name for name in (DATABASE, FILES, SECRET_KEY) if (folder / name).exists()]
        return _manifest(list(gathered.faults(names)), {name: held(folder / name) for name in parts})


@contextmanager
def _snapshot() -> Iterator[str]:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchone()[0]


def _manifest(faults: list[str], parts: dict[str, Held]) -> Manifest:
    """To be asked for within the snapshot that was dumped."""
    migrations: dict[str, list[str]] = {}
    for app, name in MigrationRecorder(connection).applied_migrations():
        migrations.setdefault(app, []).append(name)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), extversion FROM pg_extension WHERE extname = 'vector'"
        )
        postgres, pgvector = cursor.fetchone()
    models = {"assets": Asset, "collections": Collection, "tags": Tag, "users": User}
    return Manifest(
        made=timezone.now().isoformat(timespec="seconds"),
        project=PROJECT_VERSION,
        postgres=postgres,
        pgvector=pgvector,
        migrations=migrations,
        counts={name: model._default_manager.count() for name, model in models.items()},  # noqa: SLF001 (public, so named)
        index_memory_mb=_index_memory_mb(),
        faults=faults,
        parts=parts,
    )


def _index_memory_mb() -> int:
    kept = [IndexBuild.State.READY, IndexBuild.State.BESIDE]
    builds = IndexBuild.objects.filter(state__in=kept).select_related("encoder")
    return max([256, *(kinds.get(build.kind).memory_mb(build.plan) for build in builds)])


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A folder beside the target, for us alone, which becomes the target if all goes well, and else nothing."""
    _remove_leftovers(target.parent)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=INCOMPLETE, dir=target.parent))
    try:
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
            (folder / LOCK).unlink()
            os.sync()  # the files before the name
            folder.rename(target)
            os.sync()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _remove_leftovers(parent: Path) -> None:
    """Of backups that were killed: whoever makes one holds a lock in it."""
    for folder in parent.glob(f".*{INCOMPLETE}"):
        try:
            with (folder / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        except (FileNotFoundError, BlockingIOError):
            continue


def _latest(parent: Path) -> tuple[Path, Mapping[str, Held]] | None:
    """The latest backup there, and its files."""
    there: list[tuple[str, Path]] = []
    for folder in parent.iterdir():
        try:
            manifest = Manifest.read(folder)
            if damage_of(folder, FILES, manifest.parts[FILES]) is None:
                there.append((manifest.made, folder))
        except (BackupError, OSError):
            continue
    if not there:
        return None
    _, latest = max(there)
    return latest, dict(files(latest))
