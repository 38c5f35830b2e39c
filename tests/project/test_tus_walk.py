"""Uploads that are interrupted: by the network, by the person, by a killed server."""

import re
import socket
import threading
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from tests.conftest import encoded
from tests.product import PASSWORD, wait_for
from tests.walking import forget_files, kept

pytestmark = [pytest.mark.product]

STORED = 60_000  # milliseconds
CHUNK = 960 * 1024  # as the page sends them
HEADERS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def noise(seed: int) -> bytes:
    """A picture of some 4 MB, because nothing of it can be compressed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (1150, 1150, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), "PNG", compress_level=0)


@pytest.fixture
def session(product):
    """Speaks to the product by token, as a tus client does."""
    made = requests.Session()
    made.headers.update({**HEADERS, "Authorization": product.sign_in().session.headers["Authorization"]})
    return made


def begin(session, product, length: int) -> str:
    answer = session.post(f"{product.url}/upload/files/", headers={"Upload-Length": str(length)}, timeout=30)
    assert answer.status_code == 201
    return f"{product.url}{answer.headers['Location']}"


def offset_of(session, address: str) -> int | None:
    try:
        return int(session.head(address, timeout=30).headers["Upload-Offset"])
    except (requests.ConnectionError, KeyError):  # it is starting again
        return None


def add(session, address: str, offset: int, body: bytes):
    return session.patch(address, body, headers={"Upload-Offset": str(offset)}, timeout=60)


def half_a_request(product, session, address: str, body: bytes, announced: int) -> socket.socket:
    """A PATCH that stops in the midst of its body."""
    connection = socket.create_connection(("127.0.0.1", product.port))
    lines = {**session.headers, "Host": "localhost", "Upload-Offset": 0, "Content-Length": announced}
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    connection.sendall(f"PATCH {address.removeprefix(product.url)} HTTP/1.1\r\n{told}\r\n".encode() + body)
    return connection


def web_workers(product) -> list[psutil.Process]:
    gunicorns = [process for process in product.processes() if "gunicorn" in " ".join(process.cmdline())]
    pids = {process.pid for process in gunicorns}
    return [process for process in gunicorns if process.ppid() in pids]


def test_server_killed_in_mid_chunk_goes_on_where_it_was(product, session):
    data = noise(1)
    sent = data[:600_000]
    address = begin(session, product, len(data))
    with half_a_request(product, session, address, sent, 900_000):
        wait_for(lambda: offset_of(session, address), what="the first bytes")
        assert add(session, address, offset_of(session, address), b"x").status_code == 423
        workers = web_workers(product)
        assert workers
        for worker in workers:
            worker.kill()
    psutil.wait_procs(workers, timeout=30)
    assert wait_for(lambda: offset_of(session, address), what="the server") <= len(sent)
    offset = offset_of(session, address)
    while offset < len(data):
        answer = add(session, address, offset, data[offset : offset + CHUNK])
        assert answer.status_code == 204
        offset = int(answer.headers["Upload-Offset"])
    asset = answer.headers["X-Asset-Id"]
    original = session.get(f"{product.url}/api/v1/assets/{asset}/download/", timeout=60)
    assert original.content == data


def test_connection_cut_in_mid_chunk_frees_the_upload_at_once(product, session):
    data = noise(2)
    address = begin(session, product, len(data))
    with half_a_request(product, session, address, data[:500_000], 900_000):
        wait_for(lambda: offset_of(session, address), what="the first bytes")
    wait_for(lambda: offset_of(session, address) == 500_000, what="all bytes that came")
    assert wait_for(
        lambda: add(session, address, 500_000, data[500_000:900_000]).status_code == 204, what="the end of the old"
    )
    assert session.delete(address, timeout=30).status_code == 204
    assert offset_of(session, address) is None


def test_a_large_upload_takes_no_memory(product, session):
    """100 MB, and no more than a few pieces of it in the process at any time."""
    length = 100_000_000
    address = begin(session, product, length)
    add(session, address, 0, bytes(CHUNK))  # whatever is loaded with the first of them
    workers = web_workers(product)
    before = {worker.pid: worker.memory_info().rss for worker in workers}
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max([most[0], *(worker.memory_info().rss - before[worker.pid] for worker in workers)])

    watching = threading.Thread(target=watch)
    watching.start()
    for offset in range(CHUNK, length, CHUNK):
        answer = add(session, address, offset, bytes(min(CHUNK, length - offset)))
    done.set()
    watching.join()
    assert (answer.status_code, answer.headers["X-Refused"]) == (415, "unsupported_type")
    print(f"at most {most[0] / 1e6:.1f} MB more")
    assert most[0] < 20_000_000


# --- in the browser ---------------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path, request) -> Path:
    path = tmp_path / "large picture.png"
    path.write_bytes(noise(zlib.crc32(request.node.name.encode())))
    return path


@pytest.fixture
def signed_in(page: Page, product) -> Page:
    page.goto(f"{product.url}/upload/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    return ready(page)


def ready(page: Page) -> Page:
    expect(page.locator("[data-no-script]")).to_have_count(0)
    return page


def watch(page: Page) -> list[tuple[str, int]]:
    """The requests that send files: method and offset."""
    seen: list[tuple[str, int]] = []

    def note(request) -> None:
        if "/upload/files/" in request.url:
            seen.append((request.method, int(request.headers.get("upload-offset", -1))))

    page.on("request", note)
    return seen


def cut(page: Page, from_offset: int = 0) -> None:
    """No chunk from that offset on reaches the server."""

    def judge(route) -> None:
        if int(route.request.headers.get("upload-offset", -1)) >= from_offset:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/upload/files/**", judge)


def original_of(product, page: Page) -> bytes:
    asset = re.search(r"/assets/(\d+)/", page.locator(".file-name a").get_attribute("href")).group(1)
    return page.request.get(f"{product.url}/assets/{asset}/download/").body()


@pytest.mark.browser
def test_lost_connection_goes_on_by_itself(signed_in: Page, product, picture):
    page = signed_in
    seen = watch(page)
    cut(page, from_offset=2 * CHUNK)
    page.locator("#files").set_input_files(picture)
    expect(page.locator(".file-state")).to_contain_text("Connection lost", timeout=STORED)
    assert page.locator(".file-progress").evaluate("bar => bar.value") > 0.4
    page.unroute("**/upload/files/**")
    expect(page.locator(".file-state .badge")).to_have_count(1, timeout=STORED)
    assert original_of(product, page) == picture.read_bytes()
    assert [method for method, _ in seen].count("POST") == 1
    assert seen.count(("PATCH", CHUNK)) == 1  # the first chunk came with the POST


@pytest.mark.browser
def test_upload_of_a_closed_tab_goes_on_by_itself_on_whatever_page(
    signed_in: Page, context: BrowserContext, product, picture
):
    cut(signed_in, from_offset=2 * CHUNK)
    signed_in.locator("#files").set_input_files(picture)
    expect(signed_in.locator(".file-state")).to_contain_text("Connection lost", timeout=STORED)
    kept(signed_in)
    signed_in.close()

    page = context.new_page()
    seen = watch(page)
    page.goto(f"{product.url}/tags/")
    expect(page.locator(".file-state .badge")).to_have_count(1, timeout=STORED)
    assert [request for request in seen if request[0] != "PATCH"] == [("HEAD", -1)]
    # or further on, where the tab had begun to try again when it was closed
    assert 2 * CHUNK <= min(offset for method, offset in seen if method == "PATCH") < 3 * CHUNK
    assert original_of(product, page) == picture.read_bytes()


@pytest.mark.browser
def test_file_that_the_browser_forgot_goes_on_when_it_is_chosen_again(signed_in: Page, product, picture):
    page = signed_in
    cut(page, from_offset=2 * CHUNK)
    page.locator("#files").set_input_files(picture)
    expect(page.locator(".file-state")).to_contain_text("Connection lost", timeout=STORED)
    kept(page)
    forget_files(page)
    page.reload()
    expect(ready(page).locator(".file-state")).to_contain_text("Choose it again", timeout=STORED)
    page.unroute("**/upload/files/**")  # not before: what tries again by itself would have gone on

    seen = watch(page)
    page.locator("#files").set_input_files(picture)
    expect(page.locator(".file-state .badge")).to_have_count(1, timeout=STORED)
    assert seen[:2] == [("HEAD", -1), ("PATCH", 2 * CHUNK)]
    assert original_of(product, page) == picture.read_bytes()


@pytest.mark.browser
def test_paused_upload_waits_until_it_is_continued(signed_in: Page, product, picture):
    page = signed_in
    seen = watch(page)
    cut(page, from_offset=CHUNK)
    page.locator("#files").set_input_files(picture)
    expect(page.locator(".file-state")).to_contain_text("Connection lost", timeout=STORED)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".file-state")).to_have_text("Paused")
    page.unroute("**/upload/files/**")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".file-state .badge")).to_have_count(1, timeout=STORED)
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    assert [method for method, _ in seen].count("POST") == 1
    assert original_of(product, page) == picture.read_bytes()


@pytest.mark.browser
def test_cancelled_upload_is_forgotten_by_the_server(signed_in: Page, product, picture):
    page = signed_in
    cut(page, from_offset=CHUNK)
    page.locator("#files").set_input_files(picture)
    expect(page.locator(".file-state")).to_contain_text("Connection lost", timeout=STORED)
    with page.expect_response(lambda response: response.request.method == "DELETE") as ended:
        page.get_by_role("button", name="Cancel", exact=True).click()
    assert ended.value.status == 204
    expect(page.locator(".file-state")).to_have_text("Cancelled")
    left = [path for path in (product.data_dir / "spool" / "unfinished").rglob("*") if path.is_file()]
    assert not [path for path in left if path.stat().st_size == CHUNK]
