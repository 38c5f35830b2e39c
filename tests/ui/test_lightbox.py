"""A picture large over its page: turning, zooming, what is known of it, download, comparison, and back."""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Locator, Page, Route, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.conftest import drawn, encoded
from tests.product import Client, Product, wait_for

pytestmark = [pytest.mark.product, pytest.mark.browser]

COUNT = 3
SEED = 8300
#: More than fits, so that there is something to zoom into.
SIZE = (1600, 1200)
#: More than the preview has.
LARGE = (2400, 1800)


@pytest.fixture(scope="module")
def pictures(client: Client) -> None:
    for number in range(COUNT):
        data = encoded(drawn(SEED + number, SIZE))
        details = {"title": f"large {number}", "tags": "to-enlarge"}
        client.session.post(
            f"{client.url}/assets/", files={"file": (f"file {number}.jpg", data)}, data=details, timeout=60
        )


@pytest.fixture
def grid(signed_in: Page, product: Product, pictures: None) -> Page:
    """Newest first: large 2, large 1, large 0. Keys count once a picture has come to rest: here at once."""
    signed_in.emulate_media(reduced_motion="reduce")
    signed_in.goto(f"{product.url}/gallery/?tag=to-enlarge")
    expect(signed_in.locator("a[data-lightbox]")).to_have_count(COUNT)
    return signed_in


def picture(page: Page, title: str) -> Locator:
    return page.locator(f'a[data-lightbox][data-title="{title}"]')


def opened(page: Page, title: str) -> Locator:
    picture(page, title).click()
    return showing(page, title)


def showing(page: Page, title: str) -> Locator:
    lightbox = page.locator(".pswp--open")
    expect(lightbox.locator(".pswp__title")).to_have_text(title)
    return lightbox


def test_double_click_opens_one(grid: Page):
    grid.route("**/chunks/view-*", lambda route: (grid.wait_for_timeout(300), route.continue_()))
    picture(grid, "large 1").dblclick()
    showing(grid, "large 1")
    expect(grid.locator(".pswp")).to_have_count(1)


def test_click_opens_the_picture_over_the_page_which_is_blurred_and_locked(grid: Page):
    lightbox = opened(grid, "large 1")
    expect(lightbox.locator(".pswp__counter")).to_have_text("2 / 3")
    expect(lightbox).to_have_css("backdrop-filter", "blur(24px)")
    expect(grid.locator("html")).to_have_css("overflow", "hidden")
    assert "/gallery/?tag=to-enlarge" in grid.url


def test_arrows_turn_and_escape_gives_the_focus_back_to_the_picture_shown_last(grid: Page):
    opened(grid, "large 2")
    grid.keyboard.press("ArrowRight")
    showing(grid, "large 1")
    grid.keyboard.press("Escape")
    expect(grid.locator(".pswp")).to_have_count(0)
    expect(picture(grid, "large 1")).to_be_focused()
    expect(grid.locator("html")).not_to_have_class("lightbox-open")


@pytest.mark.browser_context_args(has_touch=True)
def test_fingers_swipe_to_the_next_and_back(grid: Page):
    opened(grid, "large 2")
    swiped(grid, "large 1", by=-700)
    swiped(grid, "large 2", by=700)


def swiped(page: Page, title: str, *, by: int) -> None:
    """Swipes again where nothing came of it: while it opens, a lightbox follows no finger."""
    turned = page.locator(".pswp__title", has_text=title)

    def tried() -> bool:
        swipe(page, by=by)
        with suppress(PlaywrightTimeout):
            turned.wait_for(timeout=5000)
        return turned.count() == 1

    wait_for(tried, what=f"{title!r}")


def swipe(page: Page, *, by: int) -> None:
    """Of one finger, sideways: CSS pixels."""
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict[str, int]) -> None:
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    first = 450 - by // 2  # beside the facts
    touch("touchStart", {"x": first, "y": 360})
    for part in (1, 2, 3, 4):
        touch("touchMove", {"x": first + by * part // 4, "y": 360})
    touch("touchEnd")


def test_facts_stand_beside_and_are_hidden_by_a_key(grid: Page):
    lightbox = opened(grid, "large 0")
    facts = lightbox.get_by_role("complementary")
    expect(facts).to_contain_text("1,200 px")
    expect(facts).to_contain_text("file 0.jpg")
    expect(facts.get_by_role("link", name="to-enlarge")).to_be_visible()
    grid.keyboard.press("i")
    expect(facts).to_be_hidden()
    grid.keyboard.press("i")
    expect(facts).to_be_visible()


def test_one_click_downloads_the_original_under_its_own_name(grid: Page):
    lightbox = opened(grid, "large 0")
    with grid.expect_download() as download:
        lightbox.get_by_role("link", name="Download the original").click()
    assert download.value.suggested_filename == "file 0.jpg"
    assert download.value.path().read_bytes() == encoded(drawn(SEED, SIZE))


def test_picture_is_zoomed(grid: Page):
    lightbox = opened(grid, "large 0")
    shown = lightbox.locator(".pswp__item[aria-hidden=false] img.pswp__img").last
    expect(shown).to_be_visible()
    before = shown.bounding_box()["width"]
    lightbox.get_by_role("button", name="Zoom").click()
    grid.wait_for_function(
        "([image, width]) => image.getBoundingClientRect().width > width + 20", arg=[shown.element_handle(), before]
    )


def test_middle_click_leads_to_the_page_of_the_picture(grid: Page):
    with grid.context.expect_page() as other:
        picture(grid, "large 0").click(button="middle")
    # a tab behind another comes last where much else is to be done
    expect(other.value.get_by_role("heading", name="large 0")).to_be_visible(timeout=60_000)
    other.value.close()


def test_button_leads_to_the_page_of_the_picture(grid: Page):
    opened(grid, "large 0").get_by_role("link", name="Open its page").click()
    expect(grid.get_by_role("heading", name="large 0", level=1)).to_be_visible()


def test_result_is_compared_with_the_picture_searched_with(grid: Page, product: Product, client: Client):
    found = client.get("/assets/?tag=to-enlarge")["results"]
    grid.goto(f"{product.url}/?asset={found[0]['id']}&tag=to-enlarge")
    grid.locator(".hits a[data-lightbox]").first.click()
    lightbox = grid.locator(".pswp--open")
    lightbox.get_by_role("button", name="Compare with the picture searched with").click()
    expect(lightbox.get_by_alt_text("The picture searched with")).to_be_visible()
    both = [image.bounding_box() for image in lightbox.locator(".comparison img").all()]
    assert both[0]["x"] + both[0]["width"] <= both[1]["x"]

    lightbox.get_by_role("button", name="Slider").click()
    yours, theirs = (lightbox.get_by_text(words, exact=True).bounding_box() for words in ("Searched with", "Found"))
    view = lightbox.locator(".comparison-pictures").bounding_box()
    assert yours["x"] == pytest.approx(view["x"], abs=1)
    assert theirs["x"] + theirs["width"] == pytest.approx(view["x"] + view["width"], abs=1)
    slider = lightbox.get_by_role("slider")
    query = lightbox.locator("[data-query]")
    expect(query).to_have_css("clip-path", "inset(0px 50% 0px 0px)")
    slider.press("ArrowRight")
    expect(slider).to_have_value("51")
    lightbox.get_by_role("button", name="Result alone").click()
    expect(query).to_be_hidden()


def test_picture_that_comes_later_opens_as_well(grid: Page, product: Product, client: Client):
    asset = client.get("/assets/?tag=to-enlarge")["results"][0]
    grid.goto(f"{product.url}/assets/{asset['id']}/")
    grid.locator(".similar a[data-lightbox]").first.click()  # a fragment, swapped in
    expect(grid.locator(".pswp--open")).to_be_visible()


# --- the browser's history ------------------------------------------------------------------------------------


def closed(page: Page) -> None:
    expect(page.locator(".pswp")).to_have_count(0)


def test_back_closes_it_and_leaves_the_page_as_it_was(grid: Page):
    grid.evaluate("history.replaceState({ htmx: true }, '')")  # as filters do: htmx would load the page anew
    grid.evaluate("window.stays = true")
    opened(grid, "large 2")
    grid.keyboard.press("ArrowRight")
    showing(grid, "large 1")
    grid.wait_for_function("facts => history.state.lightbox === facts", arg=facts_of(grid, "large 1"))
    grid.go_back()
    closed(grid)
    expect(picture(grid, "large 1")).to_be_focused()
    assert "/gallery/?tag=to-enlarge" in grid.url
    assert grid.evaluate("window.stays")

    grid.go_forward()
    showing(grid, "large 1")
    grid.go_back()
    closed(grid)
    assert grid.evaluate("window.stays")


def test_back_while_it_opens_closes_it_once_it_is_open(grid: Page):
    grid.emulate_media(reduced_motion="no-preference")
    picture(grid, "large 1").click()
    grid.wait_for_function("() => history.state?.lightbox")
    grid.go_back()
    closed(grid)
    assert not grid.evaluate("history.state?.lightbox")


@pytest.mark.parametrize("close", ["Escape", "button"])
def test_closed_otherwise_it_leaves_nothing_to_go_back_through(grid: Page, product: Product, close: str):
    before = grid.url
    grid.goto(f"{product.url}/gallery/?tag=to-enlarge&sort=title")
    for title in ("large 0", "large 2"):
        lightbox = opened(grid, title)
        grid.keyboard.press("ArrowRight")
        grid.keyboard.press("ArrowLeft")
        showing(grid, title)
        if close == "button":
            lightbox.get_by_role("button", name="Close").click()
        else:
            grid.keyboard.press(close)
        closed(grid)
        expect(picture(grid, title)).to_be_focused()
    grid.go_back()
    expect(grid).to_have_url(before)


def test_picture_is_open_again_after_a_reload_and_on_the_way_back_from_its_page(grid: Page):
    opened(grid, "large 2")
    grid.keyboard.press("ArrowRight")
    grid.wait_for_function("facts => history.state.lightbox === facts", arg=facts_of(grid, "large 1"))
    grid.reload()
    showing(grid, "large 1").get_by_role("link", name="Open its page").click()
    expect(grid.get_by_role("heading", name="large 1", level=1)).to_be_visible()
    grid.go_back()
    showing(grid, "large 1")
    grid.go_back()
    closed(grid)


def facts_of(page: Page, title: str) -> str:
    return picture(page, title).get_attribute("data-facts") or ""


# --- sharper than its preview ---------------------------------------------------------------------------------


@pytest.fixture
def large(signed_in: Page, product: Product, client: Client):
    """large(format): the page of pictures tagged so, one of them larger than its preview."""

    def make(format: str) -> Page:
        data = encoded(drawn(SEED + 10 + len(format), LARGE), format)
        details = {"title": f"as {format}", "tags": f"large-{format}"}
        answer = client.session.post(
            f"{client.url}/assets/", files={"file": (f"large.{format.lower()}", data)}, data=details, timeout=60
        )
        answer.raise_for_status()
        signed_in.emulate_media(reduced_motion="reduce")
        signed_in.goto(f"{product.url}/gallery/?tag=large-{format}")
        return signed_in

    return make


def zoom(lightbox: Locator) -> None:
    lightbox.get_by_role("button", name="Zoom").click()


def preview_of(lightbox: Locator) -> Locator:
    return lightbox.locator(".pswp__item[aria-hidden=false] img.pswp__img:not(.sharper, .pswp__img--placeholder)")


#: In one step: both may be moving.
COVERS = """image => {
    const [one, other] = [image, image.previousElementSibling].map((each) => each.getBoundingClientRect());
    return ["x", "y", "width", "height"].every((side) => one[side] === other[side]);
}"""
WIDTH = "image => image.complete && image.naturalWidth"


def test_zoomed_into_it_becomes_as_sharp_as_the_original_and_shows_its_preview_until_then(large):
    page, held = large("PNG"), list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile("/download/"), hold)
    lightbox = opened(page, "as PNG")
    shown = preview_of(lightbox)
    expect(shown).to_be_visible()
    assert held == []
    with page.expect_request(re.compile(r"/download/$")):
        zoom(lightbox)
    expect(lightbox.locator(".sharper")).to_have_count(0)
    expect(shown).to_be_visible()
    assert shown.evaluate(WIDTH) == 1600

    held.pop().continue_()
    sharper = lightbox.locator(".sharper")
    expect(sharper).to_be_visible()
    assert sharper.evaluate(WIDTH) == LARGE[0]
    assert sharper.evaluate(COVERS)
    zoom(lightbox)  # out
    page.wait_for_function("image => image.getBoundingClientRect().width < 1600", arg=shown.element_handle())
    assert sharper.evaluate(COVERS)
    assert held == []


def test_what_browsers_do_not_show_becomes_as_sharp_as_the_largest_size(large):
    page = large("TIFF")
    lightbox = opened(page, "as TIFF")
    zoom(lightbox)
    expect(lightbox.locator(".sharper")).to_have_attribute("src", re.compile(r"/download/\?size=2000$"))
    assert lightbox.locator(".sharper").evaluate(WIDTH) == 2000


def test_preview_stays_where_nothing_sharper_can_be_had(large):
    page = large("WEBP")
    page.route(re.compile("/download/"), lambda route: route.fulfill(status=503))
    lightbox = opened(page, "as WEBP")
    with page.expect_response(re.compile("/download/")):
        zoom(lightbox)
    page.keyboard.press("z")
    expect(preview_of(lightbox)).to_be_visible()
    expect(lightbox.locator(".sharper")).to_have_count(0)
    expect(lightbox.get_by_text("cannot be loaded")).to_have_count(0)
