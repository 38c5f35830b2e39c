"""Runs a crawl: pages are read as they come, pictures stored in threads, and what came of them is told."""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.utils.translation import gettext_noop as _
from scrapy import Request, Spider, signals
from scrapy.crawler import AsyncCrawlerRunner, Crawler
from scrapy.exceptions import DownloadFailedError, IgnoreRequest
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import HtmlResponse, Response
from scrapy.robotstxt import RobotParser
from twisted.python.failure import Failure

from gallery import sandbox
from gallery.errors import Code, Refused
from gallery.ingest.bulk import STOPPING, Outcome
from gallery.ingest.crawl import page
from gallery.ingest.crawl.download import GuardedHandler, PatientRetry, RobotsRules
from gallery.ingest.crawl.frontier import REQUESTS_AT_ONCE, Found, Frontier, Limits, Scope
from gallery.ingest.fetch import USER_AGENT, named_status
from gallery.models import Asset
from gallery.signals import bulk_finished
from gallery.uploads import Details, store_upload

logger = logging.getLogger(__name__)

#: Requests in a row without an answer, after which the site counts as gone, for now.
_MOST_UNANSWERED = 10
_MOST_TOLD = 5
_FORBIDDEN = "Forbidden by robots.txt"  # as Scrapy says it

_SCRAPY_SETTINGS: dict[str, Any] = {
    "TWISTED_REACTOR_ENABLED": False,  # asyncio alone: a reactor cannot be started twice in a process
    "DOWNLOAD_HANDLERS": {
        **dict.fromkeys(["data", "file", "ftp", "s3"]),
        **dict.fromkeys(["http", "https"], GuardedHandler),
    },
    "DOWNLOADER_MIDDLEWARES": {
        RobotsRules: 90,  # before Scrapy's of robots.txt, so that it answers for it
        PatientRetry: 550,
        "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
        "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,  # it takes in subdomains
    },
    "SCHEDULER": Frontier,
    "ROBOTSTXT_OBEY": True,
    "USER_AGENT": USER_AGENT,
    "CONCURRENT_REQUESTS": REQUESTS_AT_ONCE,
    "CONCURRENT_REQUESTS_PER_DOMAIN": REQUESTS_AT_ONCE,
    "AUTOTHROTTLE_ENABLED": True,
    "REDIRECT_MAX_TIMES": 5,
    "METAREFRESH_ENABLED": False,  # its target is one more link
    "HTTPERROR_ALLOW_ALL": True,  # we say what they are
    "RETRY_EXCEPTIONS": [DownloadFailedError],
    "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",
    "COOKIES_ENABLED": False,
    "COMPRESSION_ENABLED": False,
    "HTTPPROXY_ENABLED": False,
    "REFERER_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "MEMUSAGE_ENABLED": False,
    "LOGSTATS_INTERVAL": 0,
}


@dataclass
class Tally:
    pages: int = 0
    #: Such as were not found, or are no pages.
    pages_unread: int = 0
    forbidden: int = 0
    stored: int = 0
    identical: int = 0
    too_small: int = 0
    #: Hosts of pictures that were not taken; those of the most.
    elsewhere: list[str] = field(default_factory=list)
    refused: Counter[Code] = field(default_factory=Counter)
    pages_left: int = 0
    pictures_left: int = 0
    is_resumed: bool = False
    is_interrupted: bool = False
    stopped_by: str = ""
    #: Why not even the first page could be read.
    start_failure: str = ""


@dataclass(frozen=True)
class Crawl:
    scope: Scope
    limits: Limits
    #: Seconds from one request to the next, at least.
    delay_s: float
    owner: User
    details: Details
    #: Called with each picture that is refused, and after every change.
    tell_refused: Callable[[Outcome[Found]], None]
    tell_progress: Callable[[Tally], None]


def run(crawl: Crawl) -> Tally:
    """Crawl until all is fetched or a limit is reached. Raises Refused where another process crawls from there."""
    logging.getLogger("scrapy").setLevel(logging.ERROR)  # its INFO says each setting, its WARNING what we report
    frontier = Frontier(crawl.scope, crawl.limits)
    tally = Tally(is_resumed=frontier.is_resumed)
    try:
        asyncio.run(_run(crawl, frontier, tally))
    finally:
        close_old_connections()
        bulk_finished.send_robust(Asset)
        tally.pages_left, tally.pictures_left = frontier.counts_left()
        tally.too_small += frontier.count_small()
        tally.elsewhere = [str(site) for site, _ in frontier.elsewhere.most_common(_MOST_TOLD)]
        tally.stopped_by = frontier.stopped_by
        frontier.shut()
    if not (tally.pages or tally.is_resumed or tally.stopped_by or tally.start_failure):
        tally.start_failure = "It is redirected in a circle."
    return tally


async def _run(crawl: Crawl, frontier: Frontier, tally: Tally) -> None:
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        tally.is_interrupted = True
        frontier.stop("an interrupt")
        loop.remove_signal_handler(signal.SIGINT)  # the next does not wait for what is under way

    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, interrupt)
    throttle = {"DOWNLOAD_DELAY": crawl.delay_s, "AUTOTHROTTLE_START_DELAY": crawl.delay_s}
    runner = AsyncCrawlerRunner(_SCRAPY_SETTINGS | throttle)
    with ThreadPoolExecutor(2 * settings.DECODE_PROCESSES) as decoders:
        await runner.crawl(PictureSpider, crawl=crawl, frontier=frontier, tally=tally, decoders=decoders)


class PictureSpider(Spider):
    name = "pictures"
    crawl: Crawl
    frontier: Frontier
    tally: Tally
    decoders: ThreadPoolExecutor
    #: Why robots.txt could not be read, and so nothing may be asked for.
    robots_unread = ""
    _unanswered = 0

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> "PictureSpider":
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.slow_down, signals.robots_parsed)
        return spider

    def slow_down(self, robotparser: RobotParser, request: Request) -> None:
        """As robots.txt asks for by Crawl-delay."""
        throttle = self.crawler.get_extension(AutoThrottle)
        delay_s = robotparser.crawl_delay(USER_AGENT)
        if throttle and delay_s:
            throttle.mindelay = max(throttle.mindelay, delay_s)
            for slot in self.crawler.engine.downloader.slots.values():
                slot.delay = max(slot.delay, delay_s)

    async def read_page(self, response: Response) -> None:
        found: Found = response.meta["found"]
        self._unanswered = 0
        if response.status != HTTPStatus.OK:
            self._leave_page(found, f"The server answers {named_status(response.status)}.")
        elif not isinstance(response, HtmlResponse):
            self._leave_page(found, "It is no web page.")
        else:
            try:
                links, pictures = page.links(response), page.pictures(response)
            except ValueError as error:
                self._leave_page(found, f"It cannot be read: {error}.")
                return
            self.tally.pages += 1
            self.frontier.finish_page(found, links, pictures)
            self.crawl.tell_progress(self.tally)

    async def take_picture(self, response: Response) -> None:
        found: Found = response.meta["found"]
        self._unanswered = 0
        file: TemporaryUploadedFile | None = response.meta.pop("file", None)
        if file is None:
            self._refuse(
                found,
                Refused(Code.INVALID, _("The server answers %(status)s."), {"status": named_status(response.status)}),
            )
            return
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self.decoders, self._store, found, file)
        except (OperationalError, InterfaceError) as error:
            self.frontier.stop(f"the database, which does not answer: {error}")
            return
        except Exception:  # else the picture would stay under way, and a dozen of them end the crawl
            logger.exception("%s could not be stored", found)
            refused = Refused(Code.INTERNAL, _("Something went wrong here. It was logged."))
            outcome = Outcome(found, refused=refused)
        self._tell(found, outcome)

    def failed(self, failure: Failure) -> None:
        found: Found = failure.request.meta["found"]  # type: ignore[attr-defined]
        error = failure.value
        if isinstance(error, IgnoreRequest) and str(error) == _FORBIDDEN:
            self._obey_robots(found)
            return
        if isinstance(error, DownloadFailedError) or (isinstance(error, Refused) and error.code == Code.INVALID):
            self._unanswered += 1
            if self._unanswered == _MOST_UNANSWERED:
                self.frontier.stop(f"the site, which answers nothing any more: {error}")
        self.left(found, error)

    def left(self, found: Found, error: BaseException | None) -> None:
        self._leave(found, error if isinstance(error, Refused) else Refused(Code.INVALID, _sentence(error)))

    def redirected_away(self, found: Found, url: str) -> None:
        self._leave(found, Refused(Code.INVALID, _("It leads to another site, %(url)s"), {"url": url}))

    def _obey_robots(self, found: Found) -> None:
        if self.robots_unread:  # what waits keeps waiting, for a run that can read it
            self.frontier.stop(f"robots.txt, which cannot be read: {self.robots_unread}")
            if not self.tally.is_resumed:
                self.tally.start_failure = f"robots.txt cannot be read, and so forbids all. {self.robots_unread}"
            return
        self.tally.forbidden += 1
        if not found.is_picture:
            self._leave_page(found, "robots.txt forbids it.")
        else:
            self.frontier.finish(found)

    def _leave(self, found: Found, why: Refused) -> None:
        if found.is_picture:
            self._refuse(found, why)
        else:
            self._leave_page(found, str(why))

    def _leave_page(self, found: Found, why: str) -> None:
        self.tally.pages_unread += 1
        if found.depth == 0:
            self.tally.start_failure = why
        self.frontier.finish(found)
        self.crawl.tell_progress(self.tally)

    def _store(self, found: Found, file: TemporaryUploadedFile) -> Outcome[Found] | None:
        """In a thread. None: it is too small."""
        try:
            with file:
                if min(sandbox.read_file_size(Path(file.temporary_file_path()))) < self.crawl.limits.min_side_px:
                    return None
                details = replace(self.crawl.details, title=found.title, source_url=found.page)
                stored = store_upload(file, self.crawl.owner, details, in_bulk=True)
        except Refused as refused:
            return Outcome(found, refused=refused)
        else:
            return Outcome(found, stored=not stored.duplicate, duplicate=stored.duplicate)
        finally:
            connection.close()  # this thread's own; it takes less time than the pause between two requests

    def _tell(self, found: Found, outcome: Outcome[Found] | None) -> None:
        if outcome is None:
            self.tally.too_small += 1
        elif outcome.refused:
            self._refuse(found, outcome.refused)
            return
        else:
            self.tally.stored += outcome.stored
            self.tally.identical += outcome.duplicate
        self.frontier.finish(found)
        self.crawl.tell_progress(self.tally)

    def _refuse(self, found: Found, refused: Refused) -> None:
        self.tally.refused[refused.code] += 1
        self.crawl.tell_refused(Outcome(found, refused=refused))
        if refused.code in STOPPING:
            is_full = refused.code == Code.STORAGE_FULL
            self.frontier.stop("the disk, which is full" if is_full else "the storage, which cannot be reached")
        else:
            self.frontier.finish(found)
        self.crawl.tell_progress(self.tally)


def _sentence(error: BaseException | None) -> str:
    text = str(error) or type(error).__name__
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
