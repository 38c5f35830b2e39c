"""Theme and language, as a reader chooses them."""

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded
from tests.product import Product

pytestmark = [pytest.mark.product, pytest.mark.browser]

BACKGROUND = "getComputedStyle(document.body).backgroundColor"


def open_menu(page: Page) -> None:
    page.locator(".header .menu summary").click()


def test_theme_is_chosen_and_kept(home: Page):
    page = home
    light = page.evaluate(BACKGROUND)
    open_menu(page)
    page.get_by_label("Theme").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(BACKGROUND) != light
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_theme_follows_the_system_unless_chosen(home: Page):
    page = home
    light = page.evaluate(BACKGROUND)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(BACKGROUND) != light


def test_language_is_chosen_and_kept(home: Page):
    page = home
    open_menu(page)
    page.get_by_label("Language · 语言").select_option("zh-hans")
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")


def test_language_is_what_the_browser_asks_for(browser, product):
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(f"{product.url}/login/")
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    context.close()


def test_scripts_speak_the_language_of_the_page(home: Page, product: Product):
    page = home
    open_menu(page)
    page.get_by_label("Language · 语言").select_option("zh-hans")
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    page.goto(f"{product.url}/upload/")
    picture = {"name": "chinese.jpg", "mimeType": "image/jpeg", "buffer": encoded(drawn(77_400, (640, 480)))}
    page.locator("#files").set_input_files([picture])  # type: ignore[list-item]
    uploads = page.get_by_role("complementary", name="上传")
    expect(uploads.locator(".file")).to_contain_text("已添加", timeout=60_000)
    page.goto(f"{product.url}/gallery/")
    page.locator("[data-asset] a").first.focus()
    page.keyboard.press("x")
    expect(page.locator("[data-count]")).to_have_text("已选 1 个")


#: A ring is drawn around what the keyboard reached, or around what stands for it.
_RING = """() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    const shows = (element) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        const { width, height } = element.getBoundingClientRect();
        return outlineStyle !== "none" && parseFloat(outlineWidth) >= 1 && width > 1 && height > 1;
    };
    const around = [at, at.nextElementSibling, at.closest("label"), at.parentElement, at.parentElement.parentElement];
    return [at.outerHTML.slice(0, 160), around.filter(Boolean).some(shows)];
}"""
STOPS = 60


@pytest.mark.parametrize(
    "path",
    [
        "/", "/gallery/", "/upload/", "/assets/{id}/", "/?asset={id}", "/work/", "/collections/", "/tags/", "/import/",
        "/reports/have/", "/trash/", "/admin/",
    ],
)  # fmt: skip
def test_keyboard_shows_where_it_is(signed_in: Page, product: Product, stored, path: str):
    page, asset = signed_in, stored(77_401, title="Focused")
    page.goto(product.url + path.format(**asset))
    reached, hidden = [], []
    for _ in range(STOPS):
        page.keyboard.press("Tab")
        if (found := page.evaluate(_RING)) is None or (reached and found[0] == reached[0]):
            break
        reached.append(found[0])
        hidden += [] if found[1] else [found[0]]
    assert len(reached) > 8
    assert hidden == []


#: What would move by itself or on its way from one look to another.
_MOVING = """[...document.querySelectorAll("body *")].filter((element) => {
    const { animationName, transitionDuration } = getComputedStyle(element);
    return animationName !== "none" || parseFloat(transitionDuration) > 0;
}).length"""


def test_nothing_moves_for_who_asks_for_less_motion(signed_in: Page, product: Product) -> None:
    for address in ("/", "/gallery/", "/upload/", "/work/", "/collections/", "/tags/", "/reports/have/", "/compare/"):
        signed_in.goto(product.url + address)
        signed_in.emulate_media(reduced_motion="no-preference")
        assert signed_in.evaluate(_MOVING) > 0, address
        signed_in.emulate_media(reduced_motion="reduce")
        assert signed_in.evaluate(_MOVING) == 0, address
