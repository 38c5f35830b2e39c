"""Turns away requests that no browser sends, before anything behind trips over them."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import Resolver404, resolve
from django.views.defaults import bad_request

from gallery.errors import Code

_FORM_WITH_FILES = "multipart/form-data"
#: Pieces of resumable uploads. Nothing reads them but what limits them.
_PIECES = "application/offset+octet-stream"
#: Routes whose forms may hold files, and how many of the largest size these may come to. Where several are taken, five:
#: 1 GB by default holds a folder of photographs without script, or the API's twenty pictures of 50 MB, and what eight
#: threads take in at once fits on a disk. The proxy of docker-compose.yml lets one through.
_FILES_TAKEN = {"api:asset-list": 1, "search:search": 1, "search:compare": 1, "api:search": 5, "gallery:upload": 5}


class RefuseMalformed:
    """Postgres stores no NUL, headers carry none, and a form in another encoding than UTF-8 cannot be read safely."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _has_nul(request) or _is_in_another_encoding(request) or _is_too_long(request):
            return _refusal(request)
        if _has_too_much(request):
            return _too_large(request)
        return self.get_response(request)


def _has_nul(request: HttpRequest) -> bool:
    query = request.META.get("QUERY_STRING", "")
    return "\0" in request.path or "\0" in query or "%00" in query or any("\0" in v for v in request.COOKIES.values())


def _is_in_another_encoding(request: HttpRequest) -> bool:
    charset = (request.content_params or {}).get("charset", "utf-8")
    return charset.lower().replace("-", "") != "utf8"


def _is_too_long(request: HttpRequest) -> bool:
    """Beyond what Django lets a form hold: JSON would be read into memory whatever its length."""
    has_files = request.content_type in {_FORM_WITH_FILES, _PIECES}
    return not has_files and _announced(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _has_too_much(request: HttpRequest) -> bool:
    """Before anyone is asked who they are, a form is read, and its files written to the disk: for its CSRF token."""
    return request.content_type == _FORM_WITH_FILES and _announced(request) > _most_bytes(request)


def _most_bytes(request: HttpRequest) -> int:
    return _files_taken(request) * settings.MAX_UPLOAD_BYTES + settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _files_taken(request: HttpRequest) -> int:
    try:
        return _FILES_TAKEN.get(resolve(request.path_info).view_name, 0)
    except Resolver404:
        return 0


def _announced(request: HttpRequest) -> int:
    return int(request.META.get("CONTENT_LENGTH") or 0)


def _too_large(request: HttpRequest) -> HttpResponse:
    megabytes = _most_bytes(request) // 1_000_000
    detail = f"The request is too large; at most {megabytes} MB are taken here."
    if request.path.startswith("/api/") or "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"code": Code.TOO_LARGE, "detail": detail}, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    said = f"{detail} ({Code.TOO_LARGE})"
    return HttpResponse(said, content_type="text/plain", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _refusal(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(
            {"code": Code.INVALID, "detail": "The request is malformed."}, status=HTTPStatus.BAD_REQUEST
        )
    return bad_request(request, ValueError("malformed"))
