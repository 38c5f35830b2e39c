"""The page of an asset: changed in place, undone, downloaded, looked at large."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import ExifTags, Image
from playwright.sync_api import Page, expect

from tests.conftest import drawn
from tests.product import Product, wait_for

pytestmark = [pytest.mark.product, pytest.mark.browser]

Stored = Callable[..., Any]


@pytest.fixture
def opened(signed_in: Page, product: Product, stored: Stored) -> Callable[..., Page]:
    """opened(seed, title=...): the page of an asset that was stored just now."""

    def make(seed: int, **details: Any) -> Page:
        asset = stored(seed, **details)
        signed_in.goto(f"{product.url}/assets/{asset['id']}/")
        expect(signed_in.get_by_role("heading", name="History")).to_be_visible()
        return signed_in

    return make


def test_title_is_changed_in_place_told_in_the_history_and_undone(opened):
    page = opened(8401, title="before it")
    title = page.get_by_label("Title", exact=True)
    title.fill("after it")
    title.press("Enter")
    expect(page.get_by_text("“before it” to “after it”")).to_be_visible()
    expect(page).to_have_title("after it · AssetSearch")
    page.get_by_role("button", name="Undo").click()
    expect(title).to_have_value("before it")
    expect(page).to_have_title("before it · AssetSearch")
    expect(page.get_by_text("“after it” to “before it”")).to_be_visible()


def test_long_title_is_shown_whole(opened):
    title = opened(8412, title=" ".join(["long"] * 40)).get_by_label("Title", exact=True)
    assert title.evaluate("field => field.scrollHeight <= field.clientHeight && field.scrollWidth <= field.clientWidth")


def test_tags_are_added_and_taken_off_in_place(opened):
    page = opened(8402, title="tagged in place", tags="in-place-old")
    page.get_by_label("Tags", exact=True).fill("in-place-new")
    page.get_by_label("Tags", exact=True).press("Enter")
    expect(page.get_by_role("link", name="in-place-new")).to_be_visible()
    page.get_by_label("Keep the tag in-place-old").uncheck(force=True)
    expect(page.get_by_text("Tag removed: in-place-old")).to_be_visible()
    expect(page.get_by_role("link", name="in-place-old")).to_have_count(0)


def test_collection_is_made_by_its_name_in_place(opened):
    page = opened(8403, title="collected in place")
    page.get_by_label("Collection", exact=True).fill("Made in place")
    page.get_by_label("Collection", exact=True).press("Enter")
    page.get_by_role("link", name="Open the collection").click()
    expect(page.get_by_role("heading", name="Made in place", level=1)).to_be_visible()


def test_title_that_is_refused_says_why(opened):
    page = opened(8404, title="stays so", size=(700, 500))
    page.get_by_label("Title", exact=True).fill("   ")
    page.get_by_label("Title", exact=True).press("Enter")
    expect(page.get_by_text("This field is required.")).to_be_visible()


def test_picture_opens_large(opened):
    page = opened(8405, title="looked at large")
    page.get_by_title("Look at it large").click()
    expect(page.locator(".pswp--open .pswp__title")).to_have_text("looked at large")


def test_a_smaller_size_is_downloaded(opened):
    page = opened(8406, title="made smaller")
    page.get_by_text("Other sizes").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="JPEG, long edge 500 px").click()
    assert download.value.suggested_filename == "made smaller 500 px.jpg"


def test_pictures_beside_it_are_opened_and_not_selected_where_nothing_acts_on_a_selection(opened, stored):
    stored(8431, title="beside it")
    page = opened(8430, title="looked at")
    hit = page.locator("[data-asset] a:has(img)").first
    expect(hit).to_be_visible()
    page.keyboard.press("Control+a")
    expect(page.locator("html")).not_to_have_class(re.compile("selecting"))
    hit.click(modifiers=["Shift"], no_wait_after=True)
    expect(page.locator(".selected")).to_have_count(0)


def test_what_the_camera_wrote_is_told_and_similar_assets_are_searched_for(signed_in: Page, product, client, stored):
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Leica", "M11 of a test"
    written = io.BytesIO()
    drawn(8440, (640, 480)).save(written, "JPEG", exif=exif)
    made = client.upload("with-exif.jpg", written.getvalue(), title="with exif")
    wait_for(lambda: client.get(f"/assets/{made['id']}/")["status"] == "ready", what="its embedding")
    stored(8441, title="another")
    signed_in.goto(f"{product.url}/assets/{made['id']}/")
    expect(signed_in.get_by_text("M11 of a test")).to_be_visible()
    signed_in.get_by_role("link", name="Find similar", exact=True).click()
    expect(signed_in).to_have_url(re.compile(rf"\?asset={made['id']}"))
    expect(signed_in.locator(".hit").first).to_be_visible()
