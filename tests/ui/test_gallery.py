"""The gallery in a browser: pages that come as one scrolls, addresses, filters with counts, months, layouts."""

import re
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import drawn, encoded
from tests.product import Product, wait_for

pytestmark = [pytest.mark.product, pytest.mark.browser]

#: Two pages of 60, and a few of a third.
COUNT = 125
TAG = "to-browse"
#: Of many proportions, so that rows are of all kinds.
SIZES = [(160, 120), (120, 160), (128, 128), (240, 90), (90, 180)]
WATCH_SHIFT = """
    window.shifts = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries())
            if (!entry.hadRecentInput)
                window.shifts.push(...entry.sources.map(({ node }) => node?.id || node?.className || node?.nodeName));
    }).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def pictures(product: Product, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Numbered pictures, the higher the newer, of three months."""
    folder = tmp_path_factory.mktemp("browse")
    for number in range(COUNT):
        (folder / f"browse {number:03}.jpg").write_bytes(encoded(drawn(8000 + number, SIZES[number % len(SIZES)])))
    product.command("import_folder", str(folder), "--tag", TAG)
    product.psql(
        "UPDATE gallery_asset SET created = '2023-11-15 12:00Z'::timestamptz"
        f" - (({COUNT} - 1 - right(title, 3)::int) / 50) * interval '1 month'"
        f" + right(title, 3)::int * interval '1 minute' WHERE title LIKE 'browse %' RETURNING id"
    )


@pytest.fixture
def gallery(signed_in: Page, product: Product, pictures: None) -> Page:
    signed_in.add_init_script(WATCH_SHIFT)
    signed_in.goto(f"{product.url}/gallery/?tag={TAG}")
    expect(signed_in.locator("#total")).to_have_text(f"{COUNT} assets")
    return signed_in


def tiles(page: Page) -> Locator:
    return page.locator(".tile")


def titles(page: Page) -> list[str]:
    return page.locator(".tile img").evaluate_all("images => images.map((image) => image.alt)")


def numbered(numbers: range) -> list[str]:
    return [f"browse {number:03}" for number in numbers]


def scroll_until(page: Page, count: int) -> None:
    """Down, until so many tiles are there."""
    for _ in range(60):
        if tiles(page).count() >= count:
            break
        page.mouse.wheel(0, 500)
        page.evaluate("() => new Promise(requestAnimationFrame)")  # who scrolls sees frames between
    expect(tiles(page)).to_have_count(count, timeout=30_000)


@pytest.mark.parametrize("layout", ["rows", "squares"])
def test_pages_come_as_one_scrolls_and_nothing_moves(gallery: Page, layout: str):
    if layout != "rows":  # as it is anyway
        with gallery.expect_response("**/gallery/look/"):
            gallery.locator(f".look label:has([value={layout}])").click()
        gallery.reload()
    expect(gallery.locator(f"[data-layout={layout}] .tile")).to_have_count(60)
    scroll_until(gallery, COUNT)
    assert titles(gallery) == numbered(range(COUNT - 1, -1, -1))
    assert gallery.evaluate("window.shifts") == []


def test_page_that_did_not_come_is_asked_for_again_as_one_scrolls_on(gallery: Page):
    gallery.route("**/gallery/?*after=*", lambda route: route.abort())
    gallery.keyboard.press("End")
    expect(gallery.get_by_text("The server cannot be reached.")).to_be_visible()
    gallery.unroute("**/gallery/?*after=*")
    scroll_until(gallery, COUNT)
    assert titles(gallery) == numbered(range(COUNT - 1, -1, -1))


def test_refused_page_leaves_the_rows_as_they_are(gallery: Page):
    gallery.route("**/gallery/?*after=*", lambda route: route.fulfill(status=500, body="broken"))
    ends = gallery.locator(".row-end").count()
    gallery.keyboard.press("End")
    expect(gallery.get_by_text("Something went wrong on the server (500).")).to_be_visible()
    expect(gallery.locator(".row-end")).to_have_count(ends)
    expect(gallery.locator(".row-break")).to_have_count(0)


@pytest.mark.parametrize(("below_px", "breaks"), [(-100, 1), (500, 1), (1000, 0)])
def test_a_last_row_near_or_in_sight_is_not_filled(gallery: Page, below_px: int, breaks: int):
    """`below_px`: how far below the window's lower edge the row ends when the next page comes."""
    held = []
    gallery.route("**/gallery/?*after=*", lambda route: held.append(route))  # noqa: PLW0108 - a method of a list cannot be given
    distance = f"document.querySelector('.row-end:has(+ .more)').getBoundingClientRect().top - innerHeight - {below_px}"
    gallery.evaluate(f"scrollBy({{ top: {distance}, behavior: 'instant' }})")
    wait_for(lambda: gallery.wait_for_timeout(50) or held, what="the request of the next page")
    held[0].continue_()
    expect(tiles(gallery)).to_have_count(120)
    expect(gallery.locator(".row-break")).to_have_count(breaks)


def test_address_is_that_of_the_page_in_sight_and_a_reload_keeps_the_place(gallery: Page):
    scroll_until(gallery, COUNT)
    last_before = gallery.locator('.tile:has([alt="browse 065"])').get_attribute("data-asset")
    gallery.locator('[alt="browse 040"]').scroll_into_view_if_needed()
    expect(gallery).to_have_url(re.compile(rf"tag={TAG}&after={last_before}$"))
    gallery.reload()
    expect(gallery.locator('[alt="browse 040"]')).to_be_attached()
    expect(gallery.locator('[alt="browse 124"]')).to_have_count(0)


def test_earlier_pages_come_as_one_scrolls_up_and_what_is_in_sight_stays(gallery: Page):
    after = gallery.locator(".tile").nth(59).get_attribute("data-asset")
    gallery.goto(f"{gallery.url}&after={after}")
    first = gallery.locator('[alt="browse 064"]')
    expect(first).to_be_visible()
    expect(gallery.locator(".facet").first).to_be_visible()
    gallery.mouse.move(700, 500)
    gallery.mouse.wheel(0, 300)
    gallery.mouse.wheel(0, -100)
    expect(gallery.locator('[alt="browse 065"]')).to_be_attached()
    expect(first).to_be_in_viewport()
    assert titles(gallery)[:61] == numbered(range(COUNT - 1, 63, -1))
    expect(gallery.locator(".earlier")).to_have_count(0)


def test_way_back_from_an_asset_leads_to_its_place(gallery: Page):
    scroll_until(gallery, COUNT)
    gallery.locator('[alt="browse 030"]').scroll_into_view_if_needed()
    gallery.goto(urljoin(gallery.url, gallery.locator('a:has([alt="browse 030"])').get_attribute("href")))
    expect(gallery.get_by_role("heading", name="browse 030", level=1)).to_be_visible()
    gallery.go_back()
    expect(gallery.locator('[alt="browse 030"]')).to_be_visible()


def test_pages_are_turned_without_script(browser, gallery: Page):
    context = browser.new_context(java_script_enabled=False, storage_state=gallery.context.storage_state())
    page = context.new_page()
    page.goto(gallery.url)
    page.get_by_role("link", name="More pictures").click()
    expect(page).to_have_url(re.compile("after="))
    page.wait_for_load_state()
    assert titles(page) == numbered(range(64, 4, -1))
    page.get_by_role("link", name="Earlier pictures").click()
    expect(page.locator('[alt="browse 124"]')).to_be_visible()
    page.wait_for_load_state()
    assert titles(page) == numbered(range(124, 64, -1))
    context.close()


def test_sort_is_chosen_and_kept_in_the_address(gallery: Page):
    gallery.get_by_label("Sort").select_option("Title, A to Z")
    expect(gallery.locator(".tile img").first).to_have_attribute("alt", "browse 000")
    expect(gallery).to_have_url(re.compile("sort=title"))
    expect(gallery.locator(".month")).to_have_count(0)
    gallery.reload()
    expect(gallery.locator(".tile img").first).to_have_attribute("alt", "browse 000")
    expect(gallery.get_by_label("Sort")).to_have_value("title")


def test_count_of_the_month_in_sight_stays_where_it_is(gallery: Page):
    month = gallery.get_by_role("navigation", name="Months").get_by_role("link", name="Sep 2023")
    count = month.locator(".rail-count")
    count.evaluate("count => { count.textContent = '88,888'; }")
    before = count.bounding_box()
    month.evaluate("month => month.setAttribute('aria-current', 'true')")
    assert count.bounding_box() == before


def test_months_are_jumped_to_from_the_rail(gallery: Page):
    rail = gallery.get_by_role("navigation", name="Months")
    expect(rail.get_by_role("link", name="Nov 2023")).to_contain_text("50")
    expect(rail.get_by_role("link", name="Sep 2023")).to_contain_text("25")
    expect(gallery.get_by_role("heading", name="November 2023")).to_be_visible()
    rail.get_by_role("link", name="Sep 2023").click()
    expect(gallery.locator('[alt="browse 024"]')).to_be_in_viewport()
    expect(gallery.get_by_role("heading", name="September 2023")).to_be_visible()
    expect(gallery).to_have_url(re.compile("month=2023-09"))
    expect(rail.get_by_role("link", name="Sep 2023")).to_have_attribute("aria-current", "true")


def test_facets_narrow_down_and_count_anew(gallery: Page):
    portrait = gallery.get_by_role("radio", name="Portrait")
    expect(gallery.locator("label", has=portrait)).to_contain_text("50")
    portrait.check()
    expect(gallery.locator("#total")).to_have_text("50 assets")
    expect(tiles(gallery)).to_have_count(50)
    expect(gallery).to_have_url(re.compile("orientation=portrait"))
    expect(portrait).to_be_checked()
    expect(portrait).to_be_focused()
    gallery.get_by_role("link", name="Orientation Portrait").click()
    expect(gallery.locator("#total")).to_have_text(f"{COUNT} assets")


@pytest.mark.parametrize(("name", "value"), [("density", "Dense"), ("layout", "Squares")])
def test_look_applies_at_once_and_is_kept(gallery: Page, name: str, value: str):
    before = tiles(gallery).first.bounding_box()
    with gallery.expect_response(re.compile("/gallery/look/")):
        gallery.get_by_title(value, exact=True).click()
    expect(gallery.locator(".browse")).to_have_attribute(f"data-{name}", value.lower())
    after = tiles(gallery).first.bounding_box()
    assert after != before
    gallery.reload()
    expect(gallery.locator(".browse")).to_have_attribute(f"data-{name}", value.lower())
    assert tiles(gallery).first.bounding_box() == after


def test_pictures_are_loaded_as_large_as_they_are_shown(gallery: Page):
    image = gallery.locator(".tile img").first
    expect(image).to_have_attribute("srcset", re.compile(r"thumbnail\.jpg \d+w, .*preview\.jpg \d+w"))
    wait_for(lambda: image.evaluate("image => image.complete && image.naturalWidth > 0"), what="the first picture")
