"""Turns away requests that no browser sends, and more than may be sent, before anything behind trips over them."""

from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import Resolver404, resolve
from django.utils.translation import gettext_noop as _
from django.views.defaults import bad_request

from gallery.errors import Code, Refused
from gallery.web import Request, View, for_members

_FORM_WITH_FILES = "multipart/form-data"
#: Pieces of resumable uploads. Nothing reads them but what limits them.
_PIECES = "application/offset+octet-stream"
#: Routes whose forms may hold files, and how many of the largest size these may come to. Where several are taken, five:
#: 1 GB by default holds a folder of photographs without script, or the API's twenty pictures of 50 MB, and what eight
#: threads take in at once fits on a disk. The proxy of docker-compose.yml lets one through.
_FILES_TAKEN = {
    "api:asset-list": 1,
    "api:asset-check": 5,
    "api:search": 5,
    "gallery:upload": 5,
    "search:search": 5,
    "search:compare": 1,
    "search:check": 1,
    "search:reports": 5,
    "search:report": 5,
    "search:report_retry": 1,
    "search:have": 5,
}
#: Routes whose forms may hold a ZIP file.
_ARCHIVE_TAKEN = {"gallery:begin_import", "api:import-list"}
#: Routes among them that strangers may search by, where PUBLIC_READ says so.
_TAKEN_FROM_STRANGERS = {"search:search", "api:search"}


class _Passed(Request):
    until_answered: ExitStack


class RefuseMalformed:
    """Postgres stores no NUL, headers carry none, and a form in another encoding than UTF-8 cannot be read safely."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        # however slow strangers are, threads are left to those who are signed in
        self._strangers = BoundedSemaphore(max(1, settings.WEB_THREADS // 2))

    def __call__(self, request: _Passed) -> HttpResponseBase:
        if _has_nul(request) or _is_in_another_encoding(request):
            return _refusal(request)
        if _has_too_much(request):
            return _told(request, _too_large(request))
        with ExitStack() as request.until_answered:
            return self.get_response(request)

    def process_view(
        self, request: _Passed, view: View, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Large forms of strangers, before CSRF's own process_view reads them."""
        if not _is_large_and_a_strangers(request):
            return None
        if not (settings.PUBLIC_READ and _route(request) in _TAKEN_FROM_STRANGERS):
            return None if _is_api(request) else for_members(view)(request, *args, **kwargs)  # the API reads none
        if not self._strangers.acquire(blocking=False):
            return _told(request, _busy())
        request.until_answered.callback(self._strangers.release)
        return None


def _has_nul(request: HttpRequest) -> bool:
    query = request.META.get("QUERY_STRING", "")
    return "\0" in request.path or "\0" in query or "%00" in query or any("\0" in v for v in request.COOKIES.values())


def _is_in_another_encoding(request: HttpRequest) -> bool:
    charset = (request.content_params or {}).get("charset", "utf-8")
    return charset.lower().replace("-", "") != "utf8"


def _has_too_much(request: HttpRequest) -> bool:
    """Before anyone is asked who they are, a form is read, and its files written to the disk: for its CSRF token.

    JSON would be read into memory whatever its length.
    """
    return request.content_type != _PIECES and _announced(request) > _most_bytes(request)


def _most_bytes(request: HttpRequest) -> int:
    if request.content_type != _FORM_WITH_FILES:
        return settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    route = _route(request)
    archive = settings.MAX_IMPORT_BYTES if route in _ARCHIVE_TAKEN else 0
    files = _FILES_TAKEN.get(route, 0) * settings.MAX_UPLOAD_BYTES
    return archive + files + settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _route(request: HttpRequest) -> str:
    try:
        return resolve(request.path_info).view_name
    except Resolver404:
        return ""


def _announced(request: HttpRequest) -> int:
    return int(request.META.get("CONTENT_LENGTH") or 0)


def _is_large_and_a_strangers(request: Request) -> bool:
    is_large = request.content_type == _FORM_WITH_FILES and _announced(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    # a token that is none is refused before anything is read
    has_token = _is_api(request) and request.headers.get("Authorization", "").lower().startswith("token ")
    return is_large and not has_token and not request.user.is_authenticated


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _too_large(request: HttpRequest) -> Refused:
    megabytes = _most_bytes(request) // 1_000_000
    return Refused(
        Code.TOO_LARGE, _("The request is too large; at most %(most)s MB are taken here."), {"most": megabytes}
    )


def _busy() -> Refused:
    return Refused(
        Code.THROTTLED,
        _("Too many large pictures are being sent right now. Try again in a moment, sign in, or send a smaller one."),
    )


def _told(request: HttpRequest, refused: Refused) -> HttpResponse:
    status, headers = refused.http_status, refused.headers
    if _is_api(request) or "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"code": refused.code, "detail": refused.detail}, status=status, headers=headers)
    headers = {**headers, "X-Refused": refused.code}  # the page's script shows the sentence
    said = f"{refused.detail} ({refused.code})"
    return HttpResponse(said, content_type="text/plain", status=status, headers=headers)


def _refusal(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return JsonResponse(
            {"code": Code.INVALID, "detail": "The request is malformed."}, status=HTTPStatus.BAD_REQUEST
        )
    return bad_request(request, ValueError("malformed"))
