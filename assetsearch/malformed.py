"""Turns away requests that no browser sends, before anything behind trips over them."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.defaults import bad_request

from gallery.errors import Code

#: Bodies that go into files, each up to its own limit: forms with files, and pieces of resumable uploads.
_INTO_FILES = {"multipart/form-data", "application/offset+octet-stream"}


class RefuseMalformed:
    """Postgres stores no NUL, headers carry none, and a form in another encoding than UTF-8 cannot be read safely."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _has_nul(request) or _is_in_another_encoding(request) or _is_too_long(request):
            return _refusal(request)
        return self.get_response(request)


def _has_nul(request: HttpRequest) -> bool:
    query = request.META.get("QUERY_STRING", "")
    return "\0" in request.path or "\0" in query or "%00" in query or any("\0" in v for v in request.COOKIES.values())


def _is_in_another_encoding(request: HttpRequest) -> bool:
    charset = (request.content_params or {}).get("charset", "utf-8")
    return charset.lower().replace("-", "") != "utf8"


def _is_too_long(request: HttpRequest) -> bool:
    """Beyond what Django lets a form hold: JSON would be read into memory whatever its length."""
    has_files = request.content_type in _INTO_FILES
    return not has_files and int(request.META.get("CONTENT_LENGTH") or 0) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _refusal(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(
            {"code": Code.INVALID, "detail": "The request is malformed."}, status=HTTPStatus.BAD_REQUEST
        )
    return bad_request(request, ValueError("malformed"))
