"""Imports a folder and all below it. Running it again takes up where it stopped: what is stored is known by hash."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.utils.translation import gettext_noop as _

from gallery.errors import Code, Refused
from gallery.formats import SUFFIXES
from gallery.ingest.bulk import Intake, Outcome
from gallery.uploads import Details

_MOST_OFFERED = 500


def folder_below(name: str) -> Path:
    """The folder of that name below IMPORT_ROOT. Raises Refused for what is none, or leads out."""
    root = _root()
    try:
        folder = (root / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # NUL in it; links in a circle
        folder = root.parent
    if not (folder.is_relative_to(root) and folder.is_dir()):
        # the same words for all, or they would tell what there is outside
        raise Refused(Code.NOT_FOUND, _("There is no such folder to import from."))
    return folder


def folders_offered() -> list[str]:
    """Names of folders below IMPORT_ROOT, two levels deep; deeper ones can be named."""
    root = _root()
    found = [path for pattern in ("*/", "*/*/") for path in islice(root.glob(pattern), _MOST_OFFERED)]
    names = [path.relative_to(root) for path in found if path.resolve() == path]  # not by way of a link
    return sorted(str(name) for name in names if _is_offered(name))


def _is_offered(name: Path) -> bool:
    """No page could hold a name that is no text."""
    return str(name).isprintable() and not any(part.startswith(".") for part in name.parts)


def _root() -> Path:
    if settings.IMPORT_ROOT is None:
        raise Refused(Code.NOT_FOUND, _("Folders are imported where IMPORT_ROOT names one."))
    return settings.IMPORT_ROOT.resolve()


def pictures(folder: Path) -> list[Path]:
    """Files below the folder that are pictures by their names, in order. Links and hidden folders are left out."""
    return sorted(path for path in _files(folder) if path.suffix.lower() in SUFFIXES)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def import_files(paths: Iterable[Path], owner: User, details: Details) -> Iterator[Outcome[Path]]:
    return Intake(_open, owner, lambda _: details).store_all(paths)


@contextmanager
def _open(path: Path) -> Iterator[File[bytes]]:
    with open(path, "rb", opener=_no_link) as opened:
        yield File(opened, name=path.name)


def _no_link(path: str, flags: int) -> int:
    """It was none when the folder was read, and may have become one."""
    return os.open(path, flags | os.O_NOFOLLOW)
