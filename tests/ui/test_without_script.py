"""What a person does where no script runs: every page works, but for dropping files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import drawn, encoded
from tests.product import PASSWORD, Client, Product
from tests.ui.conftest import SIZE

pytestmark = [pytest.mark.product, pytest.mark.browser]

#: Addresses that the main pages and the menu lead to.
PAGES = [
    "/",
    "/gallery/",
    "/collections/",
    "/tags/",
    "/upload/",
    "/import/",
    "/imports/",
    "/work/",
    "/trash/",
    "/reports/",
]


@pytest.fixture
def plain(browser: Browser, product: Product) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{product.url}/login/")
    page.locator("[name=username]").fill("admin")
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    yield page
    context.close()


def saved(folder: Path, seed: int) -> Path:
    path = folder / f"plain {seed}.jpg"
    path.write_bytes(encoded(drawn(seed, SIZE)))
    return path


@pytest.mark.parametrize("address", PAGES)
def test_page_is_reached_and_has_a_heading(plain: Page, product: Product, address: str):
    answer = plain.goto(product.url + address)
    assert answer is not None
    assert answer.status == 200
    expect(plain.get_by_role("heading", level=1)).to_be_visible()


def test_picture_is_uploaded_and_its_fate_told(plain: Page, product: Product, tmp_path: Path):
    plain.goto(f"{product.url}/upload/")
    plain.locator("input[type=file][name=file]").first.set_input_files(saved(tmp_path, 9001))
    plain.get_by_role("button", name="Upload").last.click()
    expect(plain.get_by_role("link", name="plain 9001").first).to_be_visible()


def test_picture_is_searched_with(plain: Page, product: Product, stored: Callable[..., Any], tmp_path: Path):
    stored(9002, title="without script")
    plain.goto(product.url)
    plain.locator("input[type=file][name=image]").first.set_input_files(saved(tmp_path, 9002))
    plain.get_by_role("button", name="Search").first.click()
    expect(plain.locator(".hit").first).to_contain_text("without script")


def test_asset_is_deleted_and_restored(plain: Page, product: Product, client: Client, stored: Callable[..., Any]):
    made = stored(9003, title="there and back")
    plain.goto(f"{product.url}/assets/{made['id']}/")
    plain.get_by_role("button", name="Move to the trash").click()
    plain.goto(f"{product.url}/trash/")
    row = plain.locator("li", has_text="there and back")
    row.get_by_role("button", name="Restore").click()
    assert client.get(f"/assets/{made['id']}/")["title"] == "there and back"


def test_selected_pictures_are_tagged_moved_and_deleted_in_bulk(
    plain: Page, product: Product, client: Client, stored: Callable[..., Any]
):
    made = [stored(9010 + place, title=f"in bulk {place}", tags="plain-bulk") for place in range(3)]

    def choose(act: str, *, menu: str = "", field: str = "", text: str = "") -> None:
        plain.goto(f"{product.url}/gallery/?tag=plain-bulk")
        for title in ("in bulk 0", "in bulk 2"):
            plain.locator(".tile", has_text=title).get_by_role("checkbox").check()
        bar = plain.get_by_role("form", name="What is selected")
        if menu:
            bar.locator("summary", has_text=menu).click()
            bar.get_by_label(field).fill(text)
        bar.get_by_role("button", name=act, exact=True).click()

    choose("Add", menu="Tag", field="Tags, separated by commas", text="of-two")
    choose("Move", menu="Move", field="Or to a new one", text="Plainly moved")
    told = [client.get(f"/assets/{asset['id']}/") for asset in made]
    assert ["of-two" in asset["tags"] for asset in told] == [True, False, True]
    plain.goto(f"{product.url}/collections/")
    plain.get_by_role("link", name="Plainly moved").click()
    expect(plain.locator(".tile")).to_have_count(2)

    choose("Delete")
    assert len(client.get("/assets/", tag="plain-bulk")["results"]) == 1
    plain.get_by_role("button", name="Undo").first.click()
    assert len(client.get("/assets/", tag="plain-bulk")["results"]) == 3


def test_collection_is_made_renamed_and_deleted(plain: Page, product: Product):
    plain.goto(f"{product.url}/collections/")
    plain.get_by_label("Name of a new collection").fill("Plainly made")
    plain.get_by_role("button", name="Create").click()
    plain.get_by_role("link", name="Edit").click()
    plain.get_by_label("Name", exact=True).fill("Plainly renamed")
    plain.get_by_role("button", name="Save").click()
    expect(plain.get_by_role("heading", name="Plainly renamed", level=1)).to_be_visible()
    plain.get_by_role("link", name="Delete").click()
    plain.get_by_role("button", name="Delete").click()
    expect(plain.get_by_role("link", name="Plainly renamed")).to_have_count(0)


def test_tag_is_renamed_and_merged(plain: Page, product: Product, client: Client, stored: Callable[..., Any]):
    made = [stored(9020 + place, title=f"labelled {place}", tags=f"plain-label-{place}") for place in range(2)]
    edited(plain, product, "plain-label-0")
    plain.get_by_label("Name").fill("plain-label-new")
    plain.get_by_role("button", name="Save").click()
    edited(plain, product, "plain-label-new")
    plain.get_by_role("link", name="Merge…").click()
    plain.get_by_label("The tag that stays").fill("plain-label-1")
    plain.get_by_role("button", name="Go on").click()
    plain.get_by_role("button", name="Merge").click()
    assert [client.get(f"/assets/{asset['id']}/")["tags"] for asset in made] == [["plain-label-1"]] * 2


def edited(page: Page, product: Product, tag: str) -> None:
    """Leads to the form of a tag, by way of the list."""
    page.goto(f"{product.url}/tags/?q={tag}")
    page.get_by_role("link", name=f"Edit tag {tag}").click()


def test_report_is_made_of_several_pictures(plain: Page, product: Product, stored: Callable[..., Any], tmp_path: Path):
    stored(9030, title="reported plainly")
    plain.goto(f"{product.url}/reports/")
    plain.locator("input[name=picture]").set_input_files([saved(tmp_path, 9030), saved(tmp_path, 9031)])
    plain.get_by_role("button", name="Make a match report").click()
    sections = plain.locator("[data-sections] > li")
    expect(sections).to_have_count(2)
    expect(sections.filter(has_text="plain 9030")).to_contain_text("reported plainly")
    plain.get_by_role("link", name="Contact sheet").click()
    expect(plain.get_by_text("plain 9031")).to_be_visible()


def test_pictures_are_looked_for_and_nothing_is_stored(
    plain: Page, product: Product, client: Client, stored: Callable[..., Any], tmp_path: Path
):
    stored(9040, title="had plainly")
    plain.goto(f"{product.url}/reports/have/")
    plain.locator("input[name=picture]").set_input_files([saved(tmp_path, 9040), saved(tmp_path, 9041)])
    plain.get_by_role("button", name="Look for them").click()
    expect(plain.locator("[data-tally=found]")).to_contain_text("1")
    expect(plain.locator("[data-sections] > li")).to_have_count(2)
    assert len(client.get("/assets/", q="had plainly")["results"]) == 1
    assert client.get("/assets/", q="plain 9041")["results"] == []
