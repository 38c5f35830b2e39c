"""Uploads on every page: they go on while one moves about, tell what became of each file, and leave a choice."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded
from tests.product import Client, Product, wait_for
from tests.walking import grow_old, kept

pytestmark = [pytest.mark.product, pytest.mark.browser]

SIZE = (640, 480)
READY = 60_000  # milliseconds


def jpeg(name: str, seed: int) -> Any:
    return {"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": encoded(drawn(seed, SIZE))}


def copy(name: str, seed: int) -> Any:
    """The same picture in another form."""
    data = encoded(drawn(seed, SIZE).resize((320, 240)), "WEBP")
    return {"name": f"{name}.webp", "mimeType": "image/webp", "buffer": data}


@pytest.fixture
def upload_page(signed_in: Page, product: Product) -> Page:
    signed_in.goto(f"{product.url}/upload/")
    expect(signed_in.locator("[data-no-script]")).to_have_count(0)
    return signed_in


def panel(page: Page) -> Any:
    return page.get_by_role("complementary", name="Uploads")


def row(page: Page, name: str) -> Any:
    return panel(page).locator(".file").filter(has=page.locator(".file-name", has_text=name))


def choose(page: Page, *files: Any) -> None:
    page.locator("#files").set_input_files(list(files))


def test_uploads_go_on_from_page_to_page_and_their_outcomes_stay(upload_page: Page, product: Product) -> None:
    page = upload_page
    page.route("**/upload/files/**", lambda route: route.abort("connectionreset"))
    choose(page, *(jpeg(f"moving {seed}", seed) for seed in range(810, 816)))
    expect(row(page, "moving 810")).to_contain_text("Connection lost", timeout=READY)
    kept(page, 6)
    page.goto(f"{product.url}/tags/")
    expect(row(page, "moving 815")).to_be_visible(timeout=READY)
    page.goto(f"{product.url}/collections/")
    page.unroute("**/upload/files/**")
    expect(panel(page)).to_contain_text("6 of 6 done · 6 added", timeout=READY)

    page.goto(f"{product.url}/tags/")
    expect(panel(page)).to_contain_text("6 of 6 done · 6 added", timeout=READY)
    expect(row(page, "moving 815")).to_be_hidden()  # nothing is left to do, and the page is what counts
    page.get_by_role("button", name="Show or hide the files").click()
    row(page, "moving 815").get_by_role("link").click()
    expect(page.get_by_role("heading", name="moving 815", level=1)).to_be_visible()
    page.get_by_role("button", name="Clear the list").click()
    expect(panel(page)).to_be_hidden()
    page.reload()
    expect(panel(page)).to_be_hidden()


def test_file_that_is_cancelled_and_chosen_again_goes_on_on_the_next_page(
    upload_page: Page, product: Product, tmp_path: Path
) -> None:
    page, file = upload_page, tmp_path / "thought over.jpg"
    file.write_bytes(encoded(drawn(817, SIZE)))
    page.route("**/upload/files/**", lambda route: route.abort("connectionreset"))
    choose(page, file)
    row(page, "thought over").get_by_role("button", name="Cancel").click()
    expect(row(page, "thought over")).to_contain_text("Cancelled")
    kept(page, 0)
    choose(page, file)
    expect(row(page, "thought over")).to_contain_text("Connection lost", timeout=READY)
    kept(page, 1)
    page.goto(f"{product.url}/tags/")
    page.unroute("**/upload/files/**")
    expect(panel(page)).to_contain_text("1 of 1 done · 1 added", timeout=READY)


def test_file_that_the_server_failed_at_is_shown_small_and_retried(upload_page: Page) -> None:
    page = upload_page
    page.route("**/upload/files/**", lambda route: route.fulfill(status=500))
    choose(page, jpeg("tried again", 818))
    failed = row(page, "tried again")
    expect(failed).to_contain_text("Something went wrong on the server (500)", timeout=READY)
    expect(failed.locator(".file-image canvas")).to_be_visible()
    kept(page)
    page.reload()
    expect(failed).to_contain_text("It was not sent. Retry it.")
    page.unroute("**/upload/files/**")
    failed.get_by_role("button", name="Retry").click()
    expect(failed.locator(".badge-ready")).to_be_visible(timeout=READY)


#: As browsers without room for files, and such as do not give back what they have.
_NO_ROOM = """() => {
    IDBObjectStore.prototype.put = () => { throw new DOMException("full", "QuotaExceededError") };
}"""
_GIVES_NOTHING_BACK = """
    if (sessionStorage.getItem("broken")) IDBObjectStore.prototype.getAll = () => { throw new DOMException("lost") }
"""


def test_what_the_browser_has_no_room_for_is_not_left_without_asking(upload_page: Page, product: Product) -> None:
    page, asked = upload_page, list[str]()
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.route("**/upload/files/**", lambda route: route.abort("connectionreset"))
    page.evaluate(_NO_ROOM)
    choose(page, jpeg("no room", 890))
    expect(row(page, "no room")).to_contain_text("Connection lost", timeout=READY)
    page.get_by_role("link", name="Gallery", exact=True).click()
    page.wait_for_url("**/gallery/")
    assert asked == ["beforeunload"]

    page.unroute("**/upload/files/**")
    page.goto(f"{product.url}/upload/")
    choose(page, jpeg("kept well", 891))
    expect(row(page, "kept well").locator(".badge")).to_be_visible(timeout=READY)
    page.get_by_role("link", name="Gallery", exact=True).click()
    page.wait_for_url("**/gallery/")
    assert asked == ["beforeunload"]


def test_what_the_browser_does_not_give_back_is_told_and_not_forgotten(upload_page: Page, product: Product) -> None:
    page = upload_page
    page.add_init_script(_GIVES_NOTHING_BACK)
    page.route("**/upload/files/**", lambda route: route.abort("connectionreset"))
    choose(page, jpeg("held back", 892))
    expect(row(page, "held back")).to_contain_text("Connection lost", timeout=READY)
    kept(page)
    page.evaluate("sessionStorage.setItem('broken', 'yes')")
    page.goto(f"{product.url}/tags/")
    expect(page.get_by_text("1 file that was not sent is not given back by the browser.")).to_be_visible(timeout=READY)
    page.unroute("**/upload/files/**")
    page.evaluate("sessionStorage.removeItem('broken')")
    page.reload()
    expect(panel(page)).to_contain_text("1 of 1 done · 1 added", timeout=READY)


def test_what_was_kept_for_longer_than_a_day_is_told_and_forgotten(upload_page: Page, product: Product) -> None:
    page = upload_page
    page.route("**/upload/files/**", lambda route: route.abort("connectionreset"))
    choose(page, jpeg("grown old", 893))
    expect(row(page, "grown old")).to_contain_text("Connection lost", timeout=READY)
    kept(page)
    grow_old(page)
    page.goto(f"{product.url}/tags/")
    expect(page.get_by_text("1 file was not sent within a day, and the browser has forgotten it.")).to_be_visible()
    kept(page, 0)
    page.reload()
    expect(panel(page)).to_be_hidden()


#: What a user of another number left: of an upload of long ago, and of one just begun.
_LEAVE = """async () => {
    const request = indexedDB.open("uploads-987654-0");
    request.onupgradeneeded = () => request.result.createObjectStore("uploads");
    await new Promise((resolve) => (request.onsuccess = resolve));
    const store = request.result.transaction("uploads", "readwrite").objectStore("uploads");
    for (const [id, addedAt] of [["old", 0], ["new", Date.now()]]) {
        store.put({ id, addedAt }, ["about", id]);
        store.put(new Blob(["a picture"]), ["file", id]);
    }
    await new Promise((resolve) => (store.transaction.oncomplete = resolve));
    request.result.close();
}"""
_LEFT = """() => new Promise((resolve) => {
    const request = indexedDB.open("uploads-987654-0");
    request.onsuccess = () => {
        const keys = request.result.transaction("uploads").objectStore("uploads").getAllKeys();
        keys.onsuccess = () => resolve(keys.result) || request.result.close();
    };
})"""


def test_what_others_left_for_longer_than_a_day_is_forgotten(upload_page: Page) -> None:
    page = upload_page
    page.evaluate(_LEAVE)
    choose(page, jpeg("of this one", 894))
    wait_for(lambda: page.evaluate(_LEFT) == [["about", "new"], ["file", "new"]], what="the sweep")


def test_each_file_is_told_its_fate(upload_page: Page) -> None:
    page = upload_page
    choose(page, jpeg("fated", 820))
    expect(row(page, "fated").locator(".badge-ready")).to_be_visible(timeout=READY)
    broken = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}
    text = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    choose(page, jpeg("again", 820), broken, text)

    expect(row(page, "again")).to_contain_text("Identical to fated; nothing was added", timeout=READY)
    for refused in ("broken.jpg", "notes.txt"):
        expect(row(page, refused)).to_contain_text("This is no picture we can read", timeout=READY)
    expect(panel(page)).to_contain_text("4 of 4 done · 1 added · 1 identical · 2 refused", timeout=READY)


def test_collection_and_tags_are_of_all_files(upload_page: Page) -> None:
    page = upload_page
    page.get_by_label("Collection").fill("Of an upload")
    page.get_by_label("Tags").fill("serval, Of an upload")
    choose(page, jpeg("grouped a", 830), jpeg("grouped b", 831))
    expect(panel(page)).to_contain_text("2 added", timeout=READY)
    row(page, "grouped b").get_by_role("link").click()

    expect(page.get_by_role("link", name="serval")).to_be_visible()
    page.get_by_role("link", name="Of an upload").first.click()
    expect(page.get_by_role("img", name=re.compile("grouped"))).to_have_count(2)


def test_folder_is_chosen_with_all_below_it(upload_page: Page, tmp_path: Path) -> None:
    page = upload_page
    (tmp_path / "shoot" / "day two").mkdir(parents=True)
    (tmp_path / "shoot" / "outer.jpg").write_bytes(encoded(drawn(840, SIZE)))
    (tmp_path / "shoot" / "day two" / "inner.jpg").write_bytes(encoded(drawn(841, SIZE)))
    (tmp_path / "shoot" / ".DS_Store").write_bytes(b"left by a system")
    page.locator("input[webkitdirectory]").set_input_files(tmp_path / "shoot")

    expect(panel(page)).to_contain_text("2 of 2 done · 2 added", timeout=READY)
    expect(row(page, "inner")).to_be_visible(timeout=READY)


@pytest.fixture
def twice(upload_page: Page, stored: Callable[..., Any]) -> Callable[..., Page]:
    """twice(*seeds): pictures that are there, uploaded once more in another form."""

    def make(*seeds: int) -> Page:
        for seed in seeds:
            stored(seed, title=f"first {seed}", size=SIZE)
        choose(upload_page, *(copy(f"second {seed}", seed) for seed in seeds))
        for seed in seeds:
            expect(row(upload_page, f"second {seed}")).to_contain_text(f"Same picture as first {seed}", timeout=READY)
        return upload_page

    return make


def test_same_picture_is_skipped_and_brought_back(twice: Callable[..., Page]) -> None:
    page = twice(850)
    told = row(page, "second 850")
    told.get_by_role("button", name="Skip").click()
    expect(told).to_contain_text("Skipped; it lies in the trash.", timeout=READY)
    address = told.locator(".file-name a").evaluate("link => link.href")
    asset = address.replace("/assets/", "/api/v1/assets/")
    assert page.request.get(asset).status == 404

    told.get_by_role("button", name="Keep both").click()
    expect(told).to_contain_text("Added", timeout=READY)
    assert page.request.get(asset).status == 200


def test_same_picture_is_kept(twice: Callable[..., Page]) -> None:
    page = twice(860)
    expect(panel(page)).to_contain_text("1 picture is there already in another form.")
    row(page, "second 860").get_by_role("button", name="Keep both").click()

    expect(page.get_by_role("button", name="Keep both")).to_have_count(0)
    expect(page.get_by_text("is there already in another form")).to_be_hidden()


def test_same_pictures_are_skipped_all_at_once(twice: Callable[..., Page]) -> None:
    page = twice(870, 871)
    expect(panel(page)).to_contain_text("2 pictures are there already in another form.")
    page.get_by_role("button", name="Skip all").click()

    expect(panel(page)).to_contain_text("2 of 2 done · 2 skipped", timeout=READY)


def test_of_two_that_are_the_same_picture_one_stays_whatever_is_skipped(upload_page: Page, client: Client) -> None:
    page, held = upload_page, []
    page.route("**/same/", lambda route: held.append(route))  # noqa: PLW0108 - a method of a list cannot be given
    choose(page, jpeg("twin one", 872), copy("twin two", 872))
    wait_for(lambda: page.wait_for_timeout(50) or len(held) == 2, what="both to be looked for")
    for route in held:  # both are there by now
        route.continue_()
    page.unroute("**/same/")
    for name in ("twin one", "twin two"):
        expect(row(page, name)).to_contain_text("Same picture as", timeout=READY)
    expect(panel(page)).to_contain_text("2 pictures are there already in another form.")
    page.get_by_role("button", name="Skip all").click()

    expect(panel(page)).to_contain_text("2 of 2 done · 1 added · 1 skipped", timeout=READY)
    expect(page.get_by_text("already in another form")).to_be_hidden()
    expect(page.get_by_role("button", name="Skip", exact=True)).to_have_count(0)
    assert len(client.get("/assets/", q="twin")["results"]) == 1


def test_two_tabs_upload_side_by_side(upload_page: Page, product: Product) -> None:
    other = upload_page.context.new_page()
    other.goto(f"{product.url}/upload/")
    expect(other.locator("[data-no-script]")).to_have_count(0)
    choose(upload_page, jpeg("of the one tab", 880))
    choose(other, jpeg("of the other", 881))

    expect(panel(upload_page)).to_contain_text("1 of 1 done · 1 added", timeout=READY)
    expect(panel(other)).to_contain_text("1 of 1 done · 1 added", timeout=READY)
    other.close()
