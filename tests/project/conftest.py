"""The product of each module's own, for the tests that start it."""

from collections.abc import Iterator

import pytest

from tests.product import Product


@pytest.fixture(scope="module")
def product(tmp_path_factory, prepared) -> Iterator[Product]:
    """Of this module's own."""
    made = Product(tmp_path_factory.mktemp("product") / "data", prepared=prepared)
    try:
        made.start()
        yield made
    finally:
        if not made.has_ended():
            made.stop()
