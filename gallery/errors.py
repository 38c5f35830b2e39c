"""The closed list of error codes, for pages and API alike."""

from enum import StrEnum
from http import HTTPStatus


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


_HTTP_STATUS = {
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.TOO_MANY_PIXELS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.TOO_MANY_FRAMES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.UNSUPPORTED_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Code.STORAGE_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Code.THROTTLED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.NOT_SEARCHABLE: HTTPStatus.CONFLICT,
    Code.ENCODER_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
#: Of what comes back by itself.
_RETRY_AFTER_S = 5


class Refused(Exception):
    """What was asked cannot be done. `detail` says why, and what to do, to the person who asked."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(code, detail)  # both in args, so that it survives pickling out of a child process
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.detail

    @property
    def http_status(self) -> HTTPStatus:
        return _HTTP_STATUS.get(self.code, HTTPStatus.BAD_REQUEST)

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(_RETRY_AFTER_S)} if self.code in {Code.UNAVAILABLE, Code.THROTTLED} else {}
