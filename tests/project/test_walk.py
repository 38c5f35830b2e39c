"""A person's way through the product, in a real browser."""

import base64
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded

pytestmark = [pytest.mark.product, pytest.mark.browser]

SIZE = (640, 480)
#: Milliseconds; embedding a picture takes a fraction of a second once the worker has loaded its encoder.
READY = 60_000

DROP = """({ names, contents }) => {
    const transfer = new DataTransfer();
    for (const [i, content] of contents.entries()) {
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], names[i], { type: "image/jpeg" }));
    }
    for (const type of ["dragenter", "dragover", "drop"]) {
        document.body.dispatchEvent(
            new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true })
        );
    }
}"""


def drop(page: Page, files: dict[str, bytes]) -> None:
    contents = [base64.b64encode(data).decode() for data in files.values()]
    page.evaluate(DROP, {"names": list(files), "contents": contents})


def to_upload(page: Page) -> None:
    """To the upload page, once its script has taken over from the plain form."""
    page.get_by_role("link", name="Upload", exact=True).click()
    expect(page.get_by_role("heading", name="Upload", exact=True)).to_be_visible()
    expect(page.locator("[data-no-script]")).to_have_count(0)


def test_upload_by_drop_search_open_and_download(home: Page, tmp_path: Path):
    page = home
    files = {f"picture {seed}.jpg": encoded(drawn(seed, SIZE)) for seed in (1, 2, 3)}
    to_upload(page)
    drop(page, files)
    expect(page.locator(".file-state .badge-ready")).to_have_count(3, timeout=READY)

    page.get_by_role("navigation", name="Main").get_by_role("link", name="Search").click()
    expect(page.get_by_role("heading", name="Search with a picture")).to_be_visible()
    page.wait_for_load_state()  # scripts included
    expect(page.locator("[data-no-script]")).to_have_count(0)
    smaller = drawn(2, SIZE).resize((300, 225))
    drop(page, {"fourth.jpg": encoded(smaller, quality=70)})
    hits = page.locator(".hit")
    expect(hits).to_have_count(3)
    expect(hits.first.locator(".hit-title")).to_contain_text("picture 2")
    assert float(hits.first.locator(".hit-similarity").inner_text().split()[-1]) > 0.98

    hits.first.locator(".hit-title a").click()
    expect(page.get_by_role("heading", name="picture 2", level=1)).to_be_visible()
    expect(page.locator(".similar .hit")).to_have_count(2)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download original").click()
    downloaded = downloading.value
    downloaded.save_as(tmp_path / "downloaded")
    assert downloaded.suggested_filename == "picture 2.jpg"
    assert (tmp_path / "downloaded").read_bytes() == files["picture 2.jpg"]


def test_each_file_of_an_upload_is_told_its_fate(home: Page):
    page = home
    to_upload(page)
    drop(page, {"fate.jpg": encoded(drawn(40, SIZE))})
    expect(page.locator(".file-state .badge")).to_have_count(1)
    drop(page, {"again.jpg": encoded(drawn(40, SIZE)), "broken.jpg": b"no picture", "empty.jpg": b""})
    rows = page.locator(".file")
    expect(rows.filter(has_text="Identical to")).to_have_count(1)
    expect(rows.filter(has_text="This is no picture we can read")).to_have_count(1)
    expect(rows.filter(has_text="empty")).to_have_count(1)


def test_pasted_picture_is_searched_with(home: Page):
    page = home
    page.evaluate(
        """(content) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "pasted.jpg", { type: "image/jpeg" }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
        }""",
        base64.b64encode(encoded(drawn(2, SIZE))).decode(),
    )
    expect(page.locator(".hit").first).to_be_visible()


def test_gallery_filters_and_opens_an_asset(home: Page):
    page = home
    to_upload(page)
    drop(page, {"unmistakable name.jpg": encoded(drawn(60, SIZE))})
    expect(page.locator(".file-state .badge-ready")).to_have_count(1, timeout=READY)
    page.get_by_role("link", name="Gallery", exact=True).click()
    page.get_by_role("searchbox").fill("unmistak")
    tiles = page.locator("[data-grid] a:has(img)")
    expect(tiles).to_have_count(1)
    expect(page).to_have_url(re.compile("q=unmistak"))
    tiles.first.click()
    page.get_by_role("link", name="Open its page").click()
    expect(page.get_by_role("heading", name="unmistakable name", level=1)).to_be_visible()


def test_built_in_encoder_is_named_to_the_person(home: Page):
    expect(home.get_by_text("built-in encoder").first).to_be_visible()


def test_admin_lists_assets_with_thumbnails(signed_in: Page, product):
    page = signed_in
    page.goto(f"{product.url}/admin/gallery/asset/")
    thumbnail = page.locator("#result_list img").first
    expect(thumbnail).to_be_visible()
    assert thumbnail.evaluate("image => image.complete && image.naturalWidth > 0")
