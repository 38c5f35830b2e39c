"""What is uploaded while the gallery is looked at shows there."""

import re
from ast import literal_eval
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded
from tests.product import Product, wait_for
from tests.ui.test_drop import drag, drop_on, transfer
from tests.ui.test_gallery import WATCH_SHIFT, tiles, titles

pytestmark = [pytest.mark.product, pytest.mark.browser]

#: Of pictures that no other test draws.
FIRST_SEED = 640_000
#: More than a window shows.
COUNT = 50
LONG = 60_000  # milliseconds
IN_SIGHT = "[...document.querySelectorAll('.tile')].find((tile) => tile.getBoundingClientRect().top > 200)"


@pytest.fixture(scope="module")
def pictures(product: Product, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("newest")
    for number in range(COUNT):
        (folder / f"older {number}.jpg").write_bytes(encoded(drawn(FIRST_SEED + number, (160, 120))))
    product.command("import_folder", str(folder), "--tag", "older")


@pytest.fixture
def gallery(signed_in: Page, product: Product, pictures: None) -> Page:
    signed_in.add_init_script(WATCH_SHIFT)
    signed_in.goto(f"{product.url}/gallery/")
    expect(signed_in.locator("#total")).to_have_text(re.compile("asset"))
    return signed_in


@pytest.fixture
def dropped(gallery: Page) -> Callable[..., list[str]]:
    """dropped(*seeds): uploaded by dropping them on the gallery; their titles."""

    def drop(*seeds: int) -> list[str]:
        files = transfer(gallery, *seeds)
        drag(gallery, files)
        drop_on(gallery, "upload", files)
        return [f"dropped-{seed}" for seed in seeds]

    return drop


def test_what_is_dropped_shows_at_the_top_of_the_newest(
    gallery: Page, product: Product, dropped: Callable[..., list[str]]
) -> None:
    names = dropped(FIRST_SEED + 100, FIRST_SEED + 101, FIRST_SEED + 102)
    for name in names:
        expect(gallery.locator(f'.tile [alt="{name}"]')).to_be_in_viewport(timeout=LONG)
    assert sorted(titles(gallery)[:3]) == names
    [[count]] = literal_eval(product.psql("SELECT count(*) FROM gallery_asset WHERE trashed IS NULL"))
    expect(gallery.locator("#total")).to_have_attribute("data-total", str(count))
    months = gallery.locator(".month").evaluate_all("all => all.map((month) => month.dataset.month)")
    assert len(months) == len({*months})
    expect(tiles(gallery).first.locator(".badge-ready")).to_have_count(1, timeout=LONG)


def test_whoever_reads_on_below_is_not_moved(gallery: Page, dropped: Callable[..., list[str]]) -> None:
    gallery.mouse.move(700, 500)
    gallery.mouse.wheel(0, 900)
    wait_for(lambda: gallery.evaluate("window.scrollY") == 900, what="scrolling")
    held = gallery.evaluate_handle(IN_SIGHT).as_element()
    at = held.bounding_box()
    gallery.evaluate("window.shifts = []")
    [name] = dropped(FIRST_SEED + 110)
    expect(gallery.locator(f'.tile [alt="{name}"]')).to_have_count(1, timeout=LONG)
    assert held.bounding_box() == pytest.approx(at, abs=1)  # browsers scroll by whole pixels
    assert [shifted for shifted in gallery.evaluate("window.shifts") if "tile" in shifted] == []

    gallery.mouse.wheel(0, -10_000)
    expect(gallery.locator(f'.tile [alt="{name}"]')).to_be_in_viewport()
    assert titles(gallery)[0] == name
    expect(gallery).to_have_url(re.compile("/gallery/$"))


def test_under_filters_a_button_leads_to_what_is_new(
    gallery: Page, product: Product, dropped: Callable[..., list[str]]
) -> None:
    gallery.goto(f"{product.url}/gallery/?tag=older")
    expect(tiles(gallery)).to_have_count(COUNT)
    dropped(FIRST_SEED + 120, FIRST_SEED + 121)
    button = gallery.get_by_role("link", name="2 new: show")
    expect(button).to_be_visible(timeout=LONG)
    expect(tiles(gallery)).to_have_count(COUNT)
    [name] = dropped(FIRST_SEED + 122)
    gallery.get_by_role("link", name="3 new: show").click(timeout=LONG)
    expect(gallery.locator(f'.tile [alt="{name}"]')).to_be_in_viewport()
    expect(gallery).to_have_url(re.compile("/gallery/$"))


def test_filters_taken_away_show_what_is_new(
    gallery: Page, product: Product, dropped: Callable[..., list[str]]
) -> None:
    gallery.goto(f"{product.url}/gallery/?sort=oldest")
    [name] = dropped(FIRST_SEED + 130)
    button: Any = gallery.get_by_role("link", name="1 new: show")
    expect(button).to_be_visible(timeout=LONG)
    gallery.get_by_label("Sort").select_option("Newest first")
    expect(gallery.locator(f'.tile [alt="{name}"]')).to_be_visible()
    expect(button).to_be_hidden()
