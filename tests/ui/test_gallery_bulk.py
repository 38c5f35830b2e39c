"""What is done to many pictures at once, from the bar below them."""

import zipfile
from zlib import crc32

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import drawn, encoded
from tests.product import Client, Product

pytestmark = [pytest.mark.product, pytest.mark.browser]


@pytest.fixture
def some(request, signed_in: Page, product: Product, client: Client) -> Page:
    """A gallery of four pictures of this test's own, two of them selected."""
    tag = request.node.originalname
    for number in range(4):
        picture = encoded(drawn(crc32(tag.encode()) + number, (400, 300)))
        client.upload(f"{tag} {number}.jpg", picture, tags=tag)
    signed_in.goto(f"{product.url}/gallery/?tag={tag}")
    for number in (0, 1):
        tile(signed_in, number).locator("a:has(img)").click(modifiers=["Control"])
    expect(signed_in.locator("[data-count]")).to_have_text("2 selected")
    return signed_in


def tile(page: Page, number: int) -> Locator:
    return page.locator("[data-asset]").nth(number)


def shown(page: Page) -> Locator:
    return page.locator("[data-asset]").filter(visible=True)


def test_delete_goes_to_the_trash_and_undo_brings_it_back(some: Page):
    some.get_by_role("button", name="Delete").click()
    expect(some.get_by_text("2 assets are in the trash.")).to_be_visible()
    expect(shown(some)).to_have_count(2)
    expect(some.locator("[data-bulk]")).to_be_hidden()
    some.get_by_role("button", name="Undo").click()
    expect(some.get_by_text("Undone: 2 assets are as they were.")).to_be_visible()
    expect(shown(some)).to_have_count(4)
    some.reload()
    expect(shown(some)).to_have_count(4)


def test_what_comes_back_is_not_selected(some: Page):
    some.get_by_role("button", name="Delete").click()
    some.get_by_role("button", name="Undo").click()
    expect(shown(some)).to_have_count(4)
    expect(some.locator(".selected, [data-check]:checked")).to_have_count(0)
    tile(some, 3).locator("a:has(img)").click(modifiers=["Control"])
    expect(some.locator("[data-count]")).to_have_text("1 selected")
    expect(some.locator(".selected")).to_have_count(1)


def test_enter_does_what_its_menu_is_for(some: Page, client: Client):
    ids = [tile(some, number).get_attribute("data-asset") for number in (0, 1)]
    some.locator("summary", has_text="Tag").click()
    some.get_by_label("Tags, separated by commas").fill("not meant")
    some.locator("summary", has_text="Move").click()
    some.get_by_label("Or to a new one").fill("moved by key")
    some.keyboard.press("Enter")
    expect(some.get_by_text("2 assets were moved.")).to_be_visible()
    for asset_id in ids:
        found = client.get(f"/assets/{asset_id}/")
        assert found["collection"] is not None
        assert "not meant" not in found["tags"]
    some.locator("summary", has_text="Tag").click()
    expect(some.get_by_label("Tags, separated by commas")).to_have_value("")
    some.get_by_label("Tags, separated by commas").fill("by key")
    some.keyboard.press("Enter")
    expect(some.get_by_text("2 assets were tagged.")).to_be_visible()


def test_delete_key_deletes_what_is_selected(some: Page):
    tile(some, 0).locator("a:has(img)").focus()
    some.keyboard.press("Delete")
    expect(shown(some)).to_have_count(2)
    some.reload()
    expect(shown(some)).to_have_count(2)


def test_tags_are_put_on_and_taken_off(some: Page, client: Client):
    ids = [tile(some, number).get_attribute("data-asset") for number in (0, 1)]
    some.locator("summary", has_text="Tag").click()
    some.get_by_label("Tags, separated by commas").fill("bulk one, bulk two")
    some.get_by_role("button", name="Add").click()
    expect(some.get_by_text("2 assets were tagged.")).to_be_visible()
    assert all({"bulk one", "bulk two"} <= {*client.get(f"/assets/{pk}/")["tags"]} for pk in ids)
    some.locator("summary", has_text="Tag").click()
    some.get_by_label("Tags, separated by commas").fill("bulk one")
    some.get_by_role("button", name="Remove").click()
    expect(some.get_by_text("2 assets lost the tag.")).to_be_visible()
    assert all("bulk one" not in client.get(f"/assets/{pk}/")["tags"] for pk in ids)


def test_move_to_a_new_collection(some: Page, client: Client):
    asset_id = tile(some, 0).get_attribute("data-asset")
    some.locator("summary", has_text="Move").click()
    some.get_by_label("Or to a new one").fill("moved in bulk")
    some.locator("[data-bulk]").get_by_role("button", name="Move").click()
    expect(some.get_by_text("2 assets were moved.")).to_be_visible()
    assert client.get(f"/assets/{asset_id}/")["collection"] is not None


def test_download_is_one_zip_file_with_the_names_of_the_originals(some: Page, tmp_path):
    with some.expect_download() as downloading:
        some.get_by_role("button", name="Download").click()
    downloading.value.save_as(tmp_path / "some.zip")
    with zipfile.ZipFile(tmp_path / "some.zip") as packed:
        names = packed.namelist()
    assert len(names) == 2
    assert all(name.endswith(("2.jpg", "3.jpg")) for name in names)
