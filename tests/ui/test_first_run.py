"""The first minutes with an empty gallery: the sample is drawn, searched, and removed."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.product import running

pytestmark = [pytest.mark.product, pytest.mark.browser]


#: As workers do within a minute of having so many pictures.
_CALIBRATE = """
from search import calibration
from search.models import Encoder
calibration.calibrate(Encoder.objects.active())
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory, prepared):
    """An empty one of its own."""
    with running(tmp_path_factory.mktemp("first") / "data", prepared=prepared) as made:
        yield made


def test_empty_gallery_leads_by_the_sample_to_a_search_that_makes_sense(home: Page, product):
    page = home
    expect(page.get_by_role("link", name="Upload pictures")).to_be_visible()
    expect(page.get_by_role("link", name="Import pictures")).to_be_visible()
    page.get_by_role("button", name="Try the sample gallery").click()
    expect(page.get_by_role("heading", name="Sample gallery")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Pictures dealt with")).to_be_visible()
    pace = re.compile(r"[\d.]+ a second\s+· about .+ left")
    expect(page.locator("#import-progress")).to_contain_text(pace, timeout=120_000)
    expect(page.locator("#work-badge")).to_contain_text(re.compile(r"\d+ left"))
    expect(page.get_by_text("120 of 120")).to_be_visible(timeout=240_000)
    page.goto(f"{product.url}/work/")
    expect(page.get_by_text("120 assets can be found")).to_be_visible(timeout=240_000)

    product.command("shell", "-v", "0", "-c", _CALIBRATE)
    page.goto(f"{product.url}/gallery/?q=tartan")
    expect(page.get_by_label("Sort")).to_be_visible()
    tartan = page.locator("[data-asset]").filter(has=page.get_by_alt_text("Tartan 1", exact=True)).first
    page.goto(f"{product.url}/?asset={tartan.get_attribute('data-asset')}")
    titles = page.locator("#results img").evaluate_all("found => found.map((image) => image.alt)")
    assert len([title for title in titles[:6] if "Tartan" in title]) >= 5, titles
    words = re.compile(r"Closer than 9\d(\.\d+)? % of random pairs")
    expect(page.locator(".hit").first.locator(".hit-calibrated")).to_have_text(words)

    page.goto(f"{product.url}/gallery/")
    page.get_by_role("link", name="Remove the sample gallery").click()
    dialog = page.get_by_role("dialog", name="Remove 120 drawn pictures?")
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Remove the sample gallery").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("120 drawn pictures are deleted.")).to_be_visible()
    expect(page.get_by_role("heading", name="The gallery is empty")).to_be_visible()
    for of_no_use in (page.get_by_label("Sort"), page.get_by_role("search")):
        expect(of_no_use).to_be_hidden()
