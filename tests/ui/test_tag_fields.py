"""Names of tags are offered wherever tags are typed."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.conftest import drawn, encoded
from tests.product import Client, Product

pytestmark = [pytest.mark.product, pytest.mark.browser]


@pytest.fixture(scope="module")
def meerkats(client: Client) -> dict[str, Any]:
    """An asset with tags, of which one is used more than the others."""
    client.upload("first.jpg", encoded(drawn(760, (640, 480))), title="first", tags="meerkat sentry")
    tags = "suricate,Meerkat pup,meerkat sentry"
    return dict(client.upload("second.jpg", encoded(drawn(761, (640, 480))), title="second", tags=tags))


@pytest.fixture
def upload_field(signed_in: Page, product: Product, meerkats: Any) -> Locator:
    signed_in.goto(f"{product.url}/upload/")
    return signed_in.get_by_role("combobox", name="Tags")


def options(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Tags").get_by_role("option")


def typed(field: Locator, text: str) -> Page:
    field.press_sequentially(text)
    expect(options(field.page).first).to_be_visible()
    return field.page


def test_names_that_fit_are_offered_the_most_used_first_and_one_is_taken_by_keys(upload_field: Locator) -> None:
    page = typed(upload_field, "MEER")
    expect(options(page)).to_have_text(["meerkat sentry", "Meerkat pup"])
    expect(upload_field).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#announcer")).to_have_text("2 tags are offered")
    upload_field.press("ArrowDown")
    upload_field.press("ArrowDown")
    expect(options(page).nth(1)).to_have_attribute("aria-selected", "true")
    chosen = options(page).nth(1).get_attribute("id")
    expect(upload_field).to_have_attribute("aria-activedescendant", chosen or "")
    upload_field.press("ArrowDown")
    upload_field.press("ArrowUp")
    upload_field.press("Enter")

    expect(upload_field).to_have_value("Meerkat pup")
    expect(upload_field).to_be_focused()
    expect(upload_field).to_have_attribute("aria-expanded", "false")
    expect(options(page)).to_have_count(0)
    assert page.url.endswith("/upload/")


def test_name_that_the_cursor_stands_in_is_completed_beside_others(upload_field: Locator) -> None:
    page = typed(upload_field, "meerkat sentry, meer")
    expect(options(page)).to_have_text(["Meerkat pup"])  # what is there already is not offered again
    options(page).first.click()
    expect(upload_field).to_have_value("meerkat sentry, Meerkat pup")
    expect(upload_field).to_be_focused()

    upload_field.fill("suric, sea")
    upload_field.evaluate("field => field.setSelectionRange(5, 5)")
    upload_field.press("Backspace")
    expect(options(page)).to_have_text(["suricate"])
    upload_field.press("ArrowUp")
    upload_field.press("Enter")
    expect(upload_field).to_have_value("suricate, sea")


def test_answer_to_what_stood_there_before_does_not_end_the_question_of_what_stands_there_now(
    upload_field: Locator,
) -> None:
    page, held = upload_field.page, list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile("q=nobody$"), hold)
    page.clock.install()
    upload_field.fill("nobody")
    with page.expect_request(re.compile("q=nobody$")):
        page.clock.run_for(1000)
    upload_field.fill("suric")
    held[0].fulfill(json=[])
    with page.expect_response(re.compile("q=suric$")):
        page.clock.run_for(1000)
    expect(options(page)).to_have_text(["suricate"])


def test_arrow_offers_the_most_used_before_anything_is_typed(upload_field: Locator) -> None:
    upload_field.press("ArrowDown")
    expect(options(upload_field.page).first).to_be_visible()
    upload_field.press("Tab")
    expect(options(upload_field.page)).to_have_count(0)
    expect(upload_field).to_have_value("")


def test_name_that_nobody_used_is_taken_as_typed(upload_field: Locator) -> None:
    page = typed(upload_field, "meerkat")
    with page.expect_response(re.compile("/tags/names/")):
        upload_field.press_sequentially(" that nobody used")
    expect(options(page)).to_have_count(0)
    expect(upload_field).to_have_value("meerkat that nobody used")


def test_name_typed_in_full_is_not_offered(upload_field: Locator) -> None:
    page = typed(upload_field, "suri")
    with page.expect_response(re.compile("q=suricate")):
        upload_field.press_sequentially("cate")
    expect(options(page)).to_have_count(0)


def test_escape_closes_the_names_before_the_menu_around_the_field(
    signed_in: Page, product: Product, meerkats: Any, client: Client
) -> None:
    signed_in.goto(f"{product.url}/gallery/?tag=suricate")
    signed_in.locator("[data-asset] a:has(img)").click(modifiers=["Control"])
    signed_in.locator("summary", has_text="Tag").click()
    field = signed_in.get_by_role("combobox", name="Tags, separated by commas")
    typed(field, "meerkat s")
    field.press("Escape")
    expect(options(signed_in)).to_have_count(0)
    expect(field).to_have_value("meerkat s")
    expect(signed_in.locator("[data-count]")).to_have_text("1 selected")

    typed(field, "e")
    options(signed_in).first.click()
    expect(field).to_have_value("meerkat sentry")
    signed_in.get_by_role("button", name="Remove", exact=True).click()
    expect(signed_in.get_by_text("1 asset lost the tag.")).to_be_visible()
    signed_in.get_by_role("button", name="Undo").click()
    expect(signed_in.get_by_text("Undone: 1 asset is as it was.")).to_be_visible()


@pytest.mark.parametrize("where", ["", "edit/"])
def test_name_taken_on_the_page_of_an_asset_is_saved(
    signed_in: Page, product: Product, stored: Callable[..., Any], meerkats: Any, where: str
) -> None:
    made = stored(762 + len(where), title=f"to be tagged {where}")
    signed_in.goto(f"{product.url}/assets/{made['id']}/{where}")
    typed(signed_in.get_by_role("combobox", name="Tags"), "suri")
    signed_in.keyboard.press("ArrowDown")
    signed_in.keyboard.press("Enter")

    expect(signed_in.locator(".about-tag")).to_have_text(re.compile("suricate"))
    expect(signed_in.get_by_role("combobox", name="Tags")).to_be_focused()


def test_name_taken_as_a_filter_narrows_at_once(signed_in: Page, product: Product, meerkats: Any) -> None:
    signed_in.goto(f"{product.url}/gallery/?q=first")
    signed_in.locator("summary", has_text="More filters").click()
    typed(signed_in.get_by_role("combobox", name="Any of the tags"), "sent")
    options(signed_in).first.click()
    expect(signed_in).to_have_url(re.compile("any_tag=meerkat"))

    signed_in.goto(f"{product.url}/?asset={meerkats['id']}")
    signed_in.locator("summary", has_text="More filters").click()
    typed(signed_in.get_by_role("combobox", name="None of the tags"), "suri")
    options(signed_in).first.click()
    expect(signed_in).to_have_url(re.compile("not_tag=suricate"))


def test_names_are_offered_in_a_dialog(signed_in: Page, product: Product, meerkats: Any) -> None:
    signed_in.goto(f"{product.url}/tags/")
    signed_in.get_by_label("Find tags").fill("suricate")
    signed_in.get_by_role("link", name="Edit tag suricate", exact=True).click()
    signed_in.get_by_role("link", name="Merge…").click()
    field = signed_in.get_by_role("combobox", name="The tag that stays")
    typed(field, "meerkat p")
    field.press("Escape")
    expect(signed_in.get_by_role("dialog")).to_be_visible()
    typed(field, "u")
    options(signed_in).first.click()
    expect(field).to_have_value("Meerkat pup")


def test_field_is_one_of_text_without_script(browser: Browser, product: Product, upload_field: Locator) -> None:
    state = upload_field.page.context.storage_state()
    context = browser.new_context(java_script_enabled=False, storage_state=state)
    page = context.new_page()
    page.goto(f"{product.url}/upload/")
    expect(page.get_by_role("textbox", name="Tags")).to_be_editable()
    context.close()
