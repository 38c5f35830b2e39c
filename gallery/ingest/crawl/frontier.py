"""What a crawl has found and is yet to fetch, in a file, so that killing it loses nothing.

Scrapy's own queues keep what they hold only when they are closed in order.
"""

import asyncio
import hashlib
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext_noop as _
from scrapy import Request, Spider
from scrapy.core.scheduler import BaseScheduler
from scrapy.crawler import Crawler

from gallery.errors import Code, Refused
from gallery.ingest.crawl.page import Picture
from gallery.ingest.crawl.site import Site, as_fetched, key_of, shape_of, site_of

#: Two requests at a time, out of politeness, and pictures that wait for a decoder.
REQUESTS_AT_ONCE, _WAITING_PER_DECODER = 2, 2
#: So many pages of one shape count as a level deeper, so that pages without end do not keep the others waiting.
_PAGES_PER_LEVEL = 100
#: Told to wait longer, the crawl stops, to be resumed.
_LONGEST_WAIT_S = 120
#: Whose pictures are counted. More are made by a program that does not end.
_MOST_SITES = 1000

_WAITING, _HANDED_OUT, _DONE, _SMALL = range(4)
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS found (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL, is_picture INTEGER NOT NULL, url TEXT NOT NULL,
        depth INTEGER NOT NULL, redirects INTEGER NOT NULL, title TEXT NOT NULL, page TEXT NOT NULL,
        rank INTEGER NOT NULL, state INTEGER NOT NULL, UNIQUE (key, is_picture)
    );
    CREATE INDEX IF NOT EXISTS found_by_state ON found (state, rank, id);
    CREATE TABLE IF NOT EXISTS shape (shape TEXT PRIMARY KEY, pages INTEGER NOT NULL);
"""
#: A picture that was shown small where it was found first is taken where it is shown larger.
_ADD = f"""
    INSERT INTO found (key, is_picture, url, depth, redirects, title, page, rank, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key, is_picture) DO UPDATE SET state = excluded.state, title = excluded.title, page = excluded.page
    WHERE found.state = {_SMALL} AND excluded.state = {_WAITING}
"""
_NEXT = f"""
    SELECT id, url, is_picture, depth, redirects, title, page FROM found
    WHERE state = {_WAITING} AND is_picture >= ? ORDER BY rank, id LIMIT 1
"""
_COUNT_SHAPE = """
    INSERT INTO shape VALUES (?, 1) ON CONFLICT (shape) DO UPDATE SET pages = pages + 1 RETURNING pages
"""


@dataclass(frozen=True)
class Found:
    id: int
    url: str
    is_picture: bool
    #: Links from the page that the crawl began with.
    depth: int
    redirects: int
    title: str
    #: Where a picture was found.
    page: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class Limits:
    """Of one run, except for the depth."""

    pages: int
    depth: int
    size_bytes: int
    seconds: int
    min_side_px: int


@dataclass(frozen=True)
class Scope:
    """Where a crawl begins, whose pages it reads, and whose pictures it takes."""

    start: str
    site: Site
    picture_sites: frozenset[Site]


class Frontier(BaseScheduler):
    """Hands out what waits, pictures first, and pages by depth, until a limit is reached."""

    def __init__(self, scope: Scope, limits: Limits) -> None:
        """Raises Refused where another process crawls from there."""
        self.received_bytes = 0
        #: Where pages show pictures of, and how many, that are not taken.
        self.elsewhere = Counter[Site]()
        #: What ended the run; empty when nothing was left to fetch.
        self.stopped_by = ""
        self._scope = scope
        self._limits = limits
        self._spider: Spider
        self._pages = 0
        self._under_way: set[int] = set()
        self._again: deque[Request] = deque()
        self._stopped = asyncio.Event()
        self._began = time.monotonic()
        self._held_until = 0.0
        self._path = _path_of(scope.start)
        self._rows = _opened(self._path)
        #: Whether it takes up what an earlier run left.
        self.is_resumed = self._is_waiting(pages=True)
        if not self.is_resumed:
            with self._rows:
                self._rows.execute("DELETE FROM found")
                self._rows.execute("DELETE FROM shape")
                self._add_page(scope.start, depth=0)

    # --- what Scrapy asks of a scheduler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "Frontier":
        frontier: Frontier = crawler.spider.frontier  # type: ignore[union-attr]
        return frontier

    def open(self, spider: Spider) -> None:
        self._spider = spider

    def has_pending_requests(self) -> bool:
        return not self._is_over() and (bool(self._again) or self._is_waiting(pages=self._may_ask_for_pages()))

    def next_request(self) -> Request | None:
        if self._is_over() or time.monotonic() < self._held_until:
            return None
        if self._again:
            return self._again.popleft()
        at_once = REQUESTS_AT_ONCE + _WAITING_PER_DECODER * settings.DECODE_PROCESSES
        return self._handed_out() if len(self._under_way) < at_once else None

    def enqueue_request(self, request: Request) -> bool:
        """What was handed out comes back to be tried again, or with the URL that it was redirected to."""
        found: Found = request.meta["found"]
        try:
            return self._enqueued(request, found)
        except Exception as error:  # Scrapy drops the request then, and what it was for would stay under way
            self._spider.left(found, error)  # type: ignore[attr-defined]
            return False

    def _enqueued(self, request: Request, found: Found) -> bool:
        came_by = request.meta.get("redirect_urls", [])
        # first of all: what is none of the site's need not be a URL that could be fetched
        if came_by and site_of(request.url) not in self._sites_of(found):
            self._spider.redirected_away(found, request.url)  # type: ignore[attr-defined]
            return False
        is_the_same = key_of(request.url) == key_of(found.url)  # with a session added to it
        if not came_by or (is_the_same and request.url not in came_by):
            self._again.append(request)
            return True
        with self._rows:
            self._mark_done(found)
            redirects = request.meta["redirect_times"]
            if found.is_picture:
                return self._add_picture(Picture(request.url, found.title), found.page, redirects)
            return self._add_page(request.url, found.depth, redirects)

    # --- what the spider tells

    def finish(self, found: Found) -> None:
        with self._rows:
            self._mark_done(found)

    def finish_page(self, found: Found, links: Iterable[str], pictures: Iterable[Picture]) -> None:
        """In one transaction, so that a page that counts as read has left all that it holds."""
        with self._rows:
            for picture in pictures:
                site = site_of(picture.url)
                if site in self._scope.picture_sites:
                    self._add_picture(picture, found.url)
                elif site and len(self.elsewhere) < _MOST_SITES:
                    self.elsewhere[site] += 1
            if found.depth < self._limits.depth:
                for link in links:
                    if site_of(link) == self._scope.site:
                        self._add_page(link, found.depth + 1)
            self._mark_done(found)

    async def hold_for(self, seconds: float) -> None:
        """Hand out nothing for so long; where that is too long, nothing any more."""
        if seconds > _LONGEST_WAIT_S:
            self.stop(f"the site, which asks to come back in {seconds:.0f} s")
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), min(seconds, max(self._seconds_left(), 0)))

    def stop(self, why: str) -> None:
        """What is under way is finished."""
        self.stopped_by = self.stopped_by or why
        self._stopped.set()

    # --- what the report says

    def counts_left(self) -> tuple[int, int]:
        """Pages and pictures found and not fetched."""
        return self._count("state < ? AND NOT is_picture", _DONE), self._count("state < ? AND is_picture", _DONE)

    def count_small(self) -> int:
        """Pictures that pages show too small for them to be fetched."""
        return self._count("state = ?", _SMALL)

    def shut(self) -> None:
        """Keep what is worth going on with: what is finished begins anew, as the site may have changed."""
        is_begun, is_left = self._count("state = ?", _DONE), self._count("state < ?", _DONE)
        self._rows.close()
        if not (is_begun and is_left):
            self._path.unlink()

    # ---

    def _sites_of(self, found: Found) -> frozenset[Site]:
        return self._scope.picture_sites if found.is_picture else frozenset([self._scope.site])

    def _is_over(self) -> bool:
        if not self.stopped_by:
            if self._seconds_left() <= 0:
                self.stop(f"--seconds {self._limits.seconds}")
            elif self.received_bytes >= self._limits.size_bytes:
                self.stop(f"--bytes {self._limits.size_bytes}")
            elif self._has_only_pages_left() and not self._may_ask_for_pages():
                self.stop(f"--pages {self._limits.pages}")
        return bool(self.stopped_by)

    def _has_only_pages_left(self) -> bool:
        return not self._under_way and not self._is_waiting(pages=False) and self._is_waiting(pages=True)

    def _seconds_left(self) -> float:
        return self._began + self._limits.seconds - time.monotonic()

    def _may_ask_for_pages(self) -> bool:
        return self._pages < self._limits.pages

    def _is_waiting(self, *, pages: bool) -> bool:
        return self._rows.execute(_NEXT, [not pages]).fetchone() is not None

    def _handed_out(self) -> Request | None:
        with self._rows:
            row = self._rows.execute(_NEXT, [not self._may_ask_for_pages()]).fetchone()
            if row is None:
                return None
            found = Found(*row)
            self._rows.execute("UPDATE found SET state = ? WHERE id = ?", [_HANDED_OUT, found.id])
        self._under_way.add(found.id)
        self._pages += not found.is_picture
        return Request(
            found.url,
            callback=self._spider.take_picture if found.is_picture else self._spider.read_page,  # type: ignore[attr-defined]
            errback=self._spider.failed,  # type: ignore[attr-defined]
            meta={"found": found, "redirect_times": found.redirects},
            dont_filter=True,
        )

    def _mark_done(self, found: Found) -> None:
        self._under_way.discard(found.id)
        self._rows.execute("UPDATE found SET state = ? WHERE id = ?", [_DONE, found.id])

    def _add_page(self, url: str, depth: int, redirects: int = 0) -> bool:
        key = key_of(url)
        if self._rows.execute("SELECT 1 FROM found WHERE key = ? AND NOT is_picture", [key]).fetchone():
            return False
        [[alike]] = self._rows.execute(_COUNT_SHAPE, [shape_of(key)]).fetchall()
        rank = 1 + depth + alike // _PAGES_PER_LEVEL
        self._rows.execute(_ADD, [key, False, as_fetched(url), depth, redirects, "", "", rank, _WAITING])
        return True

    def _add_picture(self, picture: Picture, page: str, redirects: int = 0) -> bool:
        is_small = picture.longer_side_px is not None and picture.longer_side_px < self._limits.min_side_px
        state = _SMALL if is_small else _WAITING
        url = as_fetched(picture.url)
        values = [key_of(url), True, url, 0, redirects, picture.title, page, 0, state]
        return self._rows.execute(_ADD, values).rowcount > 0

    def _count(self, where: str, state: int) -> int:
        [count] = self._rows.execute(f"SELECT count(*) FROM found WHERE {where}", [state]).fetchone()
        return int(count)


def _path_of(start: str) -> Path:
    folder: Path = settings.DATA_DIR / "crawls"
    folder.mkdir(exist_ok=True)
    return folder / f"{hashlib.sha256(key_of(start).encode()).hexdigest()[:32]}.sqlite3"


def _opened(path: Path) -> sqlite3.Connection:
    """For this process alone. What another had handed out when it was killed waits again."""
    rows = sqlite3.connect(path, timeout=0)
    try:
        rows.execute("PRAGMA locking_mode = EXCLUSIVE")
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA synchronous = NORMAL")  # a loss of power may take the last seconds along
        with rows:
            rows.executescript(_SCHEMA)
            rows.execute("UPDATE found SET state = ? WHERE state = ?", [_WAITING, _HANDED_OUT])
    except sqlite3.OperationalError as error:
        rows.close()
        raise Refused(
            Code.INVALID,
            _("Another process crawls from there, or its file is not writable: %(error)s."),
            {"error": str(error)},
        ) from None
    return rows
