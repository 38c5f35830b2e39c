"""Importing, and searching by an address, in a real browser."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded
from tests.gallery.test_import_zip import packed
from tests.product import Product
from tests.server import Server, answer, running

pytestmark = [pytest.mark.product, pytest.mark.browser]

SIZE = (320, 240)
#: Milliseconds; the first task waits for its worker to start.
DONE = 60_000
ADDRESS = "127.0.0.2"


@pytest.fixture(scope="module")
def product(tmp_path_factory, prepared) -> Iterator[Product]:
    made = Product(
        tmp_path_factory.mktemp("product") / "data",
        prepared=prepared,
        FETCH_ALLOWED_NETWORKS=str(ip_address(ADDRESS)),
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """A server of pictures 1.jpg to 3.jpg."""
    files = {f"/{seed}.jpg": encoded(drawn(seed, SIZE)) for seed in (1, 2, 3)}

    def answers(request: str) -> list[bytes]:
        path = request.split()[1]
        return [answer(files[path]) if path in files else answer(status="404 Not Found")]

    with running(Server(ADDRESS, answers)) as server:
        yield f"http://{ADDRESS}:{server.port}"


def to_import(page: Page) -> None:
    page.locator(".header .menu summary").click()
    page.get_by_role("link", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name="Import", level=1)).to_be_visible()


def test_zip_is_imported_while_the_page_looks_on(home: Page):
    page = home
    to_import(page)
    pictures = [(f"{seed}.jpg", encoded(drawn(seed, SIZE))) for seed in (1, 2, 3)]
    data = packed(*pictures, ("../evil.jpg", b"x"))
    page.get_by_label("ZIP file").set_input_files(
        [{"name": "shoot.zip", "mimeType": "application/zip", "buffer": data}]
    )
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="shoot.zip")).to_be_visible()
    expect(page.locator(".import .badge")).to_have_text("Done", timeout=DONE)
    expect(page.locator(".tally dd")).to_have_text(["3", "0", "1"])
    expect(page.locator(".refusals")).to_contain_text("../evil.jpg")
    page.get_by_role("link", name="See them in the gallery").click()
    expect(page.locator(".tile")).to_have_count(3)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/plain", "At most 2 MB."), ("application/json", '{"code": "too_large", "detail": "At most 2 MB."}')],
)
def test_what_is_too_large_is_told_and_the_form_stays(home: Page, content_type: str, body: str):
    page = home
    to_import(page)
    page.route("**/import/", lambda route: route.fulfill(status=413, content_type=content_type, body=body))
    page.get_by_label("addresses").fill("http://example.com/a.jpg")
    page.get_by_role("button", name="Import").click()
    expect(page.locator(".toast.error")).to_have_text(re.compile(r"^At most 2 MB\."))
    expect(page.get_by_label("addresses")).to_have_value("http://example.com/a.jpg")


def test_lines_that_are_no_url_are_named_and_the_form_stays(home: Page):
    page = home
    to_import(page)
    page.get_by_label("Tags").fill("web")
    page.get_by_label("addresses").fill("words")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("alert")).to_contain_text("Line 1")
    expect(page.get_by_label("addresses")).to_have_value("words")
    expect(page.get_by_label("Tags")).to_have_value("web")


def test_picture_at_an_address_is_searched_with_as_an_uploaded_one(home: Page, product: Product, web: str):
    page = home
    client = product.sign_in()
    for seed in (1, 2, 3):
        client.upload(f"{seed}.jpg", encoded(drawn(seed, SIZE)))
    field = page.get_by_placeholder("address of a picture")
    field.fill(f"{web}/2.jpg")
    field.press("Enter")
    hits = page.locator(".hit")
    expect(hits.first.get_by_text("Identical")).to_be_visible()
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator("#picture-name")).to_have_text("2.jpg")

    expect(hits).to_have_count(3)
    page.get_by_label("How many").fill("1")
    page.get_by_label("How many").press("Enter")
    expect(hits).to_have_count(1)

    field.fill(f"{web}/gone.jpg")
    field.press("Enter")
    expect(page.locator("#results")).to_contain_text("The server answers 404 Not Found.")
    expect(page.locator("#picture")).to_be_hidden()
