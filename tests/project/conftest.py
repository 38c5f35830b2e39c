"""The product, and a browser, for the tests that walk it."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests import browser
from tests.product import PASSWORD, Product


@pytest.fixture(scope="session")
def browser_type_launch_args():
    found = browser.find()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("No browser: `make test` fetches one, or says why it cannot.")
        pytest.skip("no browser is installed, and none could be fetched")
    return {"executable_path": found, "args": browser.ARGUMENTS, "headless": True}


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Iterator[Product]:
    """Of this module's own."""
    made = Product(tmp_path_factory.mktemp("product") / "data")
    try:
        made.start()
        yield made
    finally:
        if not made.has_ended():
            made.stop()


@pytest.fixture
def signed_in(page: Page, product: Product) -> Iterator[Page]:
    """The page after signing in; any error in the browser's console fails the test."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(product.url)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Search with a picture")).to_be_visible()
    yield page
    assert errors == []
