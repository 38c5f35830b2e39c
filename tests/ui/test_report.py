"""Searches with many pictures at once, in a browser."""

import csv
import io
import json
import re

import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Page, Route, expect
from pypdf import PdfReader

from tests.conftest import drawn, encoded
from tests.product import wait_for

pytestmark = [pytest.mark.product, pytest.mark.browser]

#: Of pictures that no other test draws.
FIRST_SEED = 610_000
SIZE = (640, 480)
LONG = 60_000


def file_of(seed: int, name: str, format: str = "JPEG", size: tuple[int, int] = SIZE) -> dict:
    return {
        "name": name,
        "mimeType": f"image/{format.lower()}",
        "buffer": encoded(drawn(seed, SIZE).resize(size), format),
    }


BROKEN = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"this is no picture"}


@pytest.fixture
def page(signed_in: Page, product) -> Page:
    signed_in.set_default_timeout(LONG)
    expect.set_options(timeout=LONG)
    return signed_in


@pytest.fixture
def asset(stored):
    return stored(FIRST_SEED, title="Report lighthouse")


def section(page: Page, name: str):
    return page.locator("[data-verdict]").filter(has=page.get_by_role("heading", name=name, exact=True))


def choose(page: Page, *files: dict) -> None:
    page.locator("input[name=picture]").set_input_files(list(files))


def test_several_pictures_become_a_report(page: Page, product, asset):
    page.goto(f"{product.url}/reports/")
    choose(page, file_of(FIRST_SEED, "identical.jpg"), file_of(FIRST_SEED, "copy.webp", "WEBP", (320, 240)), BROKEN)

    expect(page).to_have_url(re.compile(r"/reports/\d+/$"))
    expect(section(page, "identical.jpg")).to_contain_text("Found: Identical")
    expect(section(page, "copy.webp")).to_contain_text("Found: Same picture")
    expect(section(page, "copy.webp")).to_contain_text("Report lighthouse")
    expect(section(page, "copy.webp")).to_contain_text("Best score")
    expect(section(page, "broken.jpg")).to_contain_text("no picture we can read")
    expect(page.locator("#report-summary")).to_contain_text("2 found")
    expect(page.locator("#report-summary")).to_contain_text("1 refused")
    expect(page.locator("main [data-queue]")).to_be_hidden()

    page.reload()  # it is kept
    expect(section(page, "identical.jpg")).to_contain_text("Found: Identical")


@pytest.mark.parametrize("page_of", ["reports/", "reports/have/", "upload/"])
def test_files_chosen_before_the_script_came_are_taken_when_it_comes(page: Page, product, asset, page_of):
    held: list[Route] = []
    script = re.compile(r"/dist/pages/(report|have|upload)-\w+\.js$")
    page.route(script, lambda route: held.append(route))  # noqa: PLW0108 - a method of a list cannot be given
    page.goto(f"{product.url}/{page_of}", wait_until="commit")
    wait_for(lambda: page.wait_for_timeout(50) or held, what="the request of the script")
    page.locator("form input[type=file]:is([name=picture], #files)").set_input_files(file_of(FIRST_SEED, "soon.jpg"))
    held[0].continue_()
    taken = page.locator("#uploads") if page_of == "upload/" else section(page, "soon.jpg")
    expect(taken).to_contain_text(re.compile("Identical", re.IGNORECASE))


def test_several_pictures_chosen_on_the_search_page_become_a_report(page: Page, product, asset):
    page.goto(product.url)
    files = [file_of(FIRST_SEED, "first.jpg"), file_of(FIRST_SEED + 1, "second.jpg")]
    page.locator("input[name=image]").set_input_files(files)
    expect(page).to_have_url(re.compile(r"/reports/\d+/$"))
    expect(section(page, "first.jpg")).to_contain_text("Found: Identical")
    expect(section(page, "second.jpg")).to_be_visible()


def test_list_of_addresses_pasted_on_the_search_page_becomes_a_report(page: Page, product):
    page.goto(product.url)
    page.locator("input[name=url]").evaluate(
        """(field, text) => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", text);
            field.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
        }""",
        "http://127.0.0.1/1.jpg\nhttp://127.0.0.1/2.jpg\n",
    )
    expect(page).to_have_url(re.compile(r"/reports/\d+/$"))
    expect(page.locator("[data-verdict=refused]")).to_have_count(2)  # no address inside the network is fetched


def test_pictures_queue_with_previews_sizes_and_states(page: Page, product, asset):
    page.goto(f"{product.url}/reports/")
    gate = Gate()
    page.route(re.compile(r"/reports/\d+/$"), gate)
    choose(page, *[file_of(FIRST_SEED + n, f"queued-{n}.jpg") for n in range(6)])

    rows = page.locator("main [data-queue-rows] > li")
    expect(rows).to_have_count(6)
    expect(rows.first).to_contain_text("queued-0.jpg")
    expect(rows.first).to_contain_text(re.compile(r"\d\.\d\sKB"))
    expect(rows.first.locator("canvas")).to_be_visible()
    expect(rows.last).to_contain_text("Waiting")
    expect(page.locator("main [data-queue-summary]")).to_have_text("0 of 6 done")
    gate.open()
    expect(page.locator("[data-verdict]")).to_have_count(6)


@pytest.mark.parametrize("path", ["/reports/", "/reports/have/"])
def test_sections_stand_in_the_order_of_the_pictures_whichever_is_answered_first(page: Page, product, asset, path):
    page.goto(f"{product.url}{path}")
    gate = Gate(lambda body: b"slow-" in body)
    page.route(re.compile(r"/reports/(\d+|have)/$"), gate)
    names = ["slow-0.jpg", "fast-1.jpg", "slow-2.jpg", "fast-3.jpg"]
    choose(page, *[file_of(FIRST_SEED + number, name) for number, name in enumerate(names)])
    headings = page.locator("[data-verdict] h2")
    expect(headings).to_have_text(["fast-1.jpg", "fast-3.jpg"])
    gate.open()
    expect(headings).to_have_text(names)
    if path == "/reports/":
        page.reload()
        expect(headings).to_have_text(names)
        choose(page, file_of(FIRST_SEED + 5, "added.jpg"))
        expect(headings).to_have_text([*names, "added.jpg"])


class Gate:
    """Holds what is posted, or what of it is to be held, until it is opened."""

    def __init__(self, holds=lambda _: True) -> None:
        self.held, self.is_open, self.holds = [], False, holds

    def __call__(self, route) -> None:
        body = route.request.post_data_buffer
        if body and not self.is_open and self.holds(body):
            self.held.append(route)
        else:
            route.continue_()

    def open(self) -> None:
        self.is_open = True
        for route in self.held:
            route.continue_()


def test_picture_that_could_not_be_sent_is_tried_again(page: Page, product, asset):
    page.goto(f"{product.url}/reports/")
    page.route(re.compile(r"/reports/\d+/$"), break_off)
    choose(page, file_of(FIRST_SEED, "offline.jpg"))
    row = page.locator("main [data-queue-rows] > li")
    expect(row).to_contain_text("The server cannot be reached")
    page.unroute_all()
    row.get_by_role("button", name="Retry").click()
    expect(section(page, "offline.jpg")).to_contain_text("Found: Identical")


def break_off(route) -> None:
    if route.request.method == "POST":
        route.abort()
    else:
        route.continue_()


def test_refused_picture_can_be_chosen_again(page: Page, product, asset):
    page.goto(f"{product.url}/reports/")
    choose(page, BROKEN)
    refused = section(page, "broken.jpg")
    expect(refused).to_contain_text("Refused")
    refused.locator("input[type=file]").set_input_files(file_of(FIRST_SEED, "mended.jpg"))
    refused.get_by_role("button", name="Retry").click()
    expect(section(page, "mended.jpg")).to_contain_text("Found: Identical")
    expect(page.locator("[data-verdict]")).to_have_count(1)


def test_report_is_exported(page: Page, product, asset):
    page.goto(f"{product.url}/reports/")
    choose(page, file_of(FIRST_SEED, "exported.jpg"))
    expect(section(page, "exported.jpg")).to_be_visible()

    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    [line] = csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig")))
    assert (line["picture"], line["verdict"], line["asset_title"]) == ("exported.jpg", "found", "Report lighthouse")
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    [told] = json.loads(download.value.path().read_text())["pictures"]
    assert told["results"][0]["asset"]["id"] == asset["id"]

    with page.expect_download() as download:
        page.get_by_role("link", name="PDF").click()
    [sheet] = PdfReader(download.value.path()).pages
    assert "exported.jpg" in sheet.extract_text()
    assert len(sheet.images) >= 2

    page.get_by_role("link", name="Contact sheet").click()
    expect(page.get_by_text("exported.jpg")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("header.header")).to_be_hidden()
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    expect(page.get_by_text("Found: Identical")).to_be_visible()


def test_do_we_have_these_keeps_nothing(page: Page, product, asset, client):
    before = client.get("/status/")["assets"]
    page.goto(f"{product.url}/reports/")
    page.get_by_role("link", name="Do we have these?").click()
    page.wait_for_url("**/have/")
    choose(page, file_of(FIRST_SEED, "known.jpg"), BROKEN)
    expect(section(page, "known.jpg")).to_contain_text("Found: Identical")
    expect(section(page, "broken.jpg")).to_contain_text("Refused")
    expect(page.locator("[data-have-summary]")).to_contain_text("1 found")

    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    known, broken = sorted(
        csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))),
        key=lambda line: line["verdict"],
    )
    assert (known["picture"], known["verdict"], broken["verdict"]) == ("known.jpg", "found", "refused")
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    assert {one["name"] for one in json.loads(download.value.path().read_text())} == {"known.jpg", "broken.jpg"}
    page.evaluate("window.print = () => { window.isPrinted = true; }")
    page.get_by_role("button", name="Print").click()
    assert page.evaluate("window.isPrinted")
    page.emulate_media(media="print")
    expect(section(page, "known.jpg")).to_contain_text("Found: Identical")
    for left_out in (page.locator("form[data-pictures]"), page.get_by_role("button", name="Print")):
        expect(left_out).to_be_hidden()
    page.reload()
    expect(page.locator("[data-verdict]")).to_have_count(0)
    assert client.get("/status/")["assets"] == before


def test_report_is_deleted_once_one_has_said_so(page: Page, product, asset):
    page.goto(f"{product.url}/reports/")
    choose(page, file_of(FIRST_SEED, "given up.jpg"))
    expect(section(page, "given up.jpg")).to_be_visible()
    address = page.url
    page.get_by_role("link", name="Delete the report").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Delete the report?")).to_be_visible()
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Delete the report").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The report was deleted.")).to_be_visible()
    assert page.goto(address).status == 404


def test_pictures_that_are_near_or_missing_are_told_apart(page: Page, product, asset):
    page.goto(f"{product.url}/reports/have/")
    far = {"name": "missing.png", "mimeType": "image/png", "buffer": encoded(Image.new("RGB", SIZE, "black"), "PNG")}
    mirrored = encoded(ImageOps.mirror(drawn(FIRST_SEED, SIZE)))
    near = {"name": "near.jpg", "mimeType": "image/jpeg", "buffer": mirrored}
    choose(page, near, far)
    expect(section(page, "near.jpg")).to_have_attribute("data-verdict", "near")
    missing = section(page, "missing.png")
    expect(missing).to_have_attribute("data-verdict", "missing")
    expect(missing).to_contain_text("No close match")
    expect(page.locator("[data-have-summary]")).to_contain_text(re.compile(r"1 near\s+1 no close match"))
