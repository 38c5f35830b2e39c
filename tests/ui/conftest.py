"""One product for all tests of pages. Each test stores what it looks at under names of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import drawn, encoded
from tests.product import Client, Product, running, wait_for

SIZE = (640, 480)


@pytest.fixture(scope="session")
def product(tmp_path_factory, prepared) -> Iterator[Product]:
    with running(tmp_path_factory.mktemp("product") / "data", prepared=prepared) as made:
        yield made


@pytest.fixture(scope="session")
def client(product: Product) -> Client:
    """The API, as the user whose pages are looked at."""
    return product.sign_in()


@pytest.fixture
def stored(client: Client) -> Callable[..., Any]:
    """stored(seed, title=..., tags=..., collection=...): an asset that can be searched, as the API tells it."""

    def make(seed: int, *, title: str, size: tuple[int, int] = SIZE, format: str = "JPEG", **details: str) -> Any:
        made = client.upload(f"{title}.{format.lower()}", encoded(drawn(seed, size), format), title=title, **details)
        wait_for(lambda: client.get(f"/assets/{made['id']}/")["status"] == "ready", what=f"the embedding of {title}")
        return client.get(f"/assets/{made['id']}/")

    return make
