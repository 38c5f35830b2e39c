"""Originals as one ZIP file, sent while it is made: it is never whole, neither in memory nor on the disk."""

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import IO, Any

from django.utils.translation import gettext as _
from zipstream import ZipStream

from gallery.models import Asset, AssetQuerySet

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
#: What some system lets no file be called by.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def packed(assets: AssetQuerySet) -> Iterator[bytes]:
    """The originals under the names that they were uploaded by. A text inside names those that cannot be read.

    Stored and not compressed: pictures are compressed as they are.
    """
    rows = list(assets.only("original", "filename", "size_bytes").order_by("-pk"))  # before the answer begins
    return _packed(rows)


def _packed(rows: list[Asset]) -> Iterator[bytes]:
    pack, broken = ZipStream(), list[str]()
    *names, name_of_list = distinct([*(asset.filename for asset in rows), _("Left out.txt")])
    for asset, name in zip(rows, names, strict=True):
        try:
            original = asset.original.open("rb")
        except OSError as error:
            logger.exception("The original of asset %s is left out of a ZIP file", asset.pk)
            broken.append(_why(error) % {"name": name})
            continue
        pack.add(_chunks(original, name, broken), name, size=asset.size_bytes)
        yield from pack.all_files()
    if broken:
        pack.add("\n".join(broken) + "\n", name_of_list)
    yield from pack.finalize()


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return _("%(name)s: the file is missing from the storage.")
    return _("%(name)s: the storage of files did not give it. Try again in a minute.")


def _chunks(original: IO[Any], name: str, broken: list[str]) -> Iterator[bytes]:
    """What begins to be sent cannot be left out any more; it ends where it cannot be read on, and is named."""
    try:
        with original:
            while chunk := original.read(_CHUNK_BYTES):
                yield chunk
    except OSError:
        logger.exception("%s is cut off in a ZIP file", name)
        broken.append(_("%(name)s: it could not be read to its end, and is cut off.") % {"name": name})


def distinct(names: Iterable[str]) -> list[str]:
    """Names that any system can keep in one folder: what is named alike, whatever its case, is numbered."""
    taken, made = set[str](), list[str]()
    for name in names:
        made.append(_free(_FORBIDDEN.sub("_", name).strip(" .") or "untitled", taken))
        taken.add(made[-1].lower())
    return made


def _free(name: str, taken: set[str]) -> str:
    path, number, free = PurePath(name), 1, name
    while free.lower() in taken:
        number += 1
        free = f"{path.stem} ({number}){path.suffix}"
    return free
