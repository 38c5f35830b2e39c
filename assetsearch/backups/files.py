"""Files brought from the gallery's storage to a backup and back, at the least cost."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage

if TYPE_CHECKING:  # it loads boto3
    from gallery.bucket import BucketStorage

#: The places are on different file systems, the file system has no hard links, they are forbidden, or there are as many
#: of this file as it allows.
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_PARTIAL = ".restoring"
#: Files that come or go side by side over a network, which is waited for most of the time.
_AT_ONCE = 8
_BATCH = 256

T = TypeVar("T")


class Told(NamedTuple):
    """What a storage tells of a file without reading it: the same as before, and the file is."""

    size_bytes: int
    modified_ns: int


def told_by_gallery(name: str) -> Told:
    """Raises FileNotFoundError."""
    if _are_here():
        return told_by_disk(_here(name))
    return Told(default_storage.size(name), _modified_ns(name))


def told_by_disk(path: Path) -> Told:
    """Raises FileNotFoundError."""
    told = path.stat()
    return Told(told.st_size, told.st_mtime_ns)


def fetch(name: str, target: Path) -> str:
    """From the gallery; and how. Raises FileNotFoundError."""
    if _are_here():
        return bring(_here(name), target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with default_storage.open(name) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    os.utime(target, ns=(_modified_ns(name),) * 2)  # by which the next backup knows that it is unchanged
    return "downloaded"


def put(source: Path, name: str) -> str:
    """Into the gallery, in place of what has the name; and how."""
    if not _are_here():
        with source.open("rb") as content:
            cast("BucketStorage", default_storage).overwrite(name, File(content))
        return "uploaded"
    target = _here(name)
    if target.exists() and target.samefile(source):
        return "there already"
    partial = target.with_name(target.name + _PARTIAL)
    partial.unlink(missing_ok=True)
    try:
        how = bring(source, partial)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return how


def bring(source: Path, target: Path) -> str:
    """Link or copy it, and tell which. Raises FileNotFoundError where there is no such source.

    A hard link is as good as a copy here: a stored file is never written to again, only removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
    else:
        return "linked"
    told = source.stat()
    shutil.copyfile(source, target)
    os.utime(target, ns=(told.st_atime_ns, told.st_mtime_ns))  # by which the next backup knows that it is unchanged
    return "copied"


def each(work: Callable[[str], T], names: Iterable[str]) -> Iterator[tuple[str, T]]:
    """What the work gives for each name, in their order: one after the other on a disk, side by side over a network."""
    waiting = iter(names)
    with _mapping() as mapped:
        while batch := list(islice(waiting, _BATCH)):
            yield from zip(batch, mapped(work, batch), strict=True)


@contextmanager
def _mapping() -> Iterator[Callable[..., Iterable[T]]]:
    if _are_here():
        yield map
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield pool.map


def _modified_ns(name: str) -> int:
    """By the second, as object stores have it."""
    return int(default_storage.get_modified_time(name).timestamp()) * 1_000_000_000


def _are_here() -> bool:
    return isinstance(default_storage, FileSystemStorage)


def _here(name: str) -> Path:
    return Path(default_storage.path(name))
