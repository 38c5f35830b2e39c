"""All that match are selected, loaded or not, and something is done to them at once."""

import re
import zipfile
from itertools import count
from pathlib import Path
from zlib import crc32

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import drawn, encoded
from tests.product import Client, Product

pytestmark = [pytest.mark.product, pytest.mark.browser]

#: A page of 60, and some more.
COUNT = 64
_numbers = count(1)


@pytest.fixture
def gallery(request, signed_in: Page, product: Product, tmp_path: Path) -> Page:
    """A gallery of more pictures of this test's own than a page holds."""
    tag = request.node.originalname
    for number in range(COUNT):
        picture = drawn(crc32(tag.encode()) % 10**9 + number, (64, 48))
        (tmp_path / f"{number:02} {tag[:20]}.jpg").write_bytes(encoded(picture))
    product.command("import_folder", str(tmp_path), "--tag", tag)
    signed_in.goto(f"{product.url}/gallery/?tag={tag}")
    expect(signed_in.locator("#total")).to_have_text(f"{COUNT} assets")
    return signed_in


def tiles(page: Page) -> Locator:
    return page.locator("[data-asset]").filter(visible=True)


def told(page: Page) -> Locator:
    return page.locator("[data-bulk] [data-count]")


def select_all_that_match(page: Page) -> None:
    tiles(page).first.hover()
    tiles(page).first.get_by_role("checkbox").click()
    page.get_by_role("button", name="Select all shown").click()
    expect(told(page)).to_have_text("60 selected")
    page.get_by_role("button", name=re.compile(r"Select all \d+ that match")).click()
    expect(told(page)).to_have_text(re.compile(r"All \d+ that match"))


def test_all_that_match_are_deleted_and_brought_back(gallery: Page) -> None:
    select_all_that_match(gallery)
    expect(told(gallery)).to_have_text(f"All {COUNT} that match")
    expect(gallery.get_by_role("button", name="Select all")).to_have_count(0)
    gallery.get_by_role("button", name="Delete").click()
    expect(gallery.get_by_text(f"{COUNT} assets are in the trash.")).to_be_visible()
    expect(gallery.get_by_role("heading", name="Nothing matches these filters")).to_be_visible()
    expect(gallery.locator("#total")).to_have_text("0 assets")
    expect(gallery.locator("[data-bulk]")).to_be_hidden()

    gallery.get_by_role("button", name="Undo").click()
    expect(gallery.get_by_text(f"Undone: {COUNT} assets are as they were.")).to_be_visible()
    expect(tiles(gallery)).to_have_count(60)
    expect(gallery.locator("#total")).to_have_text(f"{COUNT} assets")


def test_nothing_is_done_where_another_came_meanwhile_and_that_is_said(gallery: Page, client: Client) -> None:
    select_all_that_match(gallery)
    tag = re.search("tag=(.+)", gallery.url)[1]
    client.upload("another.jpg", encoded(drawn(next(_numbers) + 64_000, (64, 48))), title="another", tags=tag)
    gallery.locator("summary", has_text="Tag").click()
    gallery.get_by_label("Tags, separated by commas").fill("all at once")
    gallery.get_by_role("button", name="Add").click()
    expect(gallery.get_by_text(f"{COUNT + 1} assets match now, not {COUNT}. Nothing was done.")).to_be_visible()
    expect(told(gallery)).to_have_text(f"All {COUNT + 1} that match")
    expect(tiles(gallery).first.get_by_role("img", name="another")).to_be_visible()
    assert client.get("/assets/", tag="all at once")["results"] == []

    gallery.locator("summary", has_text="Tag").click()
    gallery.get_by_role("button", name="Add").click()
    expect(gallery.get_by_text(f"{COUNT + 1} assets were tagged.")).to_be_visible()


def test_what_is_loaded_later_is_selected_and_one_that_is_not_wanted_ends_it(gallery: Page) -> None:
    select_all_that_match(gallery)
    gallery.mouse.wheel(0, 10_000)
    expect(tiles(gallery)).to_have_count(COUNT)
    expect(tiles(gallery).last.get_by_role("checkbox")).to_be_checked()
    tiles(gallery).last.get_by_role("checkbox").click()
    expect(told(gallery)).to_have_text(f"{COUNT - 1} selected")
    gallery.get_by_role("button", name="Select all shown").click()
    expect(told(gallery)).to_have_text(f"{COUNT} selected")
    expect(gallery.get_by_role("button", name="Select all")).to_have_count(0)  # these are all


def test_other_filters_leave_selected_what_was_loaded(gallery: Page) -> None:
    select_all_that_match(gallery)
    gallery.get_by_role("searchbox").fill("no such picture")
    expect(gallery.get_by_role("heading", name="Nothing matches these filters")).to_be_visible()
    expect(told(gallery)).to_have_text("60 selected")


def test_originals_of_all_that_match_come_as_one_file(gallery: Page, tmp_path: Path) -> None:
    select_all_that_match(gallery)
    with gallery.expect_download() as downloading:
        gallery.get_by_role("button", name="Download").click()
    downloading.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        assert len(packed.namelist()) == COUNT


def test_bar_fits_on_a_phone(gallery: Page) -> None:
    gallery.set_viewport_size({"width": 390, "height": 844})
    tiles(gallery).first.locator("a:has(img)").click(modifiers=["Control"])
    gallery.get_by_role("button", name="Select all shown").click()
    expect(gallery.get_by_role("button", name=f"Select all {COUNT} that match")).to_be_in_viewport(ratio=1)
    box = gallery.locator("[data-bulk]").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert gallery.evaluate("document.documentElement.scrollWidth") <= 390
