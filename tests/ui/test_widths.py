"""Pages fit a phone, a tablet and a laptop, in each language: nothing has to be scrolled to from side to side."""

import re
from ast import literal_eval
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.product import PASSWORD, Product

pytestmark = [pytest.mark.product, pytest.mark.browser]

WIDTHS_PX = (390, 820, 1280)
PAGES = [
    "/", "/?asset={asset}", "/gallery/", "/gallery/?q=nothing+of+that", "/gallery/?tag={tag}&collection={collection}",
    "/assets/{asset}/", "/assets/{asset}/edit/", "/collections/", "/collections/{collection}/", "/tags/",
    "/upload/", "/import/", "/imports/", "/work/", "/reports/", "/reports/have/", "/searches/", "/trash/",
    "/compare/", "/keys/", "/password/", "/nothing/of/that/name/", "/collections/{collection}/edit/",
    "/collections/{collection}/delete/", "/tags/{number}/edit/", "/tags/{number}/merge/", "/tags/{number}/delete/",
    "/assets/{asset}/history/", "/admin/", "/admin/gallery/asset/", "/admin/gallery/asset/{asset}/change/",
    "/admin/gallery/collection/{collection}/change/", "/admin/gallery/tag/{number}/change/", "/admin/search/encoder/",
    "/admin/search/measurement/", "/admin/auth/user/1/change/",
]  # fmt: skip
#: Where a page is wider than its screen: what sticks out of it at the right.
_STICKING_OUT = """() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const isOut = (element) => element.getBoundingClientRect().right > clientWidth;
    const found = [...document.body.querySelectorAll("*")].filter(isOut).map(({ outerHTML }) => outerHTML.slice(0, 90));
    return scrollWidth > clientWidth ? [`${scrollWidth - clientWidth} px`, ...found.slice(-5)] : [];
}"""


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_no_page_is_wider_than_its_screen(
    browser: Browser, product: Product, stored: Callable[..., Any], locale: str
) -> None:
    long = f"no-screen-has-room-for-all-of-this-{locale}-".ljust(100, "m")
    page = browser.new_page(locale=locale)
    sign_in(page, product)
    page.goto(f"{product.url}/collections/")
    page.locator("[name=name]").fill(long)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/collections/\d+/"))
    made = re.findall(r"\d+", page.url)[-1]
    asset = stored(sum(map(ord, locale)), title=long * 2, tags=long, collection=made)["id"]
    [[number]] = literal_eval(product.psql(f"SELECT id FROM gallery_tag WHERE lower(name) = '{long.lower()}'"))
    sticking_out = {}
    for address in PAGES:
        page.goto(product.url + address.format(asset=asset, collection=made, tag=long, number=number))
        for width in WIDTHS_PX:
            page.set_viewport_size({"width": width, "height": 844})
            if found := page.evaluate(_STICKING_OUT):
                sticking_out[address, width] = found
    page.context.close()
    assert sticking_out == {}


def sign_in(page: Page, product: Product) -> None:
    """Whatever language the page speaks."""
    page.goto(f"{product.url}/login/")
    page.locator("[name=username]").fill("admin")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main button[type=submit]").click()
    page.wait_for_url(f"{product.url}/")
