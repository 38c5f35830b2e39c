"""What a person reads of an index: how it answered, how much it finds, and how that went over time."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.product import Product, running

pytestmark = [pytest.mark.product, pytest.mark.browser]

_FILL = """
from django.contrib.auth.models import User
from gallery.models import Asset
from search.models import Encoder
from tests.search.vectors import filled_with, random_vectors
encoder = Encoder.objects.active()
made = random_vectors(2500, encoder.dimensions, clusters=40, spread=0.5)
print(filled_with(made, encoder, User.objects.get(username="admin"))[0].pk)
Asset.objects.update(original="lost", preview="lost.jpg", thumbnail="lost.jpg")
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, prepared) -> Iterator[Product]:
    """One of its own, with so many assets that an index is worth its while."""
    with running(tmp_path_factory.mktemp("indexed") / "data", prepared=prepared) as made:
        yield made


@pytest.fixture(scope="module")
def asset(product: Product) -> int:
    """One of those that an index was built of."""
    first = int(product.command("shell", "-v", "0", "-c", _FILL).stdout)
    product.command("build_index")
    return first


def test_answer_by_an_index_names_it_and_how_much_it_finds(signed_in: Page, product: Product, asset: int):
    signed_in.goto(f"{product.url}/?asset={asset}")
    expect(signed_in.locator(".hit")).to_have_count(10)
    how = signed_in.locator(".how")
    expect(how).to_contain_text(re.compile(r"approximate \(ivfflat, recall (0\.9[89]\d|1\.000)\)"))
    signed_in.goto(f"{product.url}/?asset={asset}&max_width=20")
    expect(how).to_contain_text("exact, over all that pass the filters")


def test_admin_draws_recall_and_latency_over_time_and_of_the_last_tuning(signed_in: Page, product: Product, asset: int):
    signed_in.goto(f"{product.url}/admin/search/measurement/")
    charts = signed_in.get_by_role("region", name="Charts").get_by_role("img")
    expect(charts).to_have_count(3)
    said = [chart.get_attribute("aria-label") or "" for chart in charts.all()]
    for words, told in zip(("Recall at the last: ", "p50 at the last: ", "Settings tried: "), said, strict=True):
        assert words in told
    for chart in charts.all():
        box = chart.bounding_box()
        assert box
        assert box["width"] > 300
        assert box["height"] > 150
    signed_in.goto(f"{product.url}/admin/")
    expect(signed_in.get_by_role("img", name=re.compile("Recall"))).to_be_visible()
