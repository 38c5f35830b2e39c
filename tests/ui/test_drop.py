"""Pictures dropped or pasted anywhere, in a browser."""

import base64
import re

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded

pytestmark = [pytest.mark.product, pytest.mark.browser]

#: Of pictures that no other test draws.
FIRST_SEED = 620_000
SIZE = (640, 480)
LONG = 60_000

TRANSFER = """files => {
    const transfer = new DataTransfer();
    for (const [name, type, data] of files) {
        const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name, {type}));
    }
    return transfer;
}"""
PASTE = """clipboardData => {
    document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
}"""


@pytest.fixture
def page(signed_in: Page) -> Page:
    signed_in.set_default_timeout(LONG)
    expect.set_options(timeout=LONG)
    return signed_in


@pytest.fixture
def asset(stored):
    return stored(FIRST_SEED, title="Dropped windmill")


def transfer(page: Page, *seeds: int):
    """Of pictures drawn from these seeds, as a drop or a paste has them."""
    files = [[f"dropped-{seed}.jpg", "image/jpeg", _base64(seed)] for seed in seeds]
    return page.evaluate_handle(TRANSFER, files)


def _base64(seed: int) -> str:
    return base64.b64encode(encoded(drawn(seed, SIZE))).decode()


def drag(page: Page, files) -> None:
    page.locator("body").dispatch_event("dragenter", {"dataTransfer": files})


def drop_on(page: Page, target: str, files) -> None:
    place = page.locator(f"[data-drop={target}]")
    place.dispatch_event("dragover", {"dataTransfer": files})
    expect(place).to_have_attribute("data-over", "")
    place.dispatch_event("drop", {"dataTransfer": files})


@pytest.mark.parametrize("path", ["/gallery/", "/collections/", "/tags/", "/reports/", "/upload/", "/"])
def test_picture_over_any_page_shows_two_targets(page: Page, product, path):
    page.goto(product.url + path)
    search = page.locator("[data-drop=search]")
    expect(search).to_be_hidden()
    files = transfer(page, FIRST_SEED)
    drag(page, files)
    expect(search).to_be_visible()
    expect(page.locator("[data-drop=upload]")).to_be_visible()
    assert search.bounding_box()["height"] > 300
    page.locator("#main").dispatch_event("dragleave", {"dataTransfer": files})
    expect(search).to_be_hidden()


def test_picture_dropped_in_the_gallery_is_searched_with(page: Page, product, asset):
    page.goto(f"{product.url}/gallery/")
    files = transfer(page, FIRST_SEED)
    drag(page, files)
    drop_on(page, "search", files)
    expect(page).to_have_url(re.compile(r"/\?query="))
    expect(page.locator(".hits").get_by_text("Dropped windmill").first).to_be_visible()


def test_several_pictures_dropped_become_a_report(page: Page, product, asset):
    page.goto(f"{product.url}/gallery/")
    files = transfer(page, FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2)
    drag(page, files)
    drop_on(page, "search", files)
    expect(page).to_have_url(re.compile(r"/reports/\d+/$"))
    expect(page.locator("[data-verdict]")).to_have_count(3)
    expect(page.locator("[data-verdict=found]")).to_have_count(1)


def test_report_that_is_not_complete_waits_for_who_dropped_the_pictures(page: Page, product, asset):
    page.goto(f"{product.url}/gallery/")
    page.route(re.compile(r"/reports/\d+/$"), lambda route: route.abort())
    files = transfer(page, FIRST_SEED, FIRST_SEED + 1)
    drag(page, files)
    drop_on(page, "search", files)
    retry_all(page)
    expect(page.locator("[data-verdict]")).to_have_count(2)


def retry_all(page: Page) -> None:
    """Once both pictures failed, and the server can be reached again."""
    dialog = page.get_by_role("dialog", name="Match report")
    expect(dialog.get_by_text("The server cannot be reached")).to_have_count(2)
    page.unroute_all()
    dialog.get_by_role("button", name="Retry all").click()
    expect(page).to_have_url(re.compile(r"/reports/\d+/$"))


def report_cannot_be_begun(page: Page) -> None:
    page.route(re.compile(r"/reports/$"), lambda r: r.abort() if r.request.method == "POST" else r.continue_())


def test_report_that_could_not_be_begun_is_begun_when_pictures_are_tried_again(page: Page, product, asset):
    page.goto(f"{product.url}/gallery/")
    report_cannot_be_begun(page)
    files = transfer(page, FIRST_SEED, FIRST_SEED + 1)
    drag(page, files)
    drop_on(page, "search", files)
    retry_all(page)
    expect(page.locator("[data-verdict]")).to_have_count(2)


def test_pictures_chosen_for_a_report_that_could_not_be_begun_are_not_lost(page: Page, product, asset):
    page.goto(f"{product.url}/reports/")
    report_cannot_be_begun(page)
    data = encoded(drawn(FIRST_SEED, SIZE))
    page.locator("input[name=picture]").set_input_files(
        [{"name": f"chosen-{place}.jpg", "mimeType": "image/jpeg", "buffer": data} for place in range(2)]
    )
    retry_all(page)
    expect(page.get_by_role("heading", name="chosen-1.jpg")).to_be_visible()


def test_picture_dropped_in_the_admin_is_searched_with(page: Page, product, asset):
    page.goto(f"{product.url}/admin/gallery/asset/")
    files = transfer(page, FIRST_SEED)
    drag(page, files)
    expect(page.locator("[data-drop=upload]")).to_be_hidden()
    assert page.locator("[data-drop=search]").bounding_box()["height"] > 300
    drop_on(page, "search", files)
    expect(page).to_have_url(re.compile(r"/\?query="))
    expect(page.locator(".hits").get_by_text("Dropped windmill").first).to_be_visible()


def test_several_pictures_dropped_in_the_admin_become_a_report(page: Page, product, asset):
    page.goto(f"{product.url}/admin/")
    page.evaluate(PASTE, transfer(page, FIRST_SEED, FIRST_SEED + 1))
    expect(page).to_have_url(re.compile(r"/reports/\d+/$"))
    expect(page.locator("[data-verdict]")).to_have_count(2)


#: What a browser hands over of a folder that holds a picture, another folder with one, and one that cannot be read.
FOLDER = """files => {
    const file = file => ({isFile: true, file: done => done(file)});
    const folder = entries => {
        const reader = lots => ({readEntries: done => done(lots.shift())});
        return {isDirectory: true, createReader: () => reader([entries, []])};
    };
    const torn = {isFile: true, file: (done, failed) => failed(new Error("gone"))};
    const [one, other] = files.files;
    const top = folder([file(one), folder([file(other ?? one)]), torn].slice(0, window.taken));
    DataTransferItem.prototype.webkitGetAsEntry = () => top;
}"""


def test_folder_dropped_is_searched_with_and_what_cannot_be_read_is_told(page: Page, product, asset):
    page.goto(f"{product.url}/gallery/")
    files = transfer(page, FIRST_SEED, FIRST_SEED + 1)
    page.evaluate("window.taken = 3")
    page.evaluate(FOLDER, files)
    page.route("**/reports/", lambda route: route.abort())  # the page stays for now
    drag(page, files)
    drop_on(page, "search", files)
    expect(page.get_by_text("2 files or folders cannot be read.")).to_be_visible()  # the folder lies there twice
    dialog = page.get_by_role("dialog", name="Match report")
    expect(dialog.get_by_text("The server cannot be reached")).to_have_count(4)


def test_empty_folder_dropped_is_told(page: Page, product):
    page.goto(f"{product.url}/gallery/")
    files = transfer(page, FIRST_SEED)
    page.evaluate("window.taken = 0")
    page.evaluate(FOLDER, files)
    drag(page, files)
    drop_on(page, "search", files)
    expect(page.get_by_text("There is no file in what was dropped.")).to_be_visible()


#: Whether the browser would go to what is dropped.
GOES_AWAY = """dataTransfer => document.body.dispatchEvent(
    new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true})
)"""


def test_file_is_taken_after_what_was_dragged_about_left_the_page(page: Page, product, asset):
    page.goto(f"{product.url}/gallery/")
    tile = page.locator("[data-asset] a").first
    tile.dispatch_event("dragstart", {"dataTransfer": page.evaluate_handle("new DataTransfer()")})
    tile.evaluate("link => link.remove()")  # as a list that comes anew does
    assert not page.evaluate(GOES_AWAY, transfer(page, FIRST_SEED))
    expect(page.locator(".hits").get_by_text("Dropped windmill").first).to_be_visible()


@pytest.mark.parametrize("path", ["/api/v1/docs/", "/gallery/?tag=%00"])
def test_browser_stays_where_nothing_is_done_with_what_is_dropped(page: Page, product, path):
    page.goto(product.url + path)
    page.wait_for_load_state("networkidle")
    assert not page.evaluate(GOES_AWAY, transfer(page, FIRST_SEED))


def test_address_dropped_is_searched_with_and_not_gone_to(page: Page, product, asset):
    page.goto(f"{product.url}/gallery/")
    address = page.evaluate_handle(
        """() => {
            const transfer = new DataTransfer();
            transfer.setData("text/uri-list", "http://127.0.0.1/windmill.jpg");
            return transfer;
        }"""
    )
    for event in ("dragover", "drop"):
        is_left_to_the_browser = page.locator("#main").evaluate(
            """(element, [type, dataTransfer]) =>
                element.dispatchEvent(new DragEvent(type, {dataTransfer, bubbles: true, cancelable: true}))""",
            [event, address],
        )
        assert not is_left_to_the_browser
    expect(page).to_have_url(re.compile(r"/reports/\d+/$"))
    expect(page.locator("[data-verdict=refused]")).to_have_count(1)  # no address inside the network is fetched


def test_who_is_not_signed_in_is_told_so(page: Page, product):
    page.context.clear_cookies()
    page.goto(f"{product.url}/gallery/")
    page.evaluate(PASTE, transfer(page, FIRST_SEED))
    expect(page.locator(".toast.error")).to_have_text(re.compile("Sign in to search with a picture"))


def test_picture_dropped_to_be_uploaded_becomes_an_asset(page: Page, product, client):
    page.goto(f"{product.url}/collections/")
    files = transfer(page, FIRST_SEED + 9)
    drag(page, files)
    expect(page.locator("[data-drop=search]")).to_be_visible()
    drop_on(page, "upload", files)
    expect(page).to_have_url(f"{product.url}/collections/")  # it stays where it is
    expect(page.get_by_text(f"dropped-{FIRST_SEED + 9}").first).to_be_visible()
    expect(page.get_by_text(re.compile("Added")).first).to_be_visible()
    [found] = client.get("/assets/", q=f"dropped-{FIRST_SEED + 9}")["results"]
    assert found["filename"] == f"dropped-{FIRST_SEED + 9}.jpg"


def test_picture_pasted_on_any_page_is_searched_with(page: Page, product, asset):
    page.goto(f"{product.url}/tags/")
    page.evaluate(PASTE, transfer(page, FIRST_SEED))
    expect(page).to_have_url(re.compile(r"/\?query="))
    expect(page.locator(".hits").get_by_text("Dropped windmill").first).to_be_visible()


def test_file_that_is_no_picture_is_refused_in_words_where_one_is(page: Page, product, asset):
    page.goto(f"{product.url}/gallery/")
    data = base64.b64encode(b"no picture").decode()
    files = page.evaluate_handle(TRANSFER, [["notes.txt", "text/plain", data]])
    drag(page, files)
    drop_on(page, "search", files)
    expect(page.locator(".toast.error")).to_contain_text("no picture we can read")
    expect(page).to_have_url(f"{product.url}/gallery/")
