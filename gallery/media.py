"""Sends stored files: by Django, by the proxy in front where one serves media, or by the bucket they lie in."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, cast
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _

from gallery import sandbox
from gallery.formats import CONTENT_TYPES
from gallery.models import Asset, Viewer, may_download_originals

#: Seconds. What is under an asset's address never changes; it is for this reader's cache alone.
_RENDITION_MAX_AGE = 30 * 24 * 3600
#: Seconds that a link into the bucket lives. It works for whoever has it, so that of an original is there to be
#: followed and no longer.
_ORIGINAL_LINK_S = 60
#: Keys that a machine is lent are renewed when they have ten minutes left, and links signed with them end when they do.
_RENDITION_LINK_S = 600


def send_original(asset: Asset, user: Viewer) -> HttpResponseBase:
    """Raises PermissionDenied."""
    if not may_download_originals(user):
        raise PermissionDenied(_("Sign in to download originals."))
    content_type = CONTENT_TYPES.get(asset.format, "application/octet-stream")
    disposition = content_disposition_header(as_attachment=True, filename=asset.filename) or ""
    if settings.S3_BUCKET:
        told = {"ContentType": content_type, "ContentDisposition": disposition, "CacheControl": "private, no-store"}
        response: HttpResponseBase = _redirect(asset.original, _ORIGINAL_LINK_S, told)
        response["Cache-Control"] = "no-store"
        return response
    response = _send(asset.original, content_type)
    response["Content-Disposition"] = disposition
    response["Cache-Control"] = "private, no-cache"  # who may have it is asked each time
    return response


def send_size(asset: Asset, user: Viewer, long_edge_px: int) -> HttpResponseBase:
    """The original as a JPEG of that size, made now. Raises PermissionDenied, Refused."""
    if not may_download_originals(user):
        raise PermissionDenied(_("Sign in to download originals."))
    try:
        with on_this_machine(asset) as path:
            rendered = sandbox.render_file_size(path, long_edge_px)
    except FileNotFoundError:
        raise Http404("The file is missing from the storage.") from None
    response = HttpResponse(rendered, content_type="image/jpeg")
    name = f"{PurePath(asset.filename).stem} {long_edge_px} px.jpg"
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    response["Cache-Control"] = "private, no-cache"
    return response


@contextmanager
def on_this_machine(asset: Asset) -> Iterator[Path]:
    """A copy of the original: a storage need not keep files here. Raises FileNotFoundError."""
    with tempfile.NamedTemporaryFile(dir=settings.SPOOL_DIR) as copy:
        with asset.original.open("rb") as original:
            shutil.copyfileobj(original, copy)
        copy.flush()
        yield Path(copy.name)


def send_rendition(rendition: FieldFile) -> HttpResponseBase:
    lasting = f"private, max-age={_RENDITION_MAX_AGE}, immutable"
    if settings.S3_BUCKET:
        told = {"ContentType": "image/jpeg", "CacheControl": lasting}
        response: HttpResponseBase = _redirect(rendition, _RENDITION_LINK_S, told)
        # a minute less than the link lives, for a browser that is slow to follow it
        response["Cache-Control"] = f"private, max-age={_RENDITION_LINK_S - 60}"
        return response
    response = _send(rendition, "image/jpeg")
    response["Cache-Control"] = lasting
    return response


def _redirect(stored: FieldFile, seconds: int, told: dict[str, str]) -> HttpResponseRedirect:
    """To a link that was signed here; the bucket is not asked. It answers with the headers told."""
    parameters = {f"Response{header}": value for header, value in told.items()}
    return HttpResponseRedirect(cast("Any", stored.storage).url(stored.name, parameters=parameters, expire=seconds))


def _send(stored: FieldFile, content_type: str) -> HttpResponseBase:
    response: HttpResponseBase
    if settings.MEDIA_REDIRECT:
        response = HttpResponse(content_type=content_type)
        response["X-Accel-Redirect"] = f"{settings.MEDIA_REDIRECT.rstrip('/')}/{quote(stored.name or '')}"
    else:
        try:
            response = FileResponse(stored.open("rb"), content_type=content_type)
        except FileNotFoundError:
            raise Http404("The file is missing from the storage.") from None
    # Bytes from outside: a browser must neither guess their type nor run anything in them.
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response
