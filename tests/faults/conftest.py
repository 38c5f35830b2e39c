"""The product over a data folder of its own, for one test to do harm to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.product import Product, running


@pytest.fixture
def product(tmp_path: Path, prepared: Path) -> Iterator[Product]:
    with running(tmp_path / "data", prepared=prepared) as made:
        yield made
