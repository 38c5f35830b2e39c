"""The product over a data folder of its own, for one test to do harm to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.product import Product


@pytest.fixture
def product(tmp_path: Path, prepared: Path) -> Iterator[Product]:
    made = Product(tmp_path / "data", prepared=prepared)
    try:
        made.start()
        yield made
    finally:
        if not made.has_ended():
            made.stop()
