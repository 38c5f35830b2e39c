"""The product over a data folder of its own, for one test to do harm to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.product import Product


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    made = Product(tmp_path / "data")
    try:
        made.start()
        yield made
    finally:
        if not made.has_ended():
            made.stop()
