"""Collections: made, filled, arranged by dragging and by keyboard, given a cover and notes."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.product import Product

pytestmark = [pytest.mark.product, pytest.mark.browser]


@pytest.fixture
def filled(stored: Callable[..., Any], signed_in: Page, product: Product) -> Callable[[str, int], Page]:
    """filled(name, seed): the page of a collection of three pictures, c, b and a as they were added."""

    def make(name: str, seed: int) -> Page:
        signed_in.goto(f"{product.url}/collections/")
        signed_in.get_by_label("Name of a new collection").fill(name)
        signed_in.get_by_role("button", name="Create").click()
        expect(signed_in.get_by_role("heading", name="Nothing in this collection yet")).to_be_visible()
        number = re.search(r"/collections/(\d+)/", signed_in.url)
        assert number
        for place, title in enumerate("cba"):
            stored(seed + place, title=f"{name} {title}", collection=number[1])
        signed_in.reload()
        return signed_in

    return make


def order(page: Page, name: str, *titles: str) -> None:
    expect(page.locator(".arranged-title")).to_have_text([f"{name} {title}" for title in titles])


def test_collection_shows_what_it_holds_and_leads_to_a_search_inside(filled) -> None:
    page = filled("Held", 610)
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Notes").fill("Shot in May.")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("3 assets")).to_be_visible()
    expect(page.get_by_text("Shot in May.")).to_be_visible()
    expect(page.get_by_role("list", name="Assets of this collection").get_by_role("img")).to_have_count(3)
    page.get_by_role("link", name="Search inside").click()
    expect(page).to_have_url(re.compile(r"/\?collection=\d+$"))


def test_pictures_are_arranged_by_dragging(filled) -> None:
    page = filled("Dragged", 620)
    page.get_by_role("link", name="Arrange").click()
    order(page, "Dragged", "a", "b", "c")
    images = page.locator(".arranged-image")
    first, last = images.nth(0).bounding_box(), images.nth(2).bounding_box()
    with page.expect_response("**/place/"):
        page.mouse.move(last["x"] + 40, last["y"] + 40)
        page.mouse.down()
        page.mouse.move(first["x"] + 60, first["y"] + 60, steps=12)
        page.mouse.move(first["x"] + 20, first["y"] + 40, steps=4)
        page.mouse.up()

    order(page, "Dragged", "c", "a", "b")
    expect(page.get_by_text("“Dragged c” was moved.")).to_be_visible()
    page.reload()
    order(page, "Dragged", "c", "a", "b")


def test_last_move_is_undone_in_place(filled) -> None:
    page = filled("Retraced", 650)
    page.get_by_role("link", name="Arrange").click()
    for title, where, expected in (("a", "later", "bac"), ("c", "to the start", "cba")):
        page.get_by_role("button", name=f"Retraced {title}: {where}").click()
        order(page, "Retraced", *expected)
        expect(page.get_by_text(f"“Retraced {title}” was moved.")).to_be_visible()
        expect(page.get_by_text("was moved.")).to_have_count(1)  # the last alone
    page.evaluate("window.stays = true")
    undo = page.get_by_role("button", name="Undo")
    undo.click()
    expect(page.get_by_text("Undone: 1 asset is as it was.")).to_be_visible()
    expect(undo).to_have_count(0)
    order(page, "Retraced", *"bac")
    assert page.evaluate("window.stays")
    page.reload()
    order(page, "Retraced", *"bac")


def test_pictures_are_arranged_by_keyboard(filled) -> None:
    page = filled("Keyed", 630)
    page.get_by_role("link", name="Arrange").click()
    for press, expected in (
        ("Keyed a: later", "bac"),
        ("Keyed c: earlier", "bca"),
        ("Keyed a: to the start", "abc"),
    ):
        button = page.get_by_role("button", name=press)
        button.focus()
        with page.expect_response("**/place/"):
            page.keyboard.press("Enter")
        order(page, "Keyed", *expected)
        expect(button).to_be_focused()
    page.reload()
    order(page, "Keyed", *"abc")


def test_cover_is_chosen(filled) -> None:
    page = filled("Covered", 640)
    page.get_by_role("link", name="Arrange").click()
    cover = page.locator(".collection-cover img")
    newest = cover.get_attribute("src")
    page.get_by_role("button", name="Covered c: use as cover").click()

    expect(page.get_by_text("This is the cover now.")).to_be_visible()
    expect(cover).not_to_have_attribute("src", newest)
    page.get_by_role("button", name="Newest as cover").click()
    expect(cover).to_have_attribute("src", newest)
