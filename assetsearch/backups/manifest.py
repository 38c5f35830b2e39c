"""What a backup holds, as its manifest tells. That is written last: a folder without one is no backup."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

#: Held equal to pyproject.toml, which an image of the project lacks, by a test.
PROJECT_VERSION = "0.1.0"
#: To be raised when an older restore could not read what backup writes.
_FORMAT = 1
_KIND = "AssetSearch backup"

_MANIFEST = "manifest.json"
DATABASE, FILES, SECRET_KEY, MEDIA = "database.dump", "files.jsonl", "secret_key", "media"
#: Ends the name of a backup under way; in it lies a file that its process has locked.
INCOMPLETE, LOCK = ".incomplete", "lock"


class BackupError(Exception):
    """Why no backup was made, or none restored, in words for whoever asked for it."""


class Held(NamedTuple):
    size_bytes: int
    sha256: str


class Damage(NamedTuple):
    #: Of a file of the backup, below its folder.
    name: str
    what: str


@dataclass(frozen=True)
class Manifest:
    made: str
    project: str
    postgres: str
    pgvector: str
    #: Applied, by app.
    migrations: dict[str, list[str]]
    counts: dict[str, int]
    #: maintenance_work_mem without which its vector indexes cannot be built.
    index_memory_mb: int
    #: What was missing or altered in the gallery itself when this was made.
    faults: list[str]
    #: All but the pictures; `files.jsonl` lists these.
    parts: dict[str, Held]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises BackupError where the folder is no backup, or was made by a newer version."""
        try:
            told = json.loads((folder / _MANIFEST).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise BackupError(_why_no_backup(folder)) from None
        except ValueError:
            raise BackupError(f"{folder / _MANIFEST} is damaged. Nothing was restored from it.") from None
        if not isinstance(told, dict) or told.get("kind") != _KIND:
            raise BackupError(f"{folder} is no backup of AssetSearch: its {_MANIFEST} says something else.")
        if told.get("format") != _FORMAT:
            raise BackupError(f"{folder} is in a form that this version cannot read. Update AssetSearch first.")
        body = told.get("backup", {})
        if told.get("sha256") != _seal(body):
            raise BackupError(f"{folder / _MANIFEST} is damaged. Nothing was restored from it.")
        parts = {name: Held(*held) for name, held in body.pop("parts").items()}
        return cls(parts=parts, **body)

    def write(self, folder: Path) -> None:
        body = asdict(self)
        told = {"kind": _KIND, "format": _FORMAT, "sha256": _seal(body), "backup": body}
        (folder / _MANIFEST).write_text(json.dumps(told, indent=1))


def _seal(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _why_no_backup(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is not a folder."
    if folder.name.endswith(INCOMPLETE) or (folder / LOCK).exists():
        return f"{folder} was interrupted before it was whole. It is no backup."
    return f"{folder} is no backup, or only a part of one: there is no {_MANIFEST} in it."


def held(path: Path) -> Held:
    """As it is on the disk now."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Held(file.tell(), digest.hexdigest())


def write_files(folder: Path, files: Iterable[tuple[str, Held]]) -> None:
    with (folder / FILES).open("w") as listed:
        listed.writelines(json.dumps([name, *held]) + "\n" for name, held in files)


def files(folder: Path) -> Iterator[tuple[str, Held]]:
    """Each picture by the name that the gallery has for it. Raises BackupError for a name that leads elsewhere."""
    with (folder / FILES).open() as listed:
        for line in listed:
            name, size_bytes, sha256 = json.loads(line)
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise BackupError(f"{folder / FILES} names a file outside the gallery: {name!r}.")
            yield name, Held(size_bytes, sha256)


def check_parts(folder: Path, manifest: Manifest) -> None:
    """Raises BackupError where one is damaged: without it there is nothing to restore."""
    for name, expected in manifest.parts.items():
        if damage := damage_of(folder, name, expected):
            raise BackupError(f"{folder / name} {damage.what}. Nothing can be restored without it.")


def damage_of(folder: Path, name: str, expected: Held) -> Damage | None:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        return Damage(name, "is missing")
    try:
        return None if held(path) == expected else Damage(name, "was altered")
    except OSError as error:
        return Damage(name, f"cannot be read ({error.strerror})")
