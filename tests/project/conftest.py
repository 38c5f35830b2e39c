"""The product, and a browser, for the tests that walk it."""

import os
from collections.abc import Iterator

import pytest

from tests import browser
from tests.product import Product


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
    made.start()
    yield made
    made.stop()
