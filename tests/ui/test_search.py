"""The search page with one query, as a person uses it."""

import re
import zipfile
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import drawn, encoded
from tests.product import wait_for

pytestmark = [pytest.mark.product, pytest.mark.browser]

SIZE = (640, 480)


@pytest.fixture
def searched(signed_in: Page, stored, product) -> Page:
    """With a picture from outside that the first of four assets has the bytes of."""
    for seed in range(8200, 8204):
        stored(seed, title=f"Sought {seed}", tags="sought, picked" if seed == 8200 else "sought")
    page = signed_in
    page.goto(f"{product.url}/?tag=sought")
    page.locator("#image").set_input_files({"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": _bytes(8200)})
    expect(page.locator(".hit")).to_have_count(4)
    return page


def _bytes(seed: int) -> bytes:
    return encoded(drawn(seed, SIZE))


def _asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


def _titles(page: Page) -> list[str]:
    return page.locator(".hit-title a").all_inner_texts()


def test_query_that_did_not_come_through_is_tried_again(searched: Page):
    page = searched
    page.route("**/*", lambda route: route.abort())
    page.locator("[name=k]").first.fill("20")
    page.keyboard.press("Tab")
    told = page.locator(".toast", has_text="The server cannot be reached.")
    expect(told).to_be_visible()
    page.unroute("**/*")
    told.get_by_role("button", name="Retry").click()
    expect(page).to_have_url(re.compile("k=20"))
    expect(told).to_have_count(0)


def test_picture_is_searched_with_again_after_it_did_not_come_through(home: Page, stored):
    stored(8205, title="Sought again")
    page, picture = home, {"name": "again.jpg", "mimeType": "image/jpeg", "buffer": _bytes(8205)}
    page.route("**/*", lambda route: route.abort())
    page.locator("#image").set_input_files(picture)
    expect(page.locator(".toast", has_text="The server cannot be reached.")).to_be_visible()
    page.unroute("**/*")
    page.locator("#image").dispatch_event("change")
    expect(page.locator(".hit").first).to_contain_text("Identical")


def test_uploaded_query_has_an_address_that_is_reloaded_and_gone_back_to(searched: Page):
    page = searched
    expect(page.locator(".hit").first).to_contain_text("Identical")
    first, titles = page.url, _titles(page)
    assert set(_asked(page)) == {"query", "tag"}
    page.reload()
    expect(page.locator("#picture-name")).to_have_text("mine.jpg")
    assert _titles(page) == titles

    page.locator(".hit").nth(1).get_by_role("link", name="Find similar").click()
    expect(page).to_have_url(re.compile(r"asset=\d+&tag=sought"))
    expect(page.locator(".hit")).to_have_count(3)
    page.go_back()
    expect(page).to_have_url(first)
    expect(page.locator(".hit")).to_have_count(4)


def test_region_is_drawn_moved_by_keys_and_taken_away(searched: Page):
    page = searched
    expect(page.get_by_text("Draw a box on the picture to search with that region.")).to_be_visible()
    box = page.locator("#picture").bounding_box()
    assert box

    def at(x: float, y: float) -> tuple[float, float]:
        return box["x"] + box["width"] * x, box["y"] + box["height"] * y

    page.mouse.move(*at(0.25, 0.25))
    page.mouse.down()
    page.mouse.move(*at(0.5, 0.5))
    page.mouse.move(*at(0.75, 0.75))
    page.mouse.up()
    expect(page).to_have_url(re.compile("crop="))
    drawn_region = [float(part) for part in _asked(page)["crop"][0].split(",")]
    assert drawn_region == pytest.approx([0.25, 0.25, 0.5, 0.5], abs=0.02)
    expect(page.locator(".hit").first).not_to_contain_text("1.000")

    page.locator("[data-region]").press("ArrowRight")
    expect(page).not_to_have_url(re.compile(f"crop={_asked(page)['crop'][0]}"))
    x, y, *size = [float(part) for part in _asked(page)["crop"][0].split(",")]
    assert (x, y) == pytest.approx((drawn_region[0] + 0.02, drawn_region[1]), abs=1e-3)
    assert size == pytest.approx(drawn_region[2:], abs=1e-3)

    page.locator("[data-region]").press("Delete")
    expect(page).not_to_have_url(re.compile("crop="))
    expect(page.locator(".hit").first.locator(".hit-similarity")).to_contain_text("1.000")


def test_region_is_given_in_numbers(searched: Page):
    page = searched
    page.get_by_text("Search with a region").click()
    page.locator("#crop").fill("0,0,0.5,1")
    page.locator("#crop").press("Enter")
    expect(page).to_have_url(re.compile(r"crop=0(,|%2C)0(,|%2C)0.5(,|%2C)1"))
    page.locator("#crop").fill("0,0,2,2")
    page.locator("#crop").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("inside the picture")


def test_hits_and_further_pictures_are_marked_plus_and_minus_turned_and_taken_out(searched: Page):
    page = searched
    page.locator(".hit").nth(1).get_by_role("link", name="More like").click()
    expect(page.locator(".part")).to_have_count(2)
    expect(page.locator(".hit")).to_have_count(3)
    page.locator(".hit").nth(2).get_by_role("link", name="Less like").click()
    expect(page.locator(".part[data-minus]")).to_have_count(1)
    expect(page.locator(".hit")).to_have_count(2)
    chooser = page.locator("#add-form input[type=file]")
    chooser.set_input_files({"name": "further.jpg", "mimeType": "image/jpeg", "buffer": _bytes(8290)})
    expect(page.locator(".part")).to_have_count(4)
    assert {name: len(values) for name, values in _asked(page).items()} == {
        "query": 1, "plus": 2, "minus": 1, "tag": 1
    }  # fmt: skip

    page.locator(".part[data-minus]").get_by_role("link", name="More like").click()
    expect(page.locator(".part[data-minus]")).to_have_count(0)
    page.reload()
    expect(page.locator(".part")).to_have_count(4)
    for left in (3, 2):
        page.locator(".part").last.get_by_role("link", name="out of the search").click()
        expect(page.locator(".part")).to_have_count(left)


def test_filters_change_the_results_and_the_address_and_links_keep_them(searched: Page):
    page = searched
    page.get_by_label("How many").fill("2")
    page.get_by_label("How many").press("Tab")
    expect(page.locator(".hit")).to_have_count(2)
    expect(page).to_have_url(re.compile("k=2"))
    page.get_by_label("Similarity from").fill("1")
    page.get_by_label("Similarity from").press("Tab")
    page.get_by_label("Similarity from").fill("")
    page.get_by_label("Similarity from").press("Tab")
    expect(page.locator(".hit")).to_have_count(2)
    page.locator(".hit").nth(1).get_by_role("link", name="More like").click()
    expect(page.locator(".part")).to_have_count(2)
    assert _asked(page)["k"] == ["2"]


def test_escape_begins_anew(searched: Page):
    searched.keyboard.press("Escape")
    expect(searched.get_by_role("heading", name="Search with a picture")).to_be_visible()
    expect(searched.locator(".hit")).to_have_count(0)


def test_hits_are_selected_and_reached_by_arrows(searched: Page):
    page = searched
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".hit a").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.locator(".hit.selected")).to_have_count(1)
    expect(page.locator(".hit").nth(1)).to_have_class(re.compile("selected"))
    expect(page.locator("[data-count]")).to_contain_text("1")
    page.keyboard.press("Escape")
    expect(page.locator(".hit.selected")).to_have_count(0)
    expect(page.locator(".hit")).to_have_count(4)


def test_hits_are_tagged_moved_and_downloaded(searched: Page, client, tmp_path):
    page = searched
    page.locator(".hit a").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    ids = [page.locator(".hit").nth(place).get_attribute("data-asset") for place in (0, 1)]
    page.locator("[data-bulk] summary", has_text="Tag").click()
    page.get_by_label("Tags, separated by commas").fill("of a search")
    page.locator("[data-bulk]").get_by_role("button", name="Add").click()
    expect(page.get_by_text("2 assets were tagged.")).to_be_visible()
    page.locator("[data-bulk] summary", has_text="Move").click()
    page.get_by_label("Or to a new one").fill("found by a search")
    page.locator("[data-bulk]").get_by_role("button", name="Move").click()
    expect(page.get_by_text("2 assets were moved.")).to_be_visible()
    for asset in (client.get(f"/assets/{pk}/") for pk in ids):
        assert ("of a search" in asset["tags"], asset["collection"] is not None) == (True, True)
    with page.expect_download() as downloading:
        page.locator("[data-bulk]").get_by_role("button", name="Download").click()
    downloading.value.save_as(tmp_path / "hits.zip")
    with zipfile.ZipFile(tmp_path / "hits.zip") as packed:
        assert len(packed.namelist()) == 2


def test_search_goes_without_script(browser, product, searched: Page):
    context = browser.new_context(java_script_enabled=False, storage_state=searched.context.storage_state())
    page = context.new_page()
    page.goto(f"{product.url}/?tag=sought")
    page.locator("#image").set_input_files({"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": _bytes(8201)})
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".hit")).to_have_count(4)
    assert set(_asked(page)) == {"query", "tag"}
    page.get_by_text("Search with a region").click()
    page.locator("#crop").fill("0,0,0.5,1")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("crop="))
    page.locator(".hit").nth(1).get_by_role("link", name="Less like").click()
    expect(page.locator(".part")).to_have_count(2)
    context.close()


def test_counts_stand_beside_the_filters_and_chips_take_them_away(searched: Page):
    page = searched
    sought = page.locator("#facets .facet-value", has_text="sought")
    expect(sought).to_contain_text("4")
    page.get_by_label("Similarity from").fill("0.01")
    page.get_by_label("Similarity from").press("Tab")
    chip = page.locator(".chip", has_text="Similarity from")
    expect(chip).to_be_visible()
    chip.click()
    expect(page).not_to_have_url(re.compile("min_similarity="))
    expect(page.locator(".hit")).to_have_count(4)

    page.get_by_role("link", name="Clear all").click()
    expect(page).to_have_url(re.compile(r"\?query=[-\w]+$"))
    sought.click()
    expect(page).to_have_url(re.compile("tag=sought"))
    expect(page.locator(".chip", has_text="sought")).to_be_visible()
    expect(page.locator(".hit")).to_have_count(4)


@pytest.fixture
def narrowed(signed_in: Page, stored, product) -> Page:
    """Three hits for an asset, of which one is a PNG and upright."""
    [asset, *_] = [stored(seed, title=f"Broad {seed}", tags="narrowed") for seed in range(8210, 8213)]
    stored(8213, title="Tall", size=(480, 700), format="PNG", tags="narrowed")
    signed_in.goto(f"{product.url}/?asset={asset['id']}&tag=narrowed")
    expect(signed_in.locator(".hit")).to_have_count(3)
    expect(signed_in.locator("#format-any")).to_be_checked()
    return signed_in


def test_counts_that_come_late_take_no_choice_back(narrowed: Page, product):
    page, held = narrowed, list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile("/facets/.*format=PNG"), hold)
    with page.expect_request(re.compile("/facets/.*format=PNG")):
        page.locator("#facets [name=format][value=PNG]").check()
    page.route(re.compile(r":\d+/\?(?!.*format)"), hold)
    page.locator("#format-any").check()
    wait_for(lambda: page.evaluate("1") and len(held) == 2, what="both requests")
    held[0].continue_()
    page.evaluate("url => fetch(url).then(answer => answer.text())", f"{product.url}/gallery/")  # by then it has come
    with page.expect_request(re.compile("/facets/")) as asked:
        held[1].continue_()
    assert "format" not in asked.value.url
    expect(page.locator(".hit")).to_have_count(3)
    expect(page.locator("#format-any")).to_be_checked()


def test_results_are_narrowed_down_by_format_shape_size_and_date(narrowed: Page):
    page, hits = narrowed, narrowed.locator(".hit")
    for name, value in (("format", "PNG"), ("orientation", "portrait")):
        page.locator(f"#facets [name={name}][value={value}]").check()
        expect(hits).to_have_count(1)
        expect(hits).to_contain_text("Tall")
        assert _asked(page)[name] == [value]
        page.locator(f"#{name}-any").check()
        expect(hits).to_have_count(3)
    page.get_by_text("More filters").click()
    fields = {"Width from": "481", "Height to": "699", "Uploaded to": "2020-12-31"}
    for (label, value), left in zip(fields.items(), (2, 2, 0), strict=True):
        field = page.locator("#filters").get_by_label(label, exact=True)
        for text, count in ((value, left), ("", 3)):
            field.fill(text)
            field.press("Tab")
            expect(hits).to_have_count(count)
    page.locator("#filters").get_by_label("File size from", exact=True).select_option("100.0\xa0KB")
    expect(page).to_have_url(re.compile("min_size_bytes=102400"))
    page.reload()
    expect(hits).to_have_count(1)


def test_results_are_narrowed_down_by_collection_and_by_tags_with_and_or_and_not(signed_in: Page, stored, product):
    page, hits = signed_in, signed_in.locator(".hit")
    inside = {"collection": _collection(page, product, "Narrowing")}
    [asset, *_] = [
        stored(8220, title="Plain", tags="all-four"),
        stored(8221, title="Red", tags="all-four, red-one", **inside),
        stored(8222, title="Red and round", tags="all-four, red-one, round-one", **inside),
        stored(8223, title="Round", tags="all-four, round-one"),
    ]
    page.goto(f"{product.url}/?asset={asset['id']}&tag=all-four")
    expect(hits).to_have_count(3)

    page.locator("#facets .facet-value", has_text="Narrowing").click()
    expect(hits).to_have_count(2)
    page.locator("#facets .facet-value", has_text="round-one").click()  # as well
    expect(hits).to_have_count(1)
    expect(hits).to_contain_text("Red and round")
    page.locator("#facets .facet-value", has_text="round-one").click()
    expect(hits).to_have_count(2)
    page.locator(".chip", has_text="Narrowing").click()
    expect(hits).to_have_count(3)

    page.get_by_text("More filters").click()
    for name, tags, left in (("any_tag", "red-one, round-one", 3), ("not_tag", "round-one", 1)):
        page.locator(f"#filters [name={name}]").fill(tags)
        page.keyboard.press("Tab")
        expect(page).to_have_url(re.compile(f"{name}="))
        expect(hits).to_have_count(left)
    expect(hits.locator(".hit-title")).to_have_text("Red")
    page.reload()
    expect(hits.locator(".hit-title")).to_have_text("Red")


def _collection(page: Page, product, name: str) -> str:
    page.goto(f"{product.url}/collections/")
    page.get_by_label("Name of a new collection").fill(name)
    page.get_by_role("button", name="Create").click()
    page.wait_for_url(re.compile(r"/collections/\d+/"))
    return page.url.split("/")[-2]


def test_search_is_saved_opened_renamed_and_deleted(searched: Page):
    page = searched
    name = "Sought and saved"
    page.locator(".save summary").click()
    page.get_by_label("Name of the search").fill(name)
    page.locator(".save").get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text(name)
    expect(page.locator(".hit")).to_have_count(4)
    asked = _asked(page)

    page.locator(".header summary").click()
    page.get_by_role("link", name="Saved searches").click()
    card = page.locator(".cover", has_text=name)
    card.get_by_role("link", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("Renamed and saved")
    page.locator("#dialog").get_by_role("button", name="Rename").click()
    card = page.locator(".cover", has_text="Renamed and saved")
    card.locator(".cover-link").click()
    expect(page.locator(".hit")).to_have_count(4)
    assert _asked(page) == asked

    page.go_back()
    card.get_by_role("link", name="Delete").click()
    page.locator("#dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("was deleted")).to_be_visible()
    expect(card).to_have_count(0)


@pytest.mark.browser_context_args(viewport={"width": 390, "height": 844})
def test_first_results_are_in_sight_on_a_phone(signed_in: Page, stored, product):
    [asset, *_] = [stored(seed, title=f"Small {seed}", tags="on-a-phone") for seed in range(8230, 8233)]
    signed_in.goto(f"{product.url}/?asset={asset['id']}&tag=on-a-phone")
    expect(signed_in.locator(".hit-image").first).to_be_in_viewport(ratio=0.25)  # below the banner and a chip


def test_how_it_was_found_and_how_near_it_is_are_said(searched: Page):
    expect(searched.locator(".how")).to_contain_text("exact")
    expect(searched.locator(".how")).to_contain_text("ms to search")
    expect(searched.locator(".hit-similarity").first).to_contain_text("1.000")
    bars = searched.locator(".hit .bar-part").evaluate_all("all => all.map(bar => bar.getBoundingClientRect().width)")
    assert bars == sorted(bars, reverse=True)
    assert bars[0] > 50
