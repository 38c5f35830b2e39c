"""Every error of the API as {"code", "detail"}, with a code from the closed list."""

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpResponse
from django.utils.translation import gettext_noop as _
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_exception_handler

from gallery.errors import Code, Refused
from gallery.outages import as_json, outage

logger = logging.getLogger(__name__)

_CODES = {
    status.HTTP_400_BAD_REQUEST: Code.INVALID,
    status.HTTP_401_UNAUTHORIZED: Code.NOT_SIGNED_IN,
    status.HTTP_403_FORBIDDEN: Code.FORBIDDEN,
    status.HTTP_404_NOT_FOUND: Code.NOT_FOUND,
    status.HTTP_405_METHOD_NOT_ALLOWED: Code.METHOD_NOT_ALLOWED,
    status.HTTP_406_NOT_ACCEPTABLE: Code.INVALID,
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: Code.UNSUPPORTED_TYPE,
    status.HTTP_429_TOO_MANY_REQUESTS: Code.THROTTLED,
}
#: Too many fields, or a body too large; JSON nested too deep; text that is none; 1e400.
_MALFORMED = (SuspiciousOperation, RecursionError, UnicodeError, OverflowError)


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    if refused := error if isinstance(error, Refused) else outage(error):
        return as_json(refused)  # a page would ask who is asking, and the database does not answer
    if isinstance(error, RequestDataTooBig):
        megabytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1_000_000
        return as_json(
            Refused(
                Code.TOO_LARGE, _("The request is too large; at most %(most)s MB are taken here."), {"most": megabytes}
            )
        )
    if isinstance(error, _MALFORMED):
        return Response({"code": Code.INVALID.value, "detail": "The request is malformed."}, status=400)
    response = rest_exception_handler(error, context)
    if response is None and not settings.DEBUG:
        logger.error("The API failed", exc_info=error)
        return Response(
            {"code": Code.INTERNAL.value, "detail": "Something went wrong here. It was logged."}, status=500
        )
    if response is not None:
        response.data = {"code": _CODES.get(response.status_code, Code.INVALID).value, "detail": _sentence(error)}
    return response


def _sentence(error: Exception) -> str:
    if isinstance(error, Http404):
        return "There is no such thing here."
    if isinstance(error, PermissionDenied):
        return str(error) or "You may not do this."
    if isinstance(error, exceptions.ValidationError):
        return _flattened(error.detail)
    return str(error.detail) if isinstance(error, exceptions.APIException) else str(error)


def _flattened(detail: Any, field: str = "") -> str:
    if isinstance(detail, dict):
        return " ".join(_flattened(inner, name) for name, inner in detail.items())
    if isinstance(detail, list):
        return " ".join(_flattened(inner, field) for inner in detail)
    return str(detail) if field in {"", "non_field_errors"} else f"{field}: {detail}"
