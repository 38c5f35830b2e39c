"""The product of each module's own, for the tests that start it."""

from collections.abc import Iterator

import pytest

from tests.product import Product, running


@pytest.fixture(scope="module")
def product(tmp_path_factory, prepared) -> Iterator[Product]:
    """Of this module's own."""
    with running(tmp_path_factory.mktemp("product") / "data", prepared=prepared) as made:
        yield made
