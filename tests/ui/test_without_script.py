"""What a person does where no script runs: every page works, but for dropping files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import drawn, encoded
from tests.product import PASSWORD, Client, Product
from tests.ui.conftest import SIZE

pytestmark = [pytest.mark.product, pytest.mark.browser]

#: Addresses that the main pages and the menu lead to.
PAGES = [
    "/",
    "/gallery/",
    "/collections/",
    "/tags/",
    "/upload/",
    "/import/",
    "/imports/",
    "/work/",
    "/trash/",
    "/reports/",
]


@pytest.fixture
def plain(browser: Browser, product: Product) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{product.url}/login/")
    page.locator("[name=username]").fill("admin")
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    yield page
    context.close()


def saved(folder: Path, seed: int) -> Path:
    path = folder / f"plain {seed}.jpg"
    path.write_bytes(encoded(drawn(seed, SIZE)))
    return path


@pytest.mark.parametrize("address", PAGES)
def test_page_is_reached_and_has_a_heading(plain: Page, product: Product, address: str):
    answer = plain.goto(product.url + address)
    assert answer is not None
    assert answer.status == 200
    expect(plain.get_by_role("heading", level=1)).to_be_visible()


def test_picture_is_uploaded_and_its_fate_told(plain: Page, product: Product, tmp_path: Path):
    plain.goto(f"{product.url}/upload/")
    plain.locator("input[type=file][name=file]").first.set_input_files(saved(tmp_path, 9001))
    plain.get_by_role("button", name="Upload").last.click()
    expect(plain.get_by_role("link", name="plain 9001").first).to_be_visible()


def test_picture_is_searched_with(plain: Page, product: Product, stored: Callable[..., Any], tmp_path: Path):
    stored(9002, title="without script")
    plain.goto(product.url)
    plain.locator("input[type=file][name=image]").first.set_input_files(saved(tmp_path, 9002))
    plain.get_by_role("button", name="Search").first.click()
    expect(plain.locator(".hit").first).to_contain_text("without script")


def test_asset_is_deleted_and_restored(plain: Page, product: Product, client: Client, stored: Callable[..., Any]):
    made = stored(9003, title="there and back")
    plain.goto(f"{product.url}/assets/{made['id']}/")
    plain.get_by_role("button", name="Move to the trash").click()
    plain.goto(f"{product.url}/trash/")
    row = plain.locator("li", has_text="there and back")
    row.get_by_role("button", name="Restore").click()
    assert client.get(f"/assets/{made['id']}/")["title"] == "there and back"
