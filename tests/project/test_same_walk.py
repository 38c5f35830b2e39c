"""A picture that is there already in another form, on its way through the upload page, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded
from tests.product import PASSWORD

pytestmark = [pytest.mark.product, pytest.mark.browser]

SIZE = (640, 480)
#: Milliseconds; embedding a picture takes a fraction of a second once the worker has loaded its encoder.
READY = 60_000


def jpeg(seed: int) -> dict[str, object]:
    """A file to choose."""
    return {"name": f"original {seed}.jpg", "mimeType": "image/jpeg", "buffer": encoded(drawn(seed, SIZE))}


def smaller(seed: int) -> dict[str, object]:
    """The same picture, in another form."""
    data = encoded(drawn(seed, SIZE).resize((320, 240)), "WEBP")
    return {"name": f"copy {seed}.webp", "mimeType": "image/webp", "buffer": data}


@pytest.fixture
def upload_page(page: Page, product) -> Page:
    page.goto(f"{product.url}/upload/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[data-no-script]")).to_have_count(0)
    return page


def choose(page: Page, *files: dict[str, object]) -> None:
    page.locator("#files").set_input_files(list(files))


def row(page: Page, name: str):
    return page.locator(".file").filter(has=page.locator(".file-name", has_text=name))


def store(page: Page, seed: int) -> None:
    choose(page, jpeg(seed))
    expect(row(page, f"original {seed}").locator(".badge-ready")).to_be_visible(timeout=READY)


def test_same_picture_is_skipped_and_added_all_the_same_when_wished(upload_page: Page):
    page = upload_page
    store(page, 1)
    page.get_by_label("Look for the same picture first").check()
    choose(page, smaller(1), jpeg(2), jpeg(1))
    skipped = row(page, "copy 1.webp")
    expect(skipped).to_contain_text("Same picture as")
    expect(skipped.get_by_role("link", name="original 1")).to_be_visible()
    assert skipped.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    expect(row(page, "original 2").locator(".badge")).to_be_visible()
    expect(page.locator(".file").filter(has_text="Identical to")).to_have_count(1)
    expect(page.locator("[data-summary]")).to_contain_text("1 skipped")

    skipped.get_by_role("button", name="Keep both").click()
    added = row(page, "copy 1")
    expect(added.locator(".badge-ready")).to_be_visible(timeout=READY)
    expect(added).to_contain_text("Same picture as original 1")
    expect(row(page, "original 2")).not_to_contain_text("Same picture")

    added.locator(".file-name a").click()
    expect(page.get_by_role("heading", name="copy 1", level=1)).to_be_visible()
    expect(page.locator(".same-picture").get_by_role("link", name="original 1")).to_be_visible()


def test_same_picture_is_told_after_it_was_stored(upload_page: Page):
    page = upload_page
    store(page, 3)
    choose(page, smaller(3))
    added = row(page, "copy 3")
    expect(added).to_contain_text("Same picture as original 3", timeout=READY)
    expect(added.get_by_role("link", name="original 3")).to_have_attribute("href", re.compile(r"/assets/\d+/"))


def test_check_that_fails_leaves_the_choice(upload_page: Page):
    page = upload_page
    page.route("**/upload/check/", lambda route: route.abort())
    page.get_by_label("Look for the same picture first").check()
    choose(page, jpeg(5))
    expect(row(page, "original 5")).to_contain_text("The server cannot be reached")
    row(page, "original 5").get_by_role("button", name="Upload anyway").click()
    expect(row(page, "original 5").locator(".badge")).to_be_visible()
