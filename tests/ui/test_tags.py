"""Tags: found, renamed, merged and deleted, and all that undone."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.product import Product

pytestmark = [pytest.mark.product, pytest.mark.browser]


def tag_named(page: Page, name: str) -> Any:
    return page.get_by_role("region", name="Tags").get_by_role("link", name=name, exact=True)


def opened(page: Page, product: Product, name: str) -> None:
    page.goto(f"{product.url}/tags/")
    page.get_by_label("Find tags").fill(name)
    page.get_by_role("link", name=f"Edit tag {name}", exact=True).click()


def test_tag_is_found_by_part_of_its_name(signed_in: Page, product: Product, stored: Callable[..., Any]) -> None:
    stored(710, title="tagged", tags="ocelot,leopard")
    signed_in.goto(f"{product.url}/tags/")
    signed_in.get_by_label("Find tags").fill("CELO")

    expect(tag_named(signed_in, "ocelot 1 asset")).to_be_visible()
    expect(tag_named(signed_in, "leopard 1 asset")).to_have_count(0)
    signed_in.get_by_label("Find tags").fill("no such tag")
    expect(signed_in.get_by_role("heading", name="No tag holds “no such tag”")).to_be_visible()


def test_tag_is_renamed(signed_in: Page, product: Product, stored: Callable[..., Any]) -> None:
    stored(720, title="renamed", tags="lynks")
    opened(signed_in, product, "lynks")
    signed_in.get_by_role("dialog").get_by_label("Name").fill("lynx")
    signed_in.get_by_role("button", name="Save").click()

    expect(tag_named(signed_in, "lynx 1 asset")).to_be_visible()
    expect(tag_named(signed_in, "lynks 1 asset")).to_have_count(0)
    signed_in.get_by_role("button", name="Undo").click()
    expect(signed_in.get_by_text("Undone: 1 asset is as it was.")).to_be_visible()
    expect(tag_named(signed_in, "lynks 1 asset")).to_be_visible()
    expect(tag_named(signed_in, "lynx 1 asset")).to_have_count(0)


def test_tag_is_merged_after_asking(signed_in: Page, product: Product, stored: Callable[..., Any]) -> None:
    stored(730, title="both", tags="puma,cougar"), stored(731, title="one", tags="cougar")
    opened(signed_in, product, "cougar")
    signed_in.get_by_role("link", name="Merge…").click()
    signed_in.get_by_label("The tag that stays").fill("puma")
    signed_in.get_by_role("button", name="Go on").click()
    expect(signed_in.get_by_text("2 assets that carry “cougar” will carry “puma” instead.")).to_be_visible()
    signed_in.get_by_role("button", name="Merge").click()

    expect(tag_named(signed_in, "puma 2 assets")).to_be_visible()
    expect(tag_named(signed_in, "cougar 2 assets")).to_have_count(0)
    signed_in.get_by_role("button", name="Undo").click()
    expect(tag_named(signed_in, "puma 1 asset")).to_be_visible()
    expect(tag_named(signed_in, "cougar 2 assets")).to_be_visible()


def test_tag_is_deleted_after_asking(signed_in: Page, product: Product, stored: Callable[..., Any]) -> None:
    stored(740, title="kept", tags="caracal")
    opened(signed_in, product, "caracal")
    signed_in.get_by_role("link", name="Delete…").click()
    signed_in.get_by_role("button", name="Delete").click()

    expect(signed_in.get_by_text("Tag “caracal” was deleted; its assets stay.")).to_be_visible()
    expect(tag_named(signed_in, "caracal 1 asset")).to_have_count(0)
    signed_in.get_by_role("button", name="Undo").click()
    expect(tag_named(signed_in, "caracal 1 asset")).to_be_visible()
