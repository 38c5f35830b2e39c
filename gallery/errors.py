"""The closed list of error codes, for pages and API alike."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus

from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from gallery.reasons import retold


class Code(StrEnum):
    # a file that is refused
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    UNSUPPORTED_TYPE = "unsupported_type"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    DECODE_TIMEOUT = "decode_timeout"
    DECODE_MEMORY = "decode_memory"
    STORAGE_FULL = "storage_full"
    # a URL that leads to no file
    FETCH_FAILED = "fetch_failed"
    # a resumable upload that cannot go on as it is asked to
    WRONG_OFFSET = "wrong_offset"
    EXPIRED = "expired"
    UNSUPPORTED_VERSION = "unsupported_version"
    LOCKED = "locked"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    # a request that cannot be answered
    INVALID = "invalid"
    NOT_SIGNED_IN = "not_signed_in"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    THROTTLED = "throttled"
    NOT_SEARCHABLE = "not_searchable"
    ENCODER_UNAVAILABLE = "encoder_unavailable"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


#: In words, of those by which files and addresses are refused.
_REASONS = {
    Code.EMPTY: _("Empty"),
    Code.TOO_LARGE: _("Too large"),
    Code.TOO_MANY_PIXELS: _("Too many pixels"),
    Code.TOO_MANY_FRAMES: _("Too many frames"),
    Code.UNSUPPORTED_TYPE: _("Not a picture that can be read"),
    Code.TRUNCATED: _("Cut off"),
    Code.CORRUPT: _("Damaged"),
    Code.DECODE_TIMEOUT: _("Takes too long to read"),
    Code.DECODE_MEMORY: _("Takes too much memory to read"),
    Code.STORAGE_FULL: _("No room left"),
    Code.FETCH_FAILED: _("Could not be fetched"),
    Code.INVALID: _("Not allowed"),
    Code.NOT_FOUND: _("Not found"),
    Code.UNAVAILABLE: _("Storage did not answer"),
    Code.INTERNAL: _("Fault on the server"),
}


def reason_label(code: str) -> str:
    """Of a code; itself where it has no words."""
    return str(_REASONS.get(Code(code), code) if code in set(Code) else code)


_HTTP_STATUS = {
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.TOO_MANY_PIXELS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.TOO_MANY_FRAMES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.UNSUPPORTED_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Code.STORAGE_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.THROTTLED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.NOT_SEARCHABLE: HTTPStatus.CONFLICT,
    Code.ENCODER_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
#: Of what comes back by itself.
_RETRY_AFTER_S = 5


class Refused(Exception):
    """What was asked cannot be done. `detail` says why, and what to do, to the person who asked."""

    def __init__(self, code: Code, message: str, values: Mapping[str, object] | None = None) -> None:
        """The message is marked for translation where it is written, and names the values that stand in it."""
        super().__init__(code, message, values)  # all in args, so that it survives pickling out of a child process
        self.code = code
        self._message = message
        self._values = values

    @property
    def detail(self) -> str:
        """In the language of whoever is being answered."""
        return gettext(self._message) % self._values if self._values else retold(self._message)

    def __str__(self) -> str:
        """For logs, and wherever there is nobody to ask for a language."""
        with override(None):  # a value may be a text to translate as well
            return self._message % self._values if self._values else self._message

    @property
    def http_status(self) -> HTTPStatus:
        return _HTTP_STATUS.get(self.code, HTTPStatus.BAD_REQUEST)

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(_RETRY_AFTER_S)} if self.code in {Code.UNAVAILABLE, Code.THROTTLED} else {}
