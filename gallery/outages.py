"""Errors of the disk and the database, as people are told of them."""

import errno
import logging

from django.db import InterfaceError, OperationalError
from django.http import JsonResponse
from django.utils.translation import gettext_noop as _
from psycopg.errors import DiskFull

from gallery.errors import Code, Refused
from gallery.storage import StorageUnavailable

logger = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT}


def outage(error: BaseException | None) -> Refused | None:
    """What such an error means to the person who asked; None for any other."""
    if isinstance(error, StorageUnavailable):
        refused: Refused = error
    elif _is_full(error):
        refused = Refused(Code.STORAGE_FULL, _("The disk is full. Delete something, or ask the administrator."))
    elif isinstance(error, (OperationalError, InterfaceError)):
        refused = Refused(
            Code.UNAVAILABLE, _("The database does not answer. Nothing stored is lost. Try again in a moment.")
        )
    else:
        return None
    logger.error("%s: %s", refused.code, error)
    return refused


def _is_full(error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return error is not None and isinstance(error.__cause__, DiskFull)


def as_json(refused: Refused) -> JsonResponse:
    answer = {"code": refused.code, "detail": refused.detail}
    return JsonResponse(answer, status=refused.http_status, headers=refused.headers)
