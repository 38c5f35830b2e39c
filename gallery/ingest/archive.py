"""Imports the pictures of a ZIP file. Nothing is unpacked: each is read as a stream, and its name is but words."""

import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.utils.translation import gettext_noop as _

from gallery.errors import Code, Refused
from gallery.formats import SUFFIXES
from gallery.ingest.bulk import Intake, Outcome
from gallery.uploads import Details

_TOO_MANY_ENTRIES = 50_000
#: Of the directory at the end. Each entry takes 46 and its name there, and several hundred in memory.
_MAX_DIRECTORY_BYTES = 16_000_000
#: Of what comes out to what is packed. Pictures hardly shrink; a plain bitmap may a hundredfold.
_MAX_RATIO, _MAX_RATIO_OF_ALL = 1000, 100
#: Python unpacks these piece by piece. Of bzip2 and LZMA it holds in memory whatever comes of a piece.
_METHODS = {ZIP_STORED, ZIP_DEFLATED}
_ARCHIVE_SUFFIXES = {".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"}
#: Flags (APPNOTE 4.4.4) of encrypted data, patched data, strong encryption, an encrypted directory.
_UNREADABLE_FLAGS = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 13
#: What a damaged archive makes Python's reader throw while it is opened, and while it is read.
_DAMAGE = (BadZipFile, EOFError, NotImplementedError, ValueError, struct.error)
_DAMAGED_DATA = (BadZipFile, EOFError, zlib.error)


@dataclass(frozen=True)
class Entry:
    info: ZipInfo
    refused: Refused | None

    def __str__(self) -> str:
        return self.info.orig_filename


def check_archive(archive: UploadedFile[bytes]) -> None:
    """Raises Refused for an upload that is no ZIP file, or too large."""
    assert isinstance(archive, TemporaryUploadedFile)  # noqa: S101 (see upload_handler.py)
    path = Path(archive.temporary_file_path())
    if (archive.size or 0) > settings.MAX_IMPORT_BYTES:
        limit = settings.MAX_IMPORT_BYTES // 1_000_000
        raise Refused(
            Code.TOO_LARGE, _("The ZIP file is too large; at most %(most)s MB are taken."), {"most": f"{limit:,}"}
        )
    with open_archive(path):
        pass


@contextmanager
def open_archive(path: Path) -> Iterator[ZipFile]:
    """Raises Refused."""
    with _Bounded(FileIO(path)) as file:
        try:
            archive = ZipFile(file)
        except _DAMAGE:
            raise Refused(Code.CORRUPT, _("This is no ZIP file, or a damaged one.")) from None
        if len(archive.infolist()) >= _TOO_MANY_ENTRIES:
            raise _too_many()
        yield archive


class _Bounded(BufferedReader):
    """Refuses to read a large directory, which ZipFile reads at once and makes objects of before they are counted."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise _too_many()
        return super().read(size)


def _too_many() -> Refused:
    return Refused(
        Code.TOO_LARGE, _("The ZIP file holds %(most)s files or more. Divide it."), {"most": f"{_TOO_MANY_ENTRIES:,}"}
    )


def entries(archive: ZipFile, archive_bytes: int) -> list[Entry]:
    """What it holds of pictures, by their names, and of what one may take for some. Hidden files are left out."""
    room, found = max(_MAX_RATIO_OF_ALL * archive_bytes, settings.MAX_UPLOAD_BYTES), []
    for info in archive.infolist():
        if not _is_wanted(info):
            continue
        refused = next(_refusals(info), None)
        if not refused:
            room -= info.file_size
            if room < 0:
                refused = Refused(
                    Code.TOO_LARGE, _("The ZIP file holds far more than its size; this is past the limit.")
                )
        found.append(Entry(info, refused))
    return found


def _is_wanted(info: ZipInfo) -> bool:
    path = _path(info)
    hidden = any(part.startswith(".") and part != ".." for part in path.parts) or "__MACOSX" in path.parts
    suffix = path.suffix.lower()
    return not (hidden or info.is_dir()) and (suffix in SUFFIXES | _ARCHIVE_SUFFIXES or _is_link(info))


def _path(info: ZipInfo) -> PurePosixPath:
    return PurePosixPath(info.filename.replace("\\", "/"))  # as some packers on Windows write them


def _is_link(info: ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)  # where Unix has its mode


def _refusals(info: ZipInfo) -> Iterator[Refused]:
    """Why it is not taken, as far as the directory tells."""
    path = _path(info)
    if _is_link(info):
        yield Refused(Code.UNSUPPORTED_TYPE, _("It is a link and no file."))
    if path.is_absolute() or str(path)[1:2] == ":" or ".." in path.parts:
        yield Refused(Code.INVALID, _("Its name leads out of the archive."))
    if info.flag_bits & _UNREADABLE_FLAGS:
        yield Refused(Code.UNSUPPORTED_TYPE, _("It is encrypted."))
    if path.suffix.lower() in _ARCHIVE_SUFFIXES:
        yield Refused(Code.UNSUPPORTED_TYPE, _("It is an archive in an archive. Unpack it, and import that."))
    if info.compress_type not in _METHODS:
        yield Refused(Code.UNSUPPORTED_TYPE, _("It is compressed by another method than ZIP files usually are."))
    if info.file_size > settings.MAX_UPLOAD_BYTES or info.file_size > _MAX_RATIO * max(info.compress_size, 1):
        yield Refused(Code.TOO_LARGE, _("Unpacked it is too large."))


def import_entries(archive: ZipFile, found: Iterable[Entry], owner: User, details: Details) -> Iterator[Outcome[Entry]]:
    @contextmanager
    def opened(entry: Entry) -> Iterator[File[bytes]]:
        if entry.refused:
            raise entry.refused
        with _refusing(*_DAMAGE):
            data = archive.open(entry.info)
        # no more is read than the directory says, so that a size too small is found out by the checksum
        with data, _refusing(*_DAMAGED_DATA):
            file = File(data, name=_path(entry.info).name)
            file.size = entry.info.file_size  # or Django asks the file system for the size of a file of that name
            yield file

    return Intake(opened, owner, lambda _: details).store_all(found)


@contextmanager
def _refusing(*damage: type[Exception]) -> Iterator[None]:
    try:
        yield
    except damage:
        raise Refused(
            Code.CORRUPT, _("It is damaged in the archive, or not of the size that the archive says.")
        ) from None
