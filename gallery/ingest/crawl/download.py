"""How Scrapy asks the site: through the guarded client's connections, and as robots.txt and the server let it.

Scrapy's own downloader would connect to any address, hold whole pictures in memory, and trust any certificate.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Self

import httpcore2
import httpx2
from django.conf import settings
from django.utils.translation import gettext_noop as _
from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.exceptions import DownloadFailedError
from scrapy.http import Headers, HtmlResponse, Response

from gallery.errors import Code, Refused
from gallery.ingest.crawl.frontier import REQUESTS_AT_ONCE
from gallery.ingest.fetch import check, connections, get, header, parse, spool

_MAX_PAGE_BYTES = 5_000_000
_MAX_ROBOTS_BYTES = 500 * 1024  # RFC 9309, 2.5
_PAGE_TYPES = {"text/html", "application/xhtml+xml"}
_FORBID_ALL = b"User-agent: *\nDisallow: /"


class GuardedHandler(BaseDownloadHandler):
    """Downloads in threads. A picture becomes a file, in the request's meta."""

    lazy = True

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._threads = ThreadPoolExecutor(REQUESTS_AT_ONCE)

    async def download_request(self, request: Request) -> Response:
        download = _Download(request)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, download)
        finally:
            self.crawler.spider.frontier.received_bytes += download.received_bytes  # type: ignore[union-attr]

    async def close(self) -> None:
        self._threads.shutdown(wait=False)


class _Download:
    def __init__(self, request: Request) -> None:
        self._request = request
        self.received_bytes = 0

    def __call__(self) -> Response:
        """Raises Refused, or DownloadFailedError where trying again may help."""
        began = time.monotonic()
        url = parse(self._request.url)
        with connections() as pool, _broken_connections(), get(pool, url) as response:
            self._request.meta["download_latency"] = time.monotonic() - began  # AutoThrottle goes by it
            return self._received(response, url)

    def _received(self, response: httpcore2.Response, url: httpx2.URL) -> Response:
        made = partial(Response, self._request.url, response.status, Headers(response.headers))
        if response.status != HTTPStatus.OK:
            return made()
        if _is_robots(self._request):
            return made(body=b"".join(self._chunks(response, _MAX_ROBOTS_BYTES)))
        check(response)
        if self._request.meta["found"].is_picture:
            self._request.meta["file"] = spool(response, url, self._chunks(response, settings.MAX_UPLOAD_BYTES))
            return made()
        if header(response, "content-type").partition(";")[0].strip().lower() not in _PAGE_TYPES:
            return made()
        body = b"".join(self._chunks(response, _MAX_PAGE_BYTES))
        return HtmlResponse(self._request.url, headers=Headers(response.headers), body=body)

    def _chunks(self, response: httpcore2.Response, most_bytes: int) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_stream():
            size += len(chunk)
            self.received_bytes += len(chunk)
            if size > most_bytes:
                raise Refused(
                    Code.TOO_LARGE,
                    _("It is too large; at most %(most)s MB are taken."),
                    {"most": most_bytes // 1_000_000},
                )
            yield chunk


def _is_robots(request: Request) -> bool:
    return bool(request.meta.get("dont_obey_robotstxt"))  # which Scrapy sets of no other request


@contextmanager
def _broken_connections() -> Iterator[None]:
    try:
        yield
    except (httpcore2.NetworkError, httpcore2.ProtocolError):
        raise DownloadFailedError("The server does not answer as a web server does, or broke off.") from None


class RobotsRules:
    """What it means when there is no robots.txt to read (RFC 9309, 2.3.1): not there, it forbids nothing; else all."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        if not _is_robots(request) or response.status == HTTPStatus.OK:
            return response
        if response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return self._unread(request, f"The server answers {response.status}.")
        return response.replace(body=b"")

    def process_exception(self, request: Request, exception: Exception) -> Response | None:
        return self._unread(request, str(exception)) if _is_robots(request) else None

    def _unread(self, request: Request, why: str) -> Response:
        self._crawler.spider.robots_unread = why  # type: ignore[union-attr]
        return Response(request.url, body=_FORBID_ALL)


class PatientRetry(RetryMiddleware):
    """Scrapy's, and for as long as the server asks for, nothing is sent."""

    async def process_response(  # type: ignore[override]
        self, request: Request, response: Response, spider: Any = None
    ) -> Request | Response:
        if response.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            seconds = _retry_after_s(response)
            if seconds:
                await self.crawler.spider.frontier.hold_for(seconds)  # type: ignore[union-attr]
        return super().process_response(request, response)


def _retry_after_s(response: Response) -> float:
    """Seconds, or a date (RFC 9110, 10.2.3); 0 where it is neither."""
    said = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max((parsedate_to_datetime(said).astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0)
    except (ValueError, OverflowError):
        return 0
