"""The reference of the API, read and tried in a browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded
from tests.product import Product

pytestmark = [pytest.mark.product, pytest.mark.browser]


def test_reference_lists_what_there_is_and_tries_it(signed_in: Page, product: Product):
    page, said = signed_in, []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(f"{product.url}/api/v1/docs/")
    operation = page.locator(".opblock", has_text="/api/v1/status/")
    operation.get_by_role("button", name="/status/").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer.locator(".response-col_status").last).to_have_text("200")
    expect(answer).to_contain_text('"encoder"')
    assert said == [], "nothing is refused by the page's own policy"


def test_reference_sends_a_picture_as_who_is_signed_in(signed_in: Page, product: Product):
    page = signed_in
    page.goto(f"{product.url}/api/v1/docs/")
    operation = page.locator(".opblock-post", has_text="/api/v1/assets/check/")
    operation.get_by_role("button", name="/check/").first.click()
    operation.get_by_role("button", name="Try it out").click()
    # as signing in again in another tab does
    page.context.add_cookies([{"name": "csrftoken", "value": 32 * "a", "url": product.url}])
    picture = {"name": "tried.jpg", "mimeType": "image/jpeg", "buffer": encoded(drawn(8801))}
    operation.locator("input[type=file]").first.set_input_files(picture)
    with page.expect_response("**/api/v1/assets/check/") as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200
    expect(operation.locator(".live-responses-table")).to_contain_text('"filename": "tried.jpg"')


def test_reference_asks_for_what_a_path_names(signed_in: Page, product: Product):
    page = signed_in
    page.goto(f"{product.url}/api/v1/docs/")
    path = page.locator('[data-path="/api/v1/assets/{id}/download/"]')
    operation = page.locator(".opblock-get").filter(has=path)
    path.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("id").fill("999999")
    with page.expect_response("**/api/v1/assets/999999/download/") as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 404
    expect(operation.locator(".live-responses-table")).to_contain_text("not_found")


def test_reference_is_in_the_theme_chosen_and_leads_back(signed_in: Page, product: Product):
    page = signed_in
    page.emulate_media(color_scheme="dark")
    page.goto(f"{product.url}/api/v1/docs/")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(28, 32, 34)"
    expect(page.locator(".info .title")).to_have_css("color", "rgb(210, 214, 215)")
    page.get_by_role("link", name="AssetSearch").click()
    expect(page).to_have_url(f"{product.url}/")
