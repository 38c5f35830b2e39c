"""What a crawl stores, whom it asks, and where it stops: on a site of this machine's, on 127.0.0.2.

The canary stands for everything inside the network that must not be reached.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from ipaddress import ip_network
from random import Random
from types import SimpleNamespace

import pytest
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from scrapy import Request
from scrapy.http import HtmlResponse

from gallery.ingest.crawl import page, spider
from gallery.ingest.crawl.download import _retry_after_s
from gallery.ingest.crawl.frontier import Frontier, Limits, Scope
from gallery.ingest.crawl.site import Site as Crawled
from gallery.ingest.crawl.site import as_fetched, key_of, shape_of, site_of
from gallery.models import Asset
from gallery.storage import StorageUnavailable
from tests.conftest import drawn, encoded
from tests.gallery.site import ALBUMS, PAGES_OF_ALBUM, SIZE, Site, TrappedSite, html, jpeg, links, redirect
from tests.gallery.test_fetch import Server, answer, running

pytestmark = pytest.mark.django_db(transaction=True)  # the command stores from several threads


@pytest.fixture(autouse=True)
def _limits(settings):
    shutil.rmtree(settings.DATA_DIR / "crawls", ignore_errors=True)  # another site may have had the same port
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("127.0.0.2/32")]
    settings.FETCH_TIMEOUT_S = 2
    settings.MAX_UPLOAD_BYTES = 2_000_000


@pytest.fixture
def canary():
    with running(Server("127.0.0.1")) as server:
        yield server


@pytest.fixture
def trapped(canary):
    with running(TrappedSite(canary.port)) as site:
        yield site


@pytest.fixture
def serve():
    """serve({path: answer}): a site of those pages."""
    started = []

    def start(pages):
        started.append(running(Site(pages=pages)))
        return started[-1].__enter__()

    yield start
    for server in started:
        server.__exit__(None, None, None)


def crawled(url, *options):
    """The exit status."""
    try:
        call_command("crawl_site", url, "--delay", "0", *options)
    except SystemExit as end:
        return end.code
    return 0


def front(*targets, shown=()):
    return html(links(*targets), *(f'<img src="{source}" alt="{alt}">' for source, alt in shown))


# --- the site of traps -----------------------------------------------------------------------------------------------


def test_site_of_traps_gives_up_its_pictures_and_no_more(trapped, canary, staff, capsys):
    assert crawled(trapped.address, "--collection", "Site", "--tag", "web", "--depth", "6") == 1
    said = capsys.readouterr().out

    titles = set(Asset.objects.values_list("title", flat=True))
    assert titles == {f"Album {album}" for album in range(ALBUMS)} | {
        "On every page",
        "After a redirect",
        "Lazy one",
        "Set",
        "By its title",
        "Picture",
        "By its caption",
        "Original",
        "Lazy set",
        "Linked",
        "Of another type",
        "By og:title",
    }
    assert Asset.objects.count() == len(titles)
    assert Asset.objects.get(title="Album 3").original.read() == encoded(drawn(3, SIZE))
    assert Asset.objects.get(title="Set").filename == "set-2.jpg"
    lazy = Asset.objects.get(title="Lazy one")
    assert (lazy.source_url, lazy.caption) == (f"{trapped.address}/markup", "")
    assert {(a.owner, a.collection.name, a.tags.get().name) for a in Asset.objects.all()} == {(staff, "Site", "web")}

    # whom it asked
    assert canary.connections == 0
    assert trapped.user_agents == {"User-Agent: AssetSearch"}
    never = (
        "/private",
        "/evil",
        "/other-port",
        "/inside",
        "/user",
        "/backslash",
        "/pictures/spacer",
        "/pictures/thumb",
    )
    assert [path for path in trapped.asked if path.startswith(never)] == []
    assert not {"/pictures/set-0.jpg", "/pictures/thin.jpg", "/pictures/no.jpg"} & trapped.asked.keys()

    # each page and picture once, whatever its session
    pages = Counter(re.sub(r";jsessionid=\d+", "", path) for path in trapped.page_paths().elements())
    assert {path for path in pages if path.startswith("/album/")} == {
        path for a in range(ALBUMS) for path in (f"/album/{a}", *(f"/album/{a}/{p}" for p in range(PAGES_OF_ALBUM)))
    }
    assert {path for path, n in pages.items() if n > 1} == {"/error"}  # asked again, as a passing error
    pictures = Counter(path.partition("?")[0] for path in trapped.asked.elements() if path.startswith("/pictures/"))
    assert set(pictures.values()) == {1}
    assert sum(path.startswith("/calendar/") for path in pages) <= 2**6

    # what it says of it
    for name, why in {
        "gone": "The server answers 404 Not Found.",
        "garbage": "",
        "page": "This is no picture",
        "endless": "It is too large; at most 2 MB are taken.",
        "away": f"It leads to another site, http://127.0.0.1:{canary.port}/away.jpg",
        "ssh": "It leads to another site, http://127.0.0.2:22/a.jpg",
        "signed-in": "It leads to another site, http://ann:secret@127.0.0.2:",
    }.items():
        assert f"refused  {trapped.address}/pictures/{name}.jpg: {why}" in said
    assert f"{len(titles)} pictures stored, 1 there already, 3 too small, 7 refused (" in said
    assert "2 URLs forbidden by robots.txt" in said
    assert f"left out; --pictures-from takes them: 127.0.0.1:{canary.port}\n" in said
    assert "Stopped" not in said


def test_second_crawl_fetches_again_and_stores_what_is_new(serve, staff, capsys):
    site = serve({"/": front(shown=[("/1.jpg", "One")]), "/1.jpg": jpeg(1)})
    assert crawled(site.address) == 0
    site.pages |= {"/": front(shown=[("/1.jpg", "One"), ("/2.jpg", "Two")]), "/2.jpg": jpeg(2)}
    assert crawled(site.address) == 0
    assert "1 pictures stored, 1 there already, 0 too small, 0 refused" in capsys.readouterr().out
    assert sorted(Asset.objects.values_list("title", flat=True)) == ["One", "Two"]


def test_pictures_of_a_host_that_is_named_are_taken_and_its_pages_not(serve, staff):
    others = serve({"/1.jpg": jpeg(1), "/page": front(), "/robots.txt": robots("User-agent: *", "Disallow: /2.jpg")})
    shown = [(f"{others.address}/{n}.jpg", "") for n in (1, 2)]
    site = serve({"/": front(f"{others.address}/page", shown=shown)})
    crawled(site.address, "--pictures-from", f"127.0.0.2:{others.port}")
    assert set(others.asked) == {"/robots.txt", "/1.jpg"}
    assert Asset.objects.count() == 1


def test_no_more_than_two_requests_are_under_way(serve, staff):
    three, most, came = threading.Barrier(3), [], threading.Barrier(2)

    def slow(path):
        for barrier in (came, three):
            try:
                barrier.wait(0.2)
                most.append(barrier.parties)
            except threading.BrokenBarrierError:
                barrier.reset()
        return jpeg(int(path[1:-4]))

    site = serve({"/": front(shown=[(f"/{n}.jpg", "") for n in range(8)])} | {f"/{n}.jpg": slow for n in range(8)})
    assert crawled(site.address) == 0
    assert set(most) <= {2}
    assert Asset.objects.count() == 8


# --- limits ----------------------------------------------------------------------------------------------------------


def chain(path):
    """Pages without end, each with a picture of its own."""
    number = int(path.strip("/") or 0)
    return front(f"/{number + 1}", f"/{number + 1000}", shown=[(f"/{number}.jpg", f"Picture {number}")])


def endless_site(serve):
    class Endless(dict):
        def get(self, path):
            return jpeg(int(path[1:-4])) if path.endswith(".jpg") else chain if path != "/robots.txt" else None

    return serve(Endless())


def test_pages_are_limited_and_the_next_run_goes_on(serve, staff, capsys):
    site = endless_site(serve)
    assert crawled(site.address, "--pages", "5") == 0
    said = capsys.readouterr().out
    assert "5 pages read, 0 not" in said
    assert "5 pictures stored" in said  # all of the pages that were read
    assert re.search(r"Stopped by --pages 5; \d+ pages and 0 pictures are left\. Run the same command again", said)
    assert crawled(site.address, "--pages", "4") == 0
    assert sum(site.page_paths().values()) == 9
    assert set(site.page_paths().values()) == {1}
    assert Asset.objects.count() == 9


def test_depth_is_limited(serve, staff):
    site = serve({path: front(f"/{number + 1}") for number, path in enumerate(["/", "/1", "/2", "/3", "/4"])})
    crawled(site.address, "--depth", "3")
    assert set(site.page_paths()) == {"/", "/1", "/2", "/3"}


def test_bytes_are_limited_those_of_refused_files_too(serve, staff, capsys):
    body = b"\xff\xd8\xff" + bytes(300_000)
    site = serve(
        {"/": front(shown=[(f"/{n}.jpg", "") for n in range(20)])} | {f"/{n}.jpg": answer(body) for n in range(20)}
    )
    assert crawled(site.address, "--bytes", "1000000") == 1
    assert re.search(r"Stopped by --bytes 1000000; 0 pages and 1\d pictures are left", capsys.readouterr().out)
    assert 4 <= sum(path.endswith(".jpg") for path in site.asked) <= 5


def test_time_is_limited(serve, staff, capsys):
    site = endless_site(serve)
    began = time.monotonic()
    crawled(site.address, "--seconds", "1")
    assert time.monotonic() - began < 5
    assert "Stopped by --seconds 1; " in capsys.readouterr().out


def test_small_pictures_are_left_out_by_the_side_asked_for(serve, staff):
    site = serve({"/": front(shown=[("/1.jpg", "Wide"), ("/2.jpg", "Low")]), "/1.jpg": jpeg(1, (300, 300))})
    site.pages["/2.jpg"] = jpeg(2, (300, 299))
    crawled(site.address, "--min-side", "300")
    assert [asset.title for asset in Asset.objects.all()] == ["Wide"]


def test_picture_shown_small_on_one_page_is_taken_where_another_shows_it_large(serve, staff):
    small = '<img src="/1.jpg" width="40" height="30" alt="Small">'
    site = serve({"/": html(small, links("/large")), "/large": front(shown=[("/1.jpg", "Large")]), "/1.jpg": jpeg(1)})
    crawled(site.address)
    assert [asset.title for asset in Asset.objects.all()] == ["Large"]


# --- robots.txt and the site's wishes --------------------------------------------------------------------------------


def robots(*lines):
    return answer("\n".join(lines).encode(), "Content-Type: text/plain")


def test_rules_for_this_product_count_before_those_for_all(serve, staff):
    site = serve({"/": front("/a", "/b"), "/a": front(), "/b": front()})
    site.pages["/robots.txt"] = robots("User-agent: *", "Disallow: /a", "", "User-agent: AssetSearch", "Disallow: /b")
    crawled(site.address)
    assert set(site.page_paths()) == {"/", "/a"}


def test_robots_that_forbid_all_are_obeyed_and_said(serve, staff):
    site = serve({"/": front(), "/robots.txt": robots("User-agent: *", "Disallow: /")})
    with pytest.raises(CommandError, match=r"robots\.txt forbids it\."):
        crawled(site.address)
    assert set(site.asked) == {"/robots.txt"}


def test_robots_that_are_not_there_forbid_nothing(serve, staff):
    site = serve({"/": front(shown=[("/1.jpg", "One")]), "/1.jpg": jpeg(1)})
    assert crawled(site.address) == 0
    assert Asset.objects.count() == 1


@pytest.mark.parametrize("answered", [answer(status="500 Internal Server Error"), b"\r\n"])
def test_robots_that_cannot_be_read_forbid_all_for_now(serve, staff, answered):
    site = serve({"/": front(shown=[("/1.jpg", "One")]), "/1.jpg": jpeg(1), "/robots.txt": answered})
    with pytest.raises(CommandError, match=r"robots\.txt cannot be read"):
        crawled(site.address)
    assert set(site.asked) == {"/robots.txt"}
    del site.pages["/robots.txt"]
    assert crawled(site.address) == 0
    assert Asset.objects.count() == 1


def test_crawl_delay_is_kept(serve, staff):
    times = []
    site = serve({"/": front("/a"), "/a": front(), "/robots.txt": robots("User-agent: *", "Crawl-delay: 0.4")})
    site.on_request = lambda path: times.append(time.monotonic())
    crawled(site.address)
    assert len(times) == 3
    assert times[2] - times[1] >= 0.2  # half of it, as far as Scrapy varies it


def test_retry_after_is_waited_for(serve, staff):
    times, waits = [], iter([answer(b"", "Retry-After: 1", status="429 Too Many Requests")])
    site = serve({"/": lambda path: next(waits, None) or front(shown=[("/1.jpg", "One")]), "/1.jpg": jpeg(1)})
    site.on_request = lambda path: times.append(time.monotonic()) if path == "/" else None
    assert crawled(site.address) == 0
    assert Asset.objects.count() == 1
    assert times[1] - times[0] >= 1


def test_site_that_asks_to_come_back_much_later_is_left_and_gone_on_with_then(serve, staff, capsys):
    busy = answer(b"", "Retry-After: 7200", status="503 Service Unavailable")
    site = serve({"/": front(shown=[("/1.jpg", "One")]), "/1.jpg": busy})
    assert crawled(site.address) == 0
    said = capsys.readouterr().out
    assert "Stopped by the site, which asks to come back in 7200 s; 0 pages and 1 pictures are left" in said
    site.pages["/1.jpg"] = jpeg(1)
    assert crawled(site.address) == 0
    assert (Asset.objects.count(), site.asked["/"]) == (1, 1)


def test_redirect_that_adds_a_session_leads_to_the_same_page(serve, staff):
    site = serve({"/": lambda path: front(shown=[("/1.jpg", "One")]) if "?sid=" in path else redirect("/?sid=7")})
    site.pages["/1.jpg"] = jpeg(1)
    assert crawled(site.address) == 0
    assert Asset.objects.count() == 1


# --- the guard -------------------------------------------------------------------------------------------------------


def test_nothing_inside_the_network_is_asked_without_the_setting(serve, staff, settings):
    settings.FETCH_ALLOWED_NETWORKS = []
    site = serve({"/": front()})
    for host in ("127.0.0.2", "127.0.2", "0x7f000002", "2130706434"):
        with pytest.raises(CommandError, match="no server on the internet"):
            crawled(f"http://{host}:{site.port}/")
    assert site.connections == 0


def test_redirect_of_robots_leads_nowhere_inside(serve, canary, staff):
    site = serve({"/": front(), "/robots.txt": redirect(f"http://127.0.0.1:{canary.port}/robots.txt")})
    with pytest.raises(CommandError, match="no server on the internet"):
        crawled(site.address)
    assert (canary.connections, set(site.asked)) == (0, {"/robots.txt"})


def test_name_that_changes_its_address_is_vetted_at_each_connection(serve, staff, canary, monkeypatch):
    import socket

    real, answers = socket.getaddrinfo, iter(["127.0.0.2", "127.0.0.2"])

    def getaddrinfo(host, *args, **kwargs):
        return real(next(answers, "127.0.0.1") if host == "rebinding.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    site = serve({"/": front("/a", "/b"), "/a": front()})
    crawled(f"http://rebinding.test:{site.port}/")
    assert (canary.connections, set(site.asked)) == (0, {"/robots.txt", "/"})


def test_proxy_of_the_environment_is_not_used(serve, staff, canary, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    site = serve({"/": front()})
    assert crawled(site.address) == 0
    assert canary.connections == 0


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("example.com", "Only URLs that begin with http:// or https:// are fetched."),
        ("file:///etc/passwd", "Only URLs that begin with"),
        ("http://", "The URL names no server."),
        ("http://example.com xn--/", "This is no URL."),
        ("http://example.com:22/", "Port 22 is not one"),
        ("http://nowhere.invalid/", "nowhere.invalid is no server on the internet"),
    ],
)
def test_url_that_leads_nowhere_is_said(staff, settings, url, why):
    with pytest.raises(CommandError, match=re.escape(why)):
        crawled(url)
    assert not list((settings.DATA_DIR / "crawls").glob("*"))


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (answer(status="404 Not Found"), "The server answers 404 Not Found."),
        (answer(b"%PDF", "Content-Type: application/pdf"), "It is no web page."),
        (redirect("http://www.example.com/"), "It leads to another site, http://www.example.com/"),
        (redirect("/"), "It is redirected in a circle."),
    ],
)
def test_first_page_that_cannot_be_read_is_said(serve, staff, first, why):
    site = serve({"/": first})
    with pytest.raises(CommandError, match=re.escape(why)):
        crawled(site.address)


def test_site_that_goes_away_is_left_and_gone_on_with_later(serve, staff, capsys):
    pages = [f"/{n}" for n in range(40)]
    site = serve({"/": front(*pages)} | dict.fromkeys(pages, b"\r\n"))
    assert crawled(site.address) == 0
    said = capsys.readouterr().out
    assert "Stopped by the site, which answers nothing any more" in said
    site.pages |= dict.fromkeys(pages, front())
    assert crawled(site.address) == 0
    assert site.asked["/"] == 1


@pytest.mark.parametrize("arguments", [["--pages", "0"], ["--depth", "x"], ["--delay", "-1"], ["--min-side", "a"]])
def test_number_that_does_not_fit_is_said(staff, arguments):
    with pytest.raises(CommandError, match=r"must be|invalid"):
        crawled("http://example.com/", *arguments)


# --- taking up where it stopped --------------------------------------------------------------------------------------

_IN_ANOTHER_PROCESS = """
import sys
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
settings.DATABASES["default"]["NAME"] = sys.argv[1]
call_command("crawl_site", sys.argv[2], "--delay", "0")
"""


@pytest.fixture
def start(settings):
    """start(url): a process that crawls it."""
    started = []

    def begin(url):
        arguments = [str(connection.settings_dict["NAME"]), url]
        environment = os.environ | {
            "FETCH_ALLOWED_NETWORKS": "127.0.0.2/32",
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", _IN_ANOTHER_PROCESS, *arguments],
            env=environment,
            cwd=settings.BASE_DIR,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def album(size):
    pages = [f"/{n}" for n in range(size)]
    shown = {f"/{n}": front(shown=[(f"/{n % 8}.jpg", f"Picture {n % 8}")]) for n in range(size)}
    return {"/": front(*pages)} | shown | {f"/{n}.jpg": jpeg(n) for n in range(8)}


def test_killed_crawl_is_taken_up_and_asks_for_no_page_twice(serve, start, staff):
    site = serve(album(60))
    process, killed = [], threading.Event()

    def kill(path):
        if sum(site.asked.values()) == 35 and not killed.is_set():
            os.kill(process[0].pid, signal.SIGKILL)
            killed.set()

    site.on_request = kill
    process.append(start(site.address))
    assert process[0].wait(60) == -signal.SIGKILL
    assert killed.is_set()
    before = site.page_paths()
    assert 10 < len(before) < 50
    assert crawled(site.address) == 0
    assert set(site.page_paths()) == set(album(60)) - {f"/{n}.jpg" for n in range(8)}
    twice = {path: n for path, n in site.page_paths().items() if n > 1}
    assert set(twice.values()) <= {2}
    assert len(twice) <= 6  # those under way when it was killed: asked for, or come and not yet read
    assert Asset.objects.count() == 8


def test_interrupted_crawl_ends_in_order_and_is_taken_up(serve, start, staff):
    site = serve(album(60))
    process = []
    site.on_request = lambda path: process[0].send_signal(signal.SIGINT) if sum(site.asked.values()) == 20 else None
    process.append(start(site.address))
    said, _ = process[0].communicate(timeout=60)
    assert process[0].returncode == 130
    assert "Stopped by an interrupt; " in said
    assert "Traceback" not in said
    assert crawled(site.address) == 0
    assert set(site.page_paths().values()) == {1}
    assert Asset.objects.count() == 8


def test_second_crawl_of_the_same_site_at_once_is_refused(serve, staff):
    answers = []

    def crawl_too(path):
        if path == "/a":
            with pytest.raises(CommandError, match="Another process crawls from there") as raised:
                crawled(site.address)
            answers.append(raised)

    site = serve({"/": front("/a"), "/a": front()})
    site.on_request = crawl_too
    assert crawled(site.address) == 0
    assert len(answers) == 1


def test_frontier_hands_out_no_more_than_the_decoders_keep_up_with(settings):
    url = "http://example.com/"
    scope = Scope(url, Crawled.of(url), frozenset([Crawled.of(url)]))
    frontier = Frontier(scope, Limits(pages=10, depth=1, size_bytes=10, seconds=10, min_side_px=1))
    frontier.open(SimpleNamespace(read_page=None, take_picture=None, failed=None))
    first = frontier.next_request().meta["found"]
    frontier.finish_page(first, [], [page.Picture(f"{url}{n}.jpg", "") for n in range(100)])
    handed_out = list(iter(frontier.next_request, None))
    assert len(handed_out) == 2 + 2 * settings.DECODE_PROCESSES
    frontier.finish(handed_out[0].meta["found"])
    assert len(list(iter(frontier.next_request, None))) == 1
    assert frontier.counts_left() == (0, 99)
    frontier.shut()


def test_redirect_that_cannot_be_taken_up_leaves_nothing_under_way(monkeypatch):
    url, told = "http://example.com/", []
    scope = Scope(url, Crawled.of(url), frozenset([Crawled.of(url)]))
    frontier = Frontier(scope, Limits(pages=10, depth=1, size_bytes=10, seconds=10, min_side_px=1))

    def left(found, error):
        told.append(error)
        frontier.finish(found)

    frontier.open(SimpleNamespace(read_page=None, take_picture=None, failed=None, left=left))
    asked = frontier.next_request()
    moved = asked.replace(url=f"{url}moved", meta={**asked.meta, "redirect_urls": [url], "redirect_times": 1})
    monkeypatch.setattr(frontier, "_add_page", lambda *args: 1 / 0)
    assert not frontier.enqueue_request(moved)
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert frontier.counts_left() == (0, 0)
    assert not frontier.has_pending_requests()
    frontier.shut()


def test_file_name_longer_than_a_file_s_can_be_is_cut(serve, staff):
    name = "Content-Disposition: inline; filename*=UTF-8''a." + "%E7%85%A7" * 100
    site = serve({"/": front(shown=[("/1.jpg", "One")]), "/1.jpg": answer(encoded(drawn(1, SIZE)), name)})
    assert crawled(site.address) == 0
    assert Asset.objects.get().filename == "a." + "照" * 100


def test_full_spool_stops_the_crawl_which_goes_on_later(serve, staff, monkeypatch, capsys):
    def write(*args):
        raise OSError(28, "No space left on device")

    site = serve({"/": front(shown=[("/1.jpg", "One")]), "/1.jpg": jpeg(1)})
    with monkeypatch.context() as patched:
        patched.setattr(TemporaryUploadedFile, "write", write, raising=False)
        crawled(site.address)
    assert "the disk, which is full" in capsys.readouterr().out
    crawled(site.address)
    assert Asset.objects.count() == 1


def test_unreachable_storage_stops_the_crawl_which_goes_on_later(serve, staff, monkeypatch, capsys):
    def write(*args):
        raise StorageUnavailable

    site = serve({"/": front(shown=[("/1.jpg", "One")]), "/1.jpg": jpeg(1)})
    with monkeypatch.context() as patched:
        patched.setattr("gallery.uploads._write_files", write)
        crawled(site.address)
    assert "the storage, which cannot be reached" in capsys.readouterr().out
    crawled(site.address)
    assert Asset.objects.count() == 1


def test_picture_whose_storing_breaks_is_refused_and_the_others_stored(serve, staff, monkeypatch, capsys):
    real = spider.store_upload

    def store_upload(file, *args, **options):
        if file.name == "1.jpg":
            raise IntegrityError("a constraint")
        return real(file, *args, **options)

    monkeypatch.setattr(spider, "store_upload", store_upload)
    site = serve(
        {"/": front(shown=[("/1.jpg", "One"), ("/2.jpg", "Two")]), "/1.jpg": jpeg(1), "/2.jpg": jpeg(2)},
    )
    assert crawled(site.address) == 1
    assert f"refused  {site.address}/1.jpg: Something went wrong here. It was logged." in capsys.readouterr().out
    assert Asset.objects.get().title == "Two"


# --- the parts -------------------------------------------------------------------------------------------------------


def read(text, url="http://example.com/a/b"):
    return HtmlResponse(url, body=text.encode())


@pytest.mark.parametrize(
    ("srcset", "best"),
    [
        ("/a 1x, /b 2x", "/b"),
        ("/a 100w,/b 50w", "/a"),
        ("/a,1.jpg 2x, /b", "/a,1.jpg"),
        ("/a", "/a"),
        ("/a 1.5x, /b 1x", "/a"),
        ("data:image/gif;base64,AA== 3x, /b 1x", "/b"),
        ("/a 1.2.3x, /b 1x", "/b"),
    ],
)
def test_largest_of_a_srcset_is_taken(srcset, best):
    assert [each.url for each in page.pictures(read(f'<img srcset="{srcset}">'))] == [f"http://example.com{best}"]


def test_links_are_absolute_by_the_base_and_pictures_are_none():
    text = '<base href="http://example.com/c/"><a href="d"></a><a href="e.JPG"></a><a href="#f"></a>'
    assert page.links(read(text)) == ["http://example.com/c/d", "http://example.com/c/#f"]
    assert [each.url for each in page.pictures(read(text))] == ["http://example.com/c/e.JPG"]


@pytest.mark.parametrize("alt", ["a\x00b", "a&#0;b", "a&#xD800;b", "a\u202eb", " a \n b "])
def test_title_is_one_line_that_can_be_stored(alt):
    [picture] = page.pictures(read(f'<img src="/a" alt="{alt}">'))
    assert picture.title.isprintable()
    assert picture.title.startswith("a")


def test_refresh_of_a_page_is_a_link():
    assert page.links(read('<meta http-equiv="refresh" content="0; url=/next">')) == ["http://example.com/next"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com.evil/",
        "http://evil.example.com/",
        "http://example.com:8080/",
        "http://example.com@evil.example/",
        "http://evil.example\\@example.com/",
        "http://evil.example#@example.com/",
        "//example.com/",
        "http://example.com xn--/",
        "http://[::1",
        "ftp://example.com/",
        "http://example.com/" + "a" * 3000,
    ],
)
def test_other_sites_are_told_from_this(url):
    assert site_of(url) != Crawled.of("http://example.com/")


@pytest.mark.parametrize("url", ["http://EXAMPLE.com/x", "https://example.com/", "http://example.com:80?q"])
def test_same_site_is_known(url):
    assert site_of(url) == Crawled.of("http://example.com/")


def test_other_parsers_read_what_is_fetched_alike():
    """For the one fetches, and others make its key and its request."""
    random, site = Random(0), Crawled.of("http://example.com/")
    parts = [*":/\\?#[]@%&= .-;é。／", "//", "example.com", ":80", "xn--", "%00", "..", "http://"]  # noqa: RUF001
    for _ in range(5_000):
        url = "http://example.com" + "".join(random.choices(parts, k=random.randint(0, 6)))
        if site_of(url) == site:
            assert {site_of(key_of(url)), site_of(Request(as_fetched(url)).url)} == {site}


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/p?b=2&a=1#top",
        "http://example.com/p;jsessionid=AB12?a=1&b=2",
        "http://example.com/p?a=1&PHPSESSID=x&b=2&utm_source=mail",
    ],
)
def test_urls_of_the_same_have_the_same_key(url):
    assert key_of(url) == "http://example.com/p?a=1&b=2"


def test_pages_of_one_template_have_the_same_shape():
    assert shape_of("http://e.com/2026/1?d=1&v=x") == shape_of("http://e.com/2031/12?d=7&v=y")
    assert shape_of("http://e.com/a") != shape_of("http://e.com/b")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("12", 12), ("", 0), ("soon", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("31 Dec 9999 23:59:59 -1200", 0)],
)
def test_retry_after_is_seconds_or_a_date(said, seconds):
    assert _retry_after_s(HtmlResponse("http://e.com/", headers={"Retry-After": said})) == seconds
