"""Holds rows and files against each other: what is missing, what was altered, and files that belong to no row."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from string import hexdigits
from typing import cast

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from gallery import named_files, sandbox, unfinished
from gallery.errors import Refused
from gallery.images import Rendered
from gallery.media import on_this_machine
from gallery.models import Asset
from gallery.outages import outage
from gallery.storage import Listing
from gallery.uploads import sha256_of

logger = logging.getLogger(__name__)

#: Where originals and renditions lie; what else is among the media is none of ours.
_FOLDERS = ("originals", "renditions")
_RENDITIONS = ("preview", "thumbnail")
#: A file is there before its row is, and no upload takes so long between the two.
_ORPHAN_AGE = timedelta(minutes=30)
#: Of copies of uploads that were under way when their process was killed. An upload writes to its copy until it ends.
_ABANDONED_AGE = timedelta(days=1)
#: Files that a process killed at the worst moment leaves for each of its uploads, and that a sweep removes unasked.
_MOST_LEFT, _MOST_SWEPT = 1 + len(_RENDITIONS), 300
_ROWS_AT_ONCE = 500


class Fault(StrEnum):
    MISSING = "original missing"
    ALTERED = "original altered"
    UNREADABLE = "original unreadable"
    NO_RENDITION = "rendition missing"
    ORPHAN = "orphan"


@dataclass(frozen=True)
class Finding:
    fault: Fault
    #: The asset, or the file that belongs to none.
    where: str
    repaired: bool = False


def check_assets(*, repair: bool) -> Iterator[list[Finding]]:
    """What is wrong with each asset, one after the other: of most, nothing. Every original is read."""
    for asset in Asset.objects.order_by("pk").iterator(_ROWS_AT_ONCE):
        found = _check(asset, repair=repair)
        yield found if found and Asset.objects.filter(pk=asset.pk).exists() else []  # it may be deleted by now


def _check(asset: Asset, *, repair: bool) -> list[Finding]:
    where = f"asset {asset.pk} ({asset.filename})"
    damage = _damage(asset)
    lacking = [name for name in _RENDITIONS if not _is_there(getattr(asset, name).name or "")]
    found = [Finding(damage, where)] if damage else []
    if lacking:
        found.append(Finding(Fault.NO_RENDITION, where, repair and not damage and _render_anew(asset, lacking)))
    return found


def _damage(asset: Asset) -> Fault | None:
    try:
        with default_storage.open(asset.original.name or "") as original:
            return None if sha256_of(original) == asset.sha256 else Fault.ALTERED
    except FileNotFoundError:
        return Fault.MISSING
    except OSError as error:
        if outage(error):  # it tells nothing of the file
            raise
        return Fault.UNREADABLE


def _is_there(name: str) -> bool:
    try:
        return bool(name) and default_storage.size(name) > 0
    except FileNotFoundError:
        return False


def _render_anew(asset: Asset, names: Iterable[str]) -> bool:
    """Whether it could be done."""
    try:
        rendered = _render(asset)
    except Refused as refused:
        logger.warning("Asset %s cannot be rendered anew. %s", asset.pk, refused)
        return False
    for name in names:
        getattr(asset, name).save(f"{name}.jpg", ContentFile(getattr(rendered, name)), save=False)
    Asset.objects.filter(pk=asset.pk).update(**{name: getattr(asset, name).name for name in names})
    return True


def _render(asset: Asset) -> Rendered:
    with on_this_machine(asset) as path:
        return sandbox.render_file(path)


def orphans() -> Iterator[str]:
    """Names of files that belong to no row, and are too old to be of an upload under way."""
    files = cast("Listing", default_storage)
    # a sixteenth at once, so that the names of a million assets are not in memory together
    for prefix in (f"{folder}/{letter}" for folder in _FOLDERS for letter in hexdigits.lower()[:16]):
        names = list(files.names(prefix))
        known = named_files.names(startswith=prefix)
        yield from (name for name in names if name not in known and _is_older(name, _ORPHAN_AGE))


def _is_older(name: str, age: timedelta) -> bool:
    try:
        return cast("Listing", default_storage).put_there(name) < timezone.now() - age
    except FileNotFoundError:
        return False


def remove_orphan(name: str) -> bool:
    """Whether it was one: it is asked once more, by itself, before what cannot be undone."""
    if named_files.names(exact=name):
        return False
    default_storage.delete(name)
    return True


def sweep() -> int:
    """Remove what processes left that were killed, and tell how many files. For a schedule: every twenty minutes.

    Where very many files belong to no row, it is likelier that this is the wrong database, or an old one just restored.
    """
    _sweep_spool()
    unfinished.remove_expired()
    found = list(islice(orphans(), _MOST_SWEPT + 1))
    if len(found) > _MOST_SWEPT or len(found) > _MOST_LEFT + len(_RENDITIONS) * Asset.objects.count():
        logger.error(
            "%s files or more belong to no asset. Look into it; manage.py check_integrity --repair deletes them",
            len(found),
        )
        return 0
    return sum(remove_orphan(name) for name in found)


def _sweep_spool() -> None:
    limit = (timezone.now() - _ABANDONED_AGE).timestamp()
    for path in Path(settings.SPOOL_DIR).glob(f"{tempfile.gettempprefix()}*"):
        if path.is_file() and path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)
