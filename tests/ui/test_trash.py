"""Deleting, undoing at once, restoring later, and giving up for good."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.product import Client, Product

pytestmark = [pytest.mark.product, pytest.mark.browser]

Stored = Callable[..., Any]


def deleted(page: Page, product: Product, asset: Any) -> None:
    page.goto(f"{product.url}/assets/{asset['id']}/")
    page.get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_text(f"“{asset['title']}” is in the trash.")).to_be_visible()


def tile(page: Page, title: str) -> Any:
    return page.locator("[data-asset]").filter(has=page.get_by_alt_text(title, exact=True))


def test_asset_is_deleted_without_a_question_and_undone_from_the_message(
    signed_in: Page, product: Product, client: Client, stored: Stored
):
    asset = stored(8501, title="deleted by mistake")
    deleted(signed_in, product, asset)
    assert client.session.get(f"{client.url}/assets/{asset['id']}/", timeout=30).status_code == 404
    signed_in.get_by_role("button", name="Undo").click()
    expect(signed_in.get_by_text("Undone: 1 asset is as it was.")).to_be_visible()
    assert client.get(f"/assets/{asset['id']}/")["status"] == "ready"


def test_undo_that_fails_can_be_tried_again(signed_in: Page, product: Product, client: Client, stored: Stored):
    page, asset = signed_in, stored(8509, title="undone at last")
    page.goto(f"{product.url}/gallery/?q=undone+at+last")
    expect(tile(page, "undone at last")).to_have_count(1)
    page.get_by_label("Select undone at last").check()
    page.get_by_role("button", name="Delete").click()
    undo = page.get_by_role("button", name="Undo")
    page.route("**/undo/**", lambda route: route.abort())
    undo.click()
    expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
    page.unroute("**/undo/**")
    undo.click()
    expect(page.get_by_text("Undone: 1 asset is as it was.")).to_be_visible()
    assert client.get(f"/assets/{asset['id']}/")["status"] == "ready"


def test_asset_is_restored_from_the_trash_and_found_again(signed_in: Page, product: Product, stored: Stored):
    page, asset = signed_in, stored(8502, title="restored later")
    deleted(page, product, asset)
    page.goto(f"{product.url}/gallery/?q=restored+later")
    expect(tile(page, "restored later")).to_have_count(0)

    page.goto(f"{product.url}/trash/")
    restore = page.get_by_role("button", name="Restore restored later")
    expect(restore).to_be_in_viewport()
    restore.click()
    expect(page.get_by_text("“restored later” is back.")).to_be_visible()
    page.goto(f"{product.url}/gallery/?q=restored+later")
    expect(tile(page, "restored later")).to_have_count(1)


def test_page_in_the_trash_says_so_and_until_when(signed_in: Page, product: Product, stored: Stored):
    asset = stored(8503, title="lying there")
    deleted(signed_in, product, asset)
    signed_in.goto(f"{product.url}/assets/{asset['id']}/")
    expect(signed_in.get_by_text("will be gone for good after")).to_be_visible()
    expect(signed_in.get_by_role("button", name="Restore")).to_be_visible()
    expect(signed_in.get_by_role("link", name="Find similar")).to_have_count(0)


def test_deleting_for_good_asks_first(signed_in: Page, product: Product, stored: Stored):
    page, asset = signed_in, stored(8504, title="given up")
    deleted(page, product, asset)
    page.goto(f"{product.url}/assets/{asset['id']}/")
    page.get_by_role("link", name="Delete for good").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("This cannot be undone.")).to_be_visible()
    dialog.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Delete for good").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("“given up” was deleted for good.")).to_be_visible()
    expect(page.get_by_role("link", name="given up")).to_have_count(0)


def test_several_are_restored_at_once(signed_in: Page, product: Product, client: Client, stored: Stored):
    page, assets = signed_in, [stored(8505 + number, title=f"one of several {number}") for number in range(2)]
    for asset in assets:
        deleted(page, product, asset)
    page.goto(f"{product.url}/trash/")
    for asset in assets:
        page.get_by_label(f"Select {asset['title']}").check()
    page.get_by_role("button", name="Restore selected").click()
    expect(page.get_by_text("2 assets are back.")).to_be_visible()
    for asset in assets:
        assert client.get(f"/assets/{asset['id']}/")["status"] == "ready"
