"""Resumable uploads by tus 1.0.0 (https://tus.io/protocols/resumable-upload): core, creation, creation-with-upload,
expiration, termination and checksum.

What became of a whole upload is told beyond the protocol: X-Asset-Id, X-Duplicate and X-Refused with the last PATCH or
POST and with every HEAD after it, and the JSON of the upload page with a POST, with a refusal, and with a PATCH that
says `Prefer: return=representation`. An empty PATCH at the end asks for it again. docs/uploads.md shows it.
"""

import base64
import binascii
import hashlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from io import FileIO
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, UnreadablePostError
from django.urls import reverse
from django.utils.http import http_date
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException, NotFound
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gallery import unfinished
from gallery.errors import Code, Refused
from gallery.forms import UploadForm
from gallery.unfinished import Busy, Outcome, TooMany, Unfinished
from gallery.uploads import Details, clean_filename, storage_errors, store_upload, too_large

_VERSION = "1.0.0"
_BYTES = "application/offset+octet-stream"
_EXTENSIONS = "creation,creation-with-upload,expiration,termination,checksum"
_ALGORITHMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
_CHECKSUM_MISMATCH = 460
_PIECE_BYTES = 256 * 1024
#: Of statuses that mean one thing here and another elsewhere.
_CODES = {
    HTTPStatus.CONFLICT: Code.WRONG_OFFSET,
    HTTPStatus.GONE: Code.EXPIRED,
    HTTPStatus.PRECONDITION_FAILED: Code.UNSUPPORTED_VERSION,
    HTTPStatus.LOCKED: Code.LOCKED,
    _CHECKSUM_MISMATCH: Code.CHECKSUM_MISMATCH,
}
#: Seconds without a byte after which a connection counts as lost; until then its upload cannot be continued by another.
_SILENCE_S = 30
#: Seconds for the body of one request, or a byte now and then would hold a thread for ever. What came by then counts.
_BODY_S = 120


class _Description(UploadForm):
    """What Upload-Metadata says of a file, as the fields of the upload page."""

    title = forms.CharField(max_length=300, required=False)
    filename = forms.CharField(required=False)
    name = forms.CharField(required=False)  # what some clients call it

    def details(self, owner: User) -> Details:
        return replace(super().details(owner), title=self.cleaned_data["title"])

    @property
    def file_named(self) -> str:
        named = clean_filename(self.cleaned_data["filename"] or self.cleaned_data["name"])
        return named if named.strip(".") else "untitled"


class MembersUpload(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method == "OPTIONS" or bool(request.user.is_authenticated)


class Unread(BaseParser):
    """Leaves the body to the view, where one looks for a form's CSRF token in it."""

    media_type = _BYTES

    def parse(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}


class _TusView(APIView):
    permission_classes = [MembersUpload]
    parser_classes = [Unread]
    renderer_classes = [JSONRenderer]
    throttle_classes = []  # a file takes hundreds of requests; what they leave behind has limits of its own

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # the protocol's way around proxies that know no PATCH; whose request it is, is asked of the method meant
        request.method = request.headers.get("X-HTTP-Method-Override", request.method or "").upper()
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != _VERSION:
            detail = f"This is no tus {_VERSION}. Send Tus-Resumable: {_VERSION}."
            raise _failure(HTTPStatus.PRECONDITION_FAILED, detail)
        if "Transfer-Encoding" in request.headers:  # Django reads as much as was announced
            raise _failure(HTTPStatus.LENGTH_REQUIRED, "Say Content-Length.")

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if code := _CODES.get(response.status_code):
            response.data["code"] = code.value
        return response

    def finalize_response(self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any) -> Response:
        final = super().finalize_response(request, cast("Response", response), *args, **kwargs)
        final.headers["Tus-Resumable"] = _VERSION
        final.headers["Cache-Control"] = "no-store"
        if final.status_code == HTTPStatus.PRECONDITION_FAILED:
            final.headers["Tus-Version"] = _VERSION
        return final

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        return Response(
            status=HTTPStatus.NO_CONTENT,
            headers={
                "Tus-Version": _VERSION,
                "Tus-Extension": _EXTENSIONS,
                "Tus-Max-Size": str(settings.MAX_UPLOAD_BYTES),
                "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
            },
        )


@extend_schema(exclude=True)  # tus describes itself
class Uploads(_TusView):
    """Where an upload begins."""

    def post(self, request: Request) -> HttpResponse:
        length = _number(request, "Upload-Length")
        if length > settings.MAX_UPLOAD_BYTES:
            raise too_large()
        metadata = request.headers.get("Upload-Metadata", "")
        _described(metadata)
        announced = _announced(request, length)
        if announced:
            _check_type(request)
        upload = _begin(request, length, metadata)
        with _held(upload) as data, _removed_on_failure(upload):
            _take(request, data, length)
            if upload.offset < announced:
                raise _failure(HTTPStatus.BAD_REQUEST, "The connection was lost.")
            outcome = _outcome(upload, request) if upload.offset == length else None
        response = _told(outcome, HTTPStatus.CREATED) if outcome else HttpResponse(status=HTTPStatus.CREATED)
        response.headers["Location"] = reverse("gallery:tus_upload", args=[upload.name])
        return _with_outcome(_with_state(response, upload), outcome)


@extend_schema(exclude=True)
class Upload(_TusView):
    """One upload, until it expires."""

    def head(self, request: Request, name: str) -> HttpResponse:
        upload = _find(request, name)
        outcome = upload.outcome
        if outcome is None and upload.offset == upload.length:
            # the process that had all of it was killed before it could be stored, and clients take it for stored now
            with _held(upload):
                outcome = _outcome(upload, request)
        if outcome and outcome.is_refusal:  # what clients take for stored is all there
            return _with_outcome(HttpResponse(status=HTTPStatus.GONE), outcome)
        response = _with_state(HttpResponse(), upload)
        response.headers["Upload-Length"] = str(upload.length)
        if upload.metadata:
            response.headers["Upload-Metadata"] = upload.metadata
        return _with_outcome(response, outcome)

    def patch(self, request: Request, name: str) -> HttpResponse:
        _check_type(request)
        upload, offset = _find(request, name), _number(request, "Upload-Offset")
        outcome = upload.outcome
        if outcome:
            _check_fit(request, offset, upload)
        else:
            with _held(upload) as data:
                _check_fit(request, offset, upload)
                _take(request, data, upload.length - offset)
                outcome = _outcome(upload, request) if upload.offset == upload.length else None
        return _with_outcome(_with_state(_answer(request, outcome), upload), outcome)

    def delete(self, request: Request, name: str) -> HttpResponse:
        upload = _find(request, name)
        if upload.outcome:
            upload.remove()
        else:
            with _held(upload):
                upload.remove()
        return HttpResponse(status=HTTPStatus.NO_CONTENT)


# --- what is asked ----------------------------------------------------------------------------------------------


def _failure(status: int, detail: str) -> APIException:
    failure = APIException(detail)
    failure.status_code = status
    return failure


def _owner(request: Request) -> User:
    return cast("User", request.user)  # the permission saw to that


def _number(request: Request, header: str) -> int:
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdigit() and len(value) < 20):  # noqa: PLR2004 (digits of the largest there may be)
        raise _failure(HTTPStatus.BAD_REQUEST, f"{header} must be a whole number.")
    return int(value)


def _described(metadata: str) -> _Description:
    form = _Description(_pairs(metadata))
    if not form.is_valid():
        detail = " ".join(str(message) for errors in form.errors.values() for message in errors)
        raise _failure(HTTPStatus.BAD_REQUEST, detail)
    return form


def _pairs(metadata: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in metadata.split(","))):
        key, _, value = pair.partition(" ")
        try:
            decoded = base64.b64decode(value.encode("ascii"), validate=True).decode()
        except (binascii.Error, UnicodeError):
            raise _failure(HTTPStatus.BAD_REQUEST, "Values in Upload-Metadata are base64 of UTF-8.") from None
        if key in pairs or not key.isascii():
            raise _failure(HTTPStatus.BAD_REQUEST, "Keys in Upload-Metadata are ASCII, and each is there once.")
        pairs[key] = decoded
    return pairs


def _begin(request: Request, length: int, metadata: str) -> Unfinished:
    try:
        with storage_errors():
            return unfinished.begin(_owner(request).pk, length, metadata)
    except TooMany:
        detail = "You have too many unfinished uploads. Finish some, or wait a day until they are forgotten."
        raise _failure(HTTPStatus.TOO_MANY_REQUESTS, detail) from None


def _find(request: Request, name: str) -> Unfinished:
    upload = unfinished.find(_owner(request).pk, name)
    if upload is None:
        raise NotFound("There is no such upload. Begin anew.")
    if upload.expires < time.time():
        raise _failure(HTTPStatus.GONE, "This upload has expired. Begin anew.")
    return upload


@contextmanager
def _held(upload: Unfinished) -> Iterator[FileIO]:
    try:
        with upload.held() as data:
            yield data
    except Busy:
        detail = "Another request is sending this upload. Try again in a moment."
        raise _failure(HTTPStatus.LOCKED, detail) from None


@contextmanager
def _removed_on_failure(upload: Unfinished) -> Iterator[None]:
    """For the request that began it: its address is told to nobody then."""
    try:
        yield
    except Exception:
        upload.remove()
        raise


def _check_type(request: Request) -> None:
    if request.content_type != _BYTES:
        raise _failure(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {_BYTES}.")


def _check_fit(request: Request, offset: int, upload: Unfinished) -> None:
    if offset != upload.offset:
        detail = f"There are {upload.offset} bytes so far. Continue with Upload-Offset: {upload.offset}."
        raise _failure(HTTPStatus.CONFLICT, detail)
    _announced(request, upload.length - offset)


def _announced(request: Request, most: int) -> int:
    """Bytes of the request's body."""
    announced = int(request.META.get("CONTENT_LENGTH") or 0)
    if announced > most:
        raise _failure(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This is more than was announced by Upload-Length.")
    return announced


# --- taking in bytes --------------------------------------------------------------------------------------------


def _take(request: Request, data: FileIO, missing: int) -> None:
    """Add the body, or what of it arrives before the connection is lost; with a checksum, all of it or nothing."""
    checksum = request.headers.get("Upload-Checksum")
    with storage_errors():
        added = _append(data, _pieces(request)) if checksum is None else _append_checked(request, data, checksum)
        if added < missing:  # else it is stored now, and that is made safe before it is acknowledged
            os.fsync(data.fileno())


def _append(data: FileIO, pieces: Iterable[bytes]) -> int:
    added = 0
    for piece in pieces:
        added += len(piece)
        rest = memoryview(piece)
        while rest:  # a disk that is filling up takes a part
            rest = rest[data.write(rest) :]
    return added


def _append_checked(request: Request, data: FileIO, checksum: str) -> int:
    digest, expected = _parsed(checksum)
    # apart until it is known to be right, or a process killed half-way would leave it among what counts as received
    with tempfile.TemporaryFile(dir=settings.SPOOL_DIR) as apart:
        for piece in _pieces(request):
            digest.update(piece)
            apart.write(piece)
        if digest.digest() != expected:
            detail = "The bytes are not those that Upload-Checksum is of, and none was kept. Send them again."
            raise _failure(_CHECKSUM_MISMATCH, detail)
        apart.seek(0)
        return _append(data, iter(lambda: apart.read(_PIECE_BYTES), b""))


def _parsed(checksum: str) -> tuple[Any, bytes]:
    algorithm, _, encoded = checksum.partition(" ")
    try:
        digest, expected = _ALGORITHMS[algorithm](), base64.b64decode(encoded.encode("ascii"), validate=True)
    except (KeyError, binascii.Error, UnicodeError):
        digest, expected = None, b""
    if digest is None or len(expected) != digest.digest_size:
        detail = f"Upload-Checksum is one of {', '.join(_ALGORITHMS)}, a space, and the checksum in base64."
        raise _failure(HTTPStatus.BAD_REQUEST, detail)
    return digest, expected


def _pieces(request: Request) -> Iterator[bytes]:
    deadline = time.monotonic() + _BODY_S
    with _patience(request):
        try:
            while time.monotonic() < deadline and (piece := request.read(_PIECE_BYTES)):
                yield piece
        except UnreadablePostError:  # what came before it counts
            return


@contextmanager
def _patience(request: Request) -> Iterator[None]:
    """No longer than _SILENCE_S without a byte and _BODY_S in all, where the server lets us have its socket."""
    connection: socket.socket | None = request.META.get("gunicorn.socket")
    if connection is None:
        yield
        return
    before = connection.gettimeout()
    connection.settimeout(_SILENCE_S)
    # one piece is read from many packets, and nothing looks at a clock between them
    timer = threading.Timer(_BODY_S, _hang_up, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.settimeout(before)


def _hang_up(connection: socket.socket) -> None:
    """For good: what still comes must not be taken for another request. The read under way returns what it has."""
    with suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)


# --- what is answered -------------------------------------------------------------------------------------------


def _outcome(upload: Unfinished, request: Request) -> Outcome:
    """Stores what is whole, and keeps what came of it. The upload must be held."""
    described = _described(upload.metadata)
    try:
        with upload.whole(described.file_named) as file:
            stored = store_upload(file, _owner(request), described.details(_owner(request)))
        outcome = Outcome(HTTPStatus.OK if stored.duplicate else HTTPStatus.CREATED, stored.told)
    except Refused as refused:
        if refused.code in {Code.STORAGE_FULL, Code.UNAVAILABLE}:  # the next attempt may find room, or the storage
            raise
        outcome = Outcome(refused.http_status, {"code": refused.code, "detail": refused.detail})
    with storage_errors():
        upload.finish(outcome)
    return outcome


def _answer(request: Request, outcome: Outcome | None) -> HttpResponse:
    if outcome and (outcome.is_refusal or request.headers.get("Prefer") == "return=representation"):
        return _told(outcome, outcome.status)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _told(outcome: Outcome, status: int) -> HttpResponse:
    return JsonResponse(outcome.answer, status=outcome.status if outcome.is_refusal else status)


def _with_state(response: HttpResponse, upload: Unfinished) -> HttpResponse:
    response.headers["Upload-Offset"] = str(upload.offset)
    response.headers["Upload-Expires"] = http_date(upload.expires)
    return response


def _with_outcome(response: HttpResponse, outcome: Outcome | None) -> HttpResponse:
    if outcome and outcome.is_refusal:
        response.headers["X-Refused"] = outcome.answer["code"]
    elif outcome:
        response.headers["X-Asset-Id"] = str(outcome.answer["id"])
        response.headers["X-Duplicate"] = str(outcome.answer["duplicate"]).lower()
    return response
