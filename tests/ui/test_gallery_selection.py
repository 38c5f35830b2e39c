"""Selecting pictures: with the mouse, by touch and by keys."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import drawn, encoded
from tests.product import Client, Product

pytestmark = [pytest.mark.product, pytest.mark.browser]

COUNT = 8


@pytest.fixture(scope="module")
def pictures(client: Client) -> None:
    for seed in range(COUNT):
        data = encoded(drawn(7100 + seed, (400, 300)))
        details = {"title": f"chosen {seed}", "tags": "to-choose"}
        client.session.post(
            f"{client.url}/assets/", files={"file": (f"chosen {seed}.jpg", data)}, data=details, timeout=60
        )


@pytest.fixture
def grid(signed_in: Page, product: Product, pictures: None) -> Page:
    signed_in.goto(f"{product.url}/gallery/?tag=to-choose")
    expect(tiles(signed_in)).to_have_count(COUNT)
    return signed_in


def tiles(page: Page) -> Locator:
    return page.locator("[data-asset]")


def picture(page: Page, number: int) -> Locator:
    return tiles(page).nth(number).locator("a:has(img)")


def expect_selected(page: Page, *numbers: int) -> None:
    for number in range(COUNT):
        check = tiles(page).nth(number).get_by_role("checkbox")
        (expect(check).to_be_checked if number in numbers else expect(check).not_to_be_checked)()
    if numbers:
        expect(page.locator("[data-count]")).to_have_text(f"{len(numbers)} selected")
    else:
        expect(page.locator("[data-bulk]")).to_be_hidden()


def test_check_selects_and_then_a_click_on_any_picture_does(grid: Page):
    tiles(grid).nth(1).hover()
    tiles(grid).nth(1).get_by_role("checkbox").click()
    expect_selected(grid, 1)
    picture(grid, 3).click()
    expect_selected(grid, 1, 3)
    picture(grid, 1).click()
    expect_selected(grid, 3)


@pytest.mark.parametrize("layout", ["rows", "squares"])
def test_what_is_selected_is_still_seen(grid: Page, layout: str):
    grid.locator("[data-layout]").evaluate("(element, layout) => (element.dataset.layout = layout)", layout)
    picture(grid, 2).click(modifiers=["Control"])
    seen = """(image) => {
        const { x, y, width, height } = image.getBoundingClientRect();
        return document.elementFromPoint(x + width / 2, y + height / 2) === image;
    }"""
    assert picture(grid, 2).locator("img").evaluate(seen)  # not painted over by its tile


def test_click_with_ctrl_selects_instead_of_opening(grid: Page):
    picture(grid, 2).click(modifiers=["Control"])
    expect_selected(grid, 2)


def test_click_with_shift_selects_what_lies_between(grid: Page):
    picture(grid, 1).click(modifiers=["Control"])
    picture(grid, 4).click(modifiers=["Shift"])
    expect_selected(grid, 1, 2, 3, 4)
    tiles(grid).nth(6).get_by_role("checkbox").click(modifiers=["Shift"])
    expect_selected(grid, 4, 5, 6, 1, 2, 3)


def test_band_from_empty_space_selects_what_it_touches(grid: Page):
    first, second = (tiles(grid).nth(number).bounding_box() for number in (0, 1))
    grid.mouse.move(4, first["y"] + 40)
    grid.mouse.down()
    grid.mouse.move(first["x"] + 40, first["y"] + 60, steps=4)
    expect_selected(grid, 0)
    grid.mouse.move(second["x"] + 40, first["y"] + 60, steps=4)
    expect_selected(grid, 0, 1)
    grid.mouse.move(first["x"] + 40, first["y"] + 60, steps=4)
    grid.mouse.up()
    expect_selected(grid, 0)
    expect(grid.locator(".band")).to_have_count(0)


def test_keys_select(grid: Page):
    picture(grid, 0).focus()
    grid.keyboard.press("x")
    expect_selected(grid, 0)
    grid.keyboard.press("Shift+ArrowRight")
    grid.keyboard.press("Shift+ArrowRight")
    expect_selected(grid, 0, 1, 2)
    grid.keyboard.press("Space")
    expect_selected(grid, 0, 1)
    grid.keyboard.press("Control+a")
    expect_selected(grid, *range(COUNT))
    grid.keyboard.press("Escape")
    expect_selected(grid)


def test_long_press_selects_and_a_tap_goes_on(browser, product: Product, pictures: None, grid: Page):
    context = browser.new_context(has_touch=True, storage_state=grid.context.storage_state())
    page = context.new_page()
    page.goto(f"{product.url}/gallery/?tag=to-choose")
    box = picture(page, 1).bounding_box()
    finger = {"x": box["x"] + 40, "y": box["y"] + 80}
    devtools = context.new_cdp_session(page)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger]})
    expect_selected(page, 1)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    picture(page, 2).tap()
    expect_selected(page, 1, 2)
    context.close()


def test_selection_outlives_a_change_of_filters(grid: Page):
    picture(grid, 2).click(modifiers=["Control"])
    grid.get_by_role("searchbox").fill("chosen 0")
    expect(tiles(grid)).to_have_count(1)
    expect(grid.locator("[data-count]")).to_have_text("1 selected")
    grid.get_by_role("searchbox").fill("")
    expect(tiles(grid)).to_have_count(COUNT)
    expect_selected(grid, 2)
