"""The admin's first page: figures, charts in colour, failures that are tried again, the theme of the site."""

import pytest
from playwright.sync_api import Page, expect

from tests.product import Product, wait_for

pytestmark = [pytest.mark.product, pytest.mark.browser]


def test_admin_begins_with_how_things_are_and_tries_failures_again(signed_in: Page, product: Product, client, stored):
    page, asset = signed_in, stored(72_001, title="Dashboard one")
    product.fail(asset["id"], "The picture is out of reach")
    page.goto(f"{product.url}/admin/")
    overview = page.get_by_role("region", name="Overview")
    for told in ("Assets ready", "Originals", "Database", "Disk left"):
        expect(overview.get_by_text(told)).to_be_visible()

    def both_work():
        page.reload()
        return overview.get_by_text("Running", exact=True).count() == 2

    wait_for(both_work, what="the slower of the two workers")
    chart = overview.get_by_role("img", name="Pictures by hour, last day")
    assert (
        chart.locator("path[fill='#3b82c4']").first.evaluate("bar => getComputedStyle(bar).fill") == "rgb(59, 130, 196)"
    )
    reason = overview.get_by_role("listitem").filter(has_text="The picture is out of reach")
    expect(reason).to_contain_text("1 picture")
    reason.get_by_role("button", name="Try all again").click()
    expect(page.get_by_text("1 picture is tried again.")).to_be_visible()
    wait_for(lambda: client.get(f"/assets/{asset['id']}/")["status"] == "ready", what="the second try")


def test_admin_is_dark_where_the_site_is_and_leads_back_to_it(signed_in: Page, product: Product):
    page = signed_in
    page.emulate_media(color_scheme="dark")
    page.goto(f"{product.url}/admin/gallery/asset/")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 19, 21)"
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Gallery").click()
    expect(page.get_by_role("heading", name="Gallery")).to_be_visible()


@pytest.mark.parametrize("path", ["", "search/measurement/", "search/encoder/", "search/indexbuild/", "auth/user/"])
def test_no_page_of_the_admin_is_stopped_by_the_policy(signed_in: Page, product: Product, path):
    page = signed_in  # fails on what the policy stops
    page.goto(f"{product.url}/admin/{path}")
    expect(page.locator("#content h1")).to_be_visible()
