"""store_upload(): the one way in, for web, API and command line."""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from gallery import sandbox, trash
from gallery.errors import Code, Refused
from gallery.history import Act
from gallery.images import Rendered
from gallery.models import Asset, Collection, Tag
from gallery.outages import outage
from gallery.signals import asset_stored
from gallery.storage import Listing

logger = logging.getLogger(__name__)

#: Longer than this, what follows the last dot is no suffix but part of a sentence.
_SUFFIX_MAX = 10


@dataclass(frozen=True)
class Stored:
    asset: Asset
    #: The same bytes were there already; nothing was stored, and `asset` is what was there.
    duplicate: bool
    #: What was there lay in the trash, and is back.
    restored: bool = False

    @property
    def told(self) -> dict[str, object]:
        """To the upload page's script."""
        return {
            "id": self.asset.pk,
            "title": self.asset.title,
            "status": self.asset.status,
            "url": self.asset.get_absolute_url(),
            "duplicate": self.duplicate,
            "restored": self.restored,
        }


@dataclass(frozen=True)
class Details:
    """What the uploader says of a file."""

    title: str = ""
    collection: Collection | None = None
    tags: list[str] = field(default_factory=list)
    source_url: str = ""


def store_upload(file: File[bytes], owner: User, details: Details | None = None, *, in_bulk: bool = False) -> Stored:
    """Store a picture with its renditions, or find that it is stored. Raises Refused, and then leaves nothing."""
    with storage_errors(), spooled(file) as (path, sha256):
        existing = Asset.objects.readable_by(owner).filter(sha256=sha256).first()
        if existing:
            _put_back(existing, path)
            return _found(existing, owner)
        rendered = sandbox.render_file(path)
        details = details or Details()
        asset = _unsaved(clean_filename(file.name or ""), details, rendered)
        asset.owner, asset.sha256, asset.size_bytes = owner, sha256, path.stat().st_size
        return _save(asset, path, rendered, details.tags, in_bulk=in_bulk)


@contextmanager
def spooled(file: File[bytes]) -> Iterator[tuple[Path, str]]:
    """The upload as a file of our own, and its SHA-256; gone afterwards. Raises Refused (too_large)."""
    if file.size is not None and file.size > settings.MAX_UPLOAD_BYTES:
        raise too_large()
    if isinstance(file, TemporaryUploadedFile):  # it is one already, and goes with the request
        yield Path(file.temporary_file_path()), sha256_of(file)
        return
    with tempfile.NamedTemporaryFile(dir=settings.SPOOL_DIR) as copy:
        digest, size = hashlib.sha256(), 0
        for chunk in file.chunks(1 << 20):
            size += len(chunk)
            if size > settings.MAX_UPLOAD_BYTES:
                raise too_large()
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        yield Path(copy.name), digest.hexdigest()


def sha256_of(file: File[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def too_large() -> Refused:
    return Refused(
        Code.TOO_LARGE,
        _("The file is too large; at most %(most)s MB are taken."),
        {"most": settings.MAX_UPLOAD_BYTES // 1_000_000},
    )


def _unsaved(filename: str, details: Details, rendered: Rendered) -> Asset:
    told = rendered.metadata
    latitude, longitude = told.location or (None, None)
    return Asset(
        title=(details.title.strip() or told.title or PurePosixPath(filename).stem)[:300],
        filename=filename,
        source_url=details.source_url,
        collection=details.collection,
        format=rendered.format,
        width=rendered.width,
        height=rendered.height,
        perceptual_hash=rendered.perceptual_hash,
        caption=told.caption,
        keywords=list(told.keywords),
        camera=told.camera,
        lens=told.lens,
        taken=_with_zone(told.taken),
        latitude=latitude,
        longitude=longitude,
    )


def _with_zone(taken: datetime | None) -> datetime | None:
    """By the gallery's zone where the camera told none: it is then shown as the camera's clock had it."""
    return timezone.make_aware(taken) if taken and timezone.is_naive(taken) else taken


def clean_filename(name: str) -> str:
    """The last part of a path, without control characters, short enough for the database and any file system."""
    last = PurePosixPath(name.replace("\\", "/")).name
    printable = "".join(letter for letter in last if letter.isprintable()).strip()
    stem, dot, suffix = printable.rpartition(".")
    if dot and len(suffix) <= _SUFFIX_MAX:
        return f"{stem[: 200 - len(suffix)]}.{suffix}"
    return printable[:200] or "untitled"


def _found(existing: Asset, owner: User) -> Stored:
    """Who sends what lies in the trash wants it back."""
    if not existing.trashed:
        return Stored(existing, duplicate=True)
    trash.restore(Asset.objects.filter(pk=existing.pk), Act(owner))
    existing.refresh_from_db()
    return Stored(existing, duplicate=True, restored=True)


def _put_back(existing: Asset, path: Path) -> None:
    """Where its original is gone or cut off, these are its bytes: who sends them again repairs it.

    By its size alone: to read it each time is too dear, and what was altered in place `check_integrity` finds.
    """
    name, storage = existing.original.name or "", existing.original.storage
    try:
        if storage.size(name) == existing.size_bytes:
            return
    except FileNotFoundError:
        pass
    logger.warning("The original of asset %s was missing or cut off. It was sent again, and is put back", existing.pk)
    with path.open("rb") as original:
        cast("Listing", storage).overwrite(name, File(original))


def _save(asset: Asset, path: Path, rendered: Rendered, tags: list[str], *, in_bulk: bool) -> Stored:
    try:
        with _files_of(asset) as commits:
            _write_files(asset, path, rendered)
            with transaction.atomic():
                asset.save(force_insert=True)
                asset.tag_list = Tag.objects.named(tags)  # for the answer, which shows them
                asset.tags.add(*asset.tag_list)
                transaction.on_commit(partial(_announce, asset.pk, in_bulk=in_bulk))
                commits()
    except IntegrityError:
        existing = Asset.objects.filter(sha256=asset.sha256).first()
        if existing is not None:
            return _found(existing, asset.owner)
        if asset.collection_id and not Collection.objects.filter(pk=asset.collection_id).exists():
            raise Refused(Code.NOT_FOUND, _("The collection was deleted meanwhile. Send the file again.")) from None
        raise  # it was another constraint, or the other upload was deleted just now
    return Stored(asset, duplicate=False)


def _announce(asset_id: int, *, in_bulk: bool) -> None:
    # robust: the upload is stored whatever its listeners do, and a sweep makes good what they missed
    asset_stored.send_robust(Asset, asset_id=asset_id, in_bulk=in_bulk)


def _write_files(asset: Asset, path: Path, rendered: Rendered) -> None:
    with path.open("rb") as original:
        asset.original.save(asset.filename, File(original), save=False)
    asset.preview.save("preview.jpg", ContentFile(rendered.preview), save=False)
    asset.thumbnail.save("thumbnail.jpg", ContentFile(rendered.thumbnail), save=False)


@contextmanager
def _files_of(asset: Asset) -> Iterator[Callable[[], None]]:
    """Removes the asset's files again where it is certain that no row names them.

    An error after it was told that a commit follows says so only where the database refused: else the answer may have
    been lost, and not the row. What then belongs to no row, the sweep removes.
    """
    may_be_committed = False

    def commits() -> None:
        nonlocal may_be_committed
        may_be_committed = True

    try:
        yield commits
    except BaseException as error:
        if not may_be_committed or isinstance(error, IntegrityError):
            remove_files(asset)
        raise


def remove_files(asset: Asset) -> None:
    for stored in (asset.original, asset.preview, asset.thumbnail):
        if stored.name:
            stored.storage.delete(stored.name)


@contextmanager
def storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if refused := outage(error):
            raise refused from error
        raise
