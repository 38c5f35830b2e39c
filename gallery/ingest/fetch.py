"""The one client for URLs that people name. It reaches no machine inside the network that this one stands in.

Connections are made by guard.py alone. httpcore itself knows no proxies, cookies, credentials or decompression.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from email.message import Message
from email.utils import collapse_rfc2231_value
from functools import cache
from http import HTTPStatus
from pathlib import PurePosixPath
from ssl import SSLContext
from threading import BoundedSemaphore

import httpcore2
import httpx2
from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.utils.translation import gettext_noop

from gallery.errors import Code, Refused
from gallery.ingest.guard import GuardedBackend
from gallery.uploads import clean_filename, storage_errors, too_large

_SCHEMES = {"http": 80, "https": 443}
#: Below it are the ports of mail, shells and the like, which an HTTP request could be made to talk to.
_FIRST_UNPRIVILEGED_PORT = 1024
_MAX_REDIRECTS = 5
#: As browsers and servers take them.
MAX_URL = 2000
USER_AGENT = "AssetSearch"
#: Pictures are wanted as they are; and what is not decompressed cannot grow.
_HEADERS = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", USER_AGENT)]
#: However slow other servers are, half of the web server's threads wait for none.
_TURNS = BoundedSemaphore(max(1, settings.WEB_THREADS // 2))
_REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}


def fetch(url: str) -> TemporaryUploadedFile:
    """What is at the URL, as a file that is deleted when closed. Raises Refused."""
    with connections() as pool:
        return _follow(pool, parse(url))


@contextmanager
def in_turn() -> Iterator[None]:
    """For a web request, as long as it fetches. Raises Refused (throttled) where as many do as may."""
    if not _TURNS.acquire(blocking=False):
        raise Refused(
            Code.THROTTLED, gettext_noop("Too many pictures are being fetched right now. Try again in a moment.")
        )
    try:
        yield
    finally:
        _TURNS.release()


@contextmanager
def connections() -> Iterator[httpcore2.ConnectionPool]:
    """Guarded, and none lasts beyond the time for one fetch. What breaks is Refused."""
    backend = GuardedBackend(deadline=time.monotonic() + settings.FETCH_TIMEOUT_S)
    with _failures(), httpcore2.ConnectionPool(ssl_context=_ssl_context(), network_backend=backend) as pool:
        yield pool


@cache
def _ssl_context() -> SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


def parse(text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """A URL that may be fetched, as far as it tells itself. Raises Refused."""
    try:
        url = base.join(text) if base else httpx2.URL(text)
        host = url.host
    except (httpx2.InvalidURL, ValueError):  # the latter of names such as xn--, which stand for none
        raise Refused(Code.INVALID, gettext_noop("This is no URL.")) from None
    if url.scheme not in _SCHEMES:
        raise Refused(Code.INVALID, gettext_noop("Only URLs that begin with http:// or https:// are fetched."))
    if not host:
        raise Refused(Code.INVALID, gettext_noop("The URL names no server."))
    if url.userinfo:
        raise Refused(Code.INVALID, gettext_noop("URLs with a user name or a password in them are not fetched."))
    port = url.port if url.port is not None else _SCHEMES[url.scheme]
    if port not in _SCHEMES.values() and port < _FIRST_UNPRIVILEGED_PORT:
        raise Refused(
            Code.INVALID, gettext_noop("Port %(port)s is not one that pictures are fetched from."), {"port": port}
        )
    return url


def _follow(pool: httpcore2.ConnectionPool, url: httpx2.URL) -> TemporaryUploadedFile:
    for _ in range(_MAX_REDIRECTS + 1):
        with get(pool, url) as response:
            location = header(response, "location")
            if response.status not in _REDIRECTS or not location:
                check(response)
                return spool(response, url, _pieces(response))
        url = parse(location, url)
    raise Refused(
        Code.FETCH_FAILED, gettext_noop("The URL is redirected more than %(times)s times."), {"times": _MAX_REDIRECTS}
    )


def get(pool: httpcore2.ConnectionPool, url: httpx2.URL) -> AbstractContextManager[httpcore2.Response]:
    # by its parts, as httpx does: parsed a second time, the URL could be taken for another
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    return pool.stream("GET", target, headers=[("Host", url.netloc.decode()), *_HEADERS])


def header(response: httpcore2.Response, name: str) -> str:
    value = {key.lower(): value for key, value in response.headers}.get(name.encode(), b"")
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def spool(response: httpcore2.Response, url: httpx2.URL, pieces: Iterable[bytes]) -> TemporaryUploadedFile:
    """Its body, as a file that is deleted when closed. Raises Refused."""
    with storage_errors():
        # under no name of the server's, which may be longer than a file's can be
        upload = TemporaryUploadedFile("fetched", header(response, "content-type"), 0, None)
        try:
            for piece in pieces:
                upload.write(piece)
            upload.flush()
            upload.size = upload.tell()
            upload.name = _file_name(response, url)
            upload.seek(0)
        except BaseException:
            upload.close()
            raise
        return upload


def check(response: httpcore2.Response) -> None:
    if response.status != HTTPStatus.OK:
        raise Refused(
            Code.FETCH_FAILED, gettext_noop("The server answers %(status)s."), {"status": named_status(response.status)}
        )
    encoding = header(response, "content-encoding")
    if encoding.lower() not in {"", "identity"}:
        raise Refused(
            Code.FETCH_FAILED, gettext_noop("The server sends the file compressed, although it was asked not to.")
        )
    declared = header(response, "content-length")
    if declared.isdecimal() and int(declared) > settings.MAX_UPLOAD_BYTES:
        raise too_large()


def named_status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _pieces(response: httpcore2.Response) -> Iterator[bytes]:
    size = 0
    try:
        for piece in response.iter_stream():
            size += len(piece)
            if size > settings.MAX_UPLOAD_BYTES:
                raise too_large()
            yield piece
    except (httpcore2.NetworkError, httpcore2.ProtocolError):
        raise Refused(
            Code.FETCH_FAILED, gettext_noop("The transfer broke off before the whole file had come.")
        ) from None


def _file_name(response: httpcore2.Response, url: httpx2.URL) -> str:
    """As the server says, or else as the URL ends."""
    try:
        said = _said_name(header(response, "content-disposition"))
    except Exception:  # the parser of the standard library raises all kinds on what no server should send
        said = ""
    cleaned = clean_filename(said or PurePosixPath(url.path).name or url.host)
    return cleaned if cleaned.strip(".") else url.host


def _said_name(disposition: str) -> str:
    """By RFC 6266; empty where it names none."""
    message = Message()
    message["content-disposition"] = disposition
    parameters = message.get_params([], "content-disposition")
    said = [value for name, value in parameters if name.lower() == "filename"]
    # the extended form counts, and get_params has it last
    return collapse_rfc2231_value(said[-1]) if said else ""


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except httpcore2.TimeoutException:
        raise Refused(
            Code.FETCH_FAILED,
            gettext_noop("The server did not send it within %(seconds)s s."),
            {"seconds": settings.FETCH_TIMEOUT_S},
        ) from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError):
        raise Refused(Code.FETCH_FAILED, gettext_noop("The server does not answer as a web server does.")) from None
