"""The keys, told where someone asks for them."""

import pytest
from playwright.sync_api import Page, expect

from tests.product import Product

pytestmark = [pytest.mark.product, pytest.mark.browser]


def test_question_mark_lists_the_keys_and_escape_closes_them(home: Page):
    page = home
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    expect(dialog.locator("kbd").first).to_have_text("?")
    expect(dialog.locator("kbd").first).to_be_in_viewport()  # from the top, though its button stands at the end
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_question_mark_in_a_field_is_only_typed(home: Page, stored):
    stored(77_310, title="something to filter")
    page = home
    page.goto(page.url.rstrip("/") + "/gallery/")
    page.keyboard.press("/")
    field = page.locator('[data-hotkey="/"]')
    expect(field).to_be_focused()
    page.keyboard.press("?")
    expect(field).to_have_value("?")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_menu_leads_to_the_keys_without_script(browser, product):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{product.url}/login/")
    page.locator(".header .menu summary").click()
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.context.close()


def test_question_mark_does_nothing_in_a_window_of_the_admin(signed_in: Page, product: Product):
    signed_in.goto(f"{product.url}/admin/gallery/tag/add/?_popup=1")
    signed_in.evaluate("document.activeElement.blur()")  # which is the first field
    signed_in.keyboard.press("?")  # an error of a script would fail the test
    expect(signed_in.get_by_role("dialog")).to_have_count(0)


def test_question_mark_lists_the_keys_in_the_admin_as_well(signed_in: Page, product: Product):
    signed_in.goto(f"{product.url}/admin/")
    signed_in.keyboard.press("?")
    dialog = signed_in.get_by_role("dialog", name="Keys")
    expect(dialog.get_by_text("Remove the region")).to_be_visible()
    signed_in.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
