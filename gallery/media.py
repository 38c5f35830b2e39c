"""Sends stored files: by Django, or by the proxy in front where one serves media."""

from urllib.parse import quote

from django.conf import settings
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header

from gallery.images import CONTENT_TYPES
from gallery.models import Asset

#: Seconds. What is under an asset's address never changes; it is for this reader's cache alone.
_RENDITION_MAX_AGE = 30 * 24 * 3600


def send_original(asset: Asset) -> HttpResponseBase:
    content_type = CONTENT_TYPES.get(asset.format, "application/octet-stream")
    response = _send(asset.original, content_type)
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=asset.filename) or ""
    response["Cache-Control"] = "private, no-cache"  # who may have it is asked each time
    return response


def send_rendition(rendition: FieldFile) -> HttpResponseBase:
    response = _send(rendition, "image/jpeg")
    response["Cache-Control"] = f"private, max-age={_RENDITION_MAX_AGE}, immutable"
    return response


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
