"""Work in progress as a person sees it: the page, and the badge in the corner of every page."""

import io
import zipfile

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import drawn, encoded
from tests.product import wait_for

pytestmark = [pytest.mark.product, pytest.mark.browser]
#: Of this module's pictures; no other test draws them.
SEEDS = range(71_000, 71_120)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Pictures enough that an import of them can be paused, one that is cut off among them."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as packed:
        packed.writestr("0-cut-off.jpg", encoded(drawn(SEEDS[0]))[:300])
        for seed in SEEDS:
            packed.writestr(f"work-{seed}.jpg", encoded(drawn(seed, (320, 240))))
    path = tmp_path_factory.mktemp("work") / "work-photos.zip"
    path.write_bytes(written.getvalue())
    return path


def begin(page: Page, product, archive) -> None:
    page.goto(f"{product.url}/import/")
    page.get_by_label("A ZIP file of pictures").set_input_files(archive)
    page.locator("#import").get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name=archive.name)).to_be_visible()


def job(page: Page, name: str):
    return page.get_by_role("listitem").filter(has_text=name).first


def test_import_is_seen_paused_resumed_and_its_refusals_told_by_reason(signed_in: Page, product, archive):
    page = signed_in
    begin(page, product, archive)
    page.goto(f"{product.url}/work/")
    row = job(page, "work-photos.zip")
    expect(row.get_by_role("progressbar")).to_be_visible()
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_text("Paused", exact=True)).to_be_visible()
    expect(page.locator("#work")).not_to_have_attribute("hx-trigger", "every 2s", timeout=30_000)
    row.get_by_role("button", name="Resume").click()
    # without loading the page anew
    expect(row.get_by_text("Done", exact=True)).to_be_visible(timeout=90_000)
    row.get_by_role("link", name="1 refused").click()
    expect(page.get_by_text("0-cut-off.jpg")).to_be_visible()


def test_import_that_failed_goes_on(signed_in: Page, product, tmp_path):
    page, path = signed_in, tmp_path / "went-wrong.zip"
    seeds = range(71_300, 71_360)
    with zipfile.ZipFile(path, "w") as packed:
        for seed in seeds:
            packed.writestr(f"{seed}.jpg", encoded(drawn(seed, (320, 240))))
    begin(page, product, path)
    shown = page.locator("#import-progress")
    shown.get_by_role("button", name="Pause").click()
    expect(shown.get_by_text("Paused", exact=True)).to_be_visible()
    number = page.url.split("/imports/")[1].split("/")[0]
    error = "The ZIP file cannot be read."
    product.psql(f"UPDATE gallery_import SET state = 'failed', error = '{error}' WHERE id = {number} RETURNING id")
    page.reload()
    expect(shown.get_by_role("alert")).to_contain_text(error)
    shown.get_by_role("button", name="Go on").click()
    expect(shown.get_by_text("Done", exact=True)).to_be_visible(timeout=90_000)
    expect(shown.locator(".tally div", has_text="Stored")).to_contain_text(str(len(seeds)))
    expect(shown.get_by_role("alert")).to_have_count(0)


def test_import_is_cancelled_and_what_was_stored_stays(signed_in: Page, product, tmp_path):
    page, path = signed_in, tmp_path / "given-up.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for seed in range(71_200, 71_260):
            packed.writestr(f"given-up-{seed}.jpg", encoded(drawn(seed, (320, 240))))
    begin(page, product, path)
    progress = page.locator("#import-progress")
    progress.get_by_role("button", name="Pause").click()
    expect(progress.get_by_text("Paused", exact=True)).to_be_visible()
    progress.get_by_role("link", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel the import “given-up.zip”?")
    dialog.get_by_role("link", name="Keep it").click()
    page.goto(f"{product.url}/work/")
    page.get_by_role("link", name="Cancel: given-up.zip").click()
    dialog.get_by_role("button", name="Cancel the import").click()
    row = job(page, "given-up.zip")
    expect(row.get_by_text("Cancelled", exact=True)).to_be_visible()
    row.get_by_role("link", name="given-up.zip").click()
    expect(progress.get_by_role("button", name="Resume")).to_have_count(0)


def test_embedding_is_paused_and_goes_on(signed_in: Page, product, client):
    page = signed_in
    wait_for(client.is_settled, what="embedding")
    page.goto(f"{product.url}/work/")
    row = job(page, "descriptor")
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_text("Paused", exact=True)).to_be_visible()
    client.upload("while-paused.jpg", encoded(drawn(SEEDS.stop)))
    page.reload()
    expect(row.get_by_role("progressbar")).to_be_visible()
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_text("nothing is pending")).to_be_visible(timeout=60_000)


def test_badge_tells_of_work_and_leads_to_it(home: Page, product):
    page = home
    badge = page.locator("#work-badge")
    expect(badge).to_have_attribute("hx-trigger", "every 10s", timeout=60_000)  # once all is embedded
    page.goto(f"{product.url}/work/")
    page.get_by_role("button", name="Pause: descriptor").click()
    expect(page.get_by_role("button", name="Resume: descriptor")).to_be_visible()
    try:
        page.request.post(
            f"{product.url}/api/v1/assets/",
            headers={"X-CSRFToken": csrf(page)},
            multipart={"file": {"name": "w.jpg", "mimeType": "image/jpeg", "buffer": encoded(drawn(71_500))}},
        )
        page.goto(f"{product.url}/gallery/")
        expect(badge).to_contain_text("Paused")
        badge.click()
        expect(page.get_by_role("heading", name="Work in progress")).to_be_visible()
    finally:
        page.goto(f"{product.url}/work/")
        page.get_by_role("button", name="Resume: descriptor").click()
    expect(page.get_by_text("nothing is pending")).to_be_visible(timeout=60_000)


_FAILED_BUILD = """
from django.utils import timezone
from search.models import Encoder, IndexBuild
told = {"rows": 99, "state": "failed", "error": IndexBuild.INTERRUPTED, "finished": timezone.now()}
IndexBuild.objects.create(encoder=Encoder.objects.active(), kind="hnsw", **told)
"""


def test_build_of_an_index_is_tried_again_paused_resumed_and_cancelled(signed_in: Page, product, client):
    page = signed_in
    for seed in SEEDS[:60]:  # the least that an index is built of
        client.upload(f"indexed-{seed}.jpg", encoded(drawn(seed, (320, 240))))
    wait_for(client.is_settled, what="embedding")
    product.command("shell", "-v", "0", "-c", _FAILED_BUILD)
    page.goto(f"{product.url}/work/")
    row = job(page, "HNSW")
    expect(row.get_by_text("The build was interrupted.")).to_be_visible()
    try:
        with product.database() as older:  # an index that is built beside a transaction waits for its end
            older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            older.execute("SELECT FROM search_embedding")
            row.get_by_role("button", name="Try again").click()
            expect(page.get_by_text("A worker builds the index.")).to_be_visible()
            row.get_by_role("button", name="Pause").click()
            expect(page.get_by_text("The build is paused.")).to_be_visible()
            expect(row.get_by_text("Being paused")).to_be_visible()  # what was begun of it has to go first
        with product.database() as older:
            older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            older.execute("SELECT FROM search_embedding")
            row.get_by_role("button", name="Resume").click()
            expect(page.get_by_text("A worker builds the index.")).to_be_visible()
            row.get_by_role("button", name="Cancel").click()
            expect(page.get_by_text("The build is cancelled.")).to_be_visible()
            expect(row.get_by_text("Being cancelled")).to_be_visible()
        expect(row.get_by_text("The build was cancelled.")).to_be_visible()
        expect(row.get_by_role("button", name="Try again")).to_be_visible()
    finally:
        product.psql("DELETE FROM search_indexbuild WHERE kind = 'hnsw' RETURNING id")


def test_failure_is_tried_again_from_the_page(signed_in: Page, product, client, stored):
    page = signed_in
    for seed, name in enumerate(("one", "two"), start=SEEDS.stop + 1):
        product.fail(stored(seed, title=f"failed {name}")["id"], "The preview cannot be found")
    page.goto(f"{product.url}/work/")
    reason = job(page, "The preview cannot be found")
    expect(reason.get_by_text("2 pictures")).to_be_visible()
    reason.get_by_role("link").click()
    page.get_by_role("button", name="Try again: failed one").click()
    expect(page.get_by_text("1 picture is tried again.")).to_be_visible()
    page.goto(f"{product.url}/work/")
    job(page, "The preview cannot be found").get_by_role("button", name="Try all again").click()
    expect(page.get_by_text("1 picture is tried again.")).to_be_visible()
    expect(page.get_by_text("The preview cannot be found")).to_have_count(0)
    wait_for(client.is_settled, what="embedding")
    for name in ("one", "two"):
        [found] = client.get("/assets/", q=f"failed {name}")["results"]
        assert found["status"] == "ready"


def csrf(page: Page) -> str:
    return next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")


def test_polling_rests_while_the_tab_is_hidden(signed_in: Page, product):
    page = signed_in
    asked = []
    page.goto("about:blank")  # where the page before asks no more
    page.on("request", lambda request: asked.append(request.url) if "/work/badge/" in request.url else None)
    page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => true})")
    page.goto(f"{product.url}/collections/")
    page.wait_for_load_state("networkidle")
    assert asked == []
