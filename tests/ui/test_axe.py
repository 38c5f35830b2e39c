"""Every page is looked at by axe-core in both themes, which finds nothing serious, and sends little."""

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.urls import reverse
from playwright.sync_api import Page

from tests.conftest import drawn, encoded
from tests.gallery.test_import_zip import packed
from tests.product import Client, Product, wait_for
from tests.routes import addresses, addresses_of_admin
from tests.ui.test_drop import drag, transfer

pytestmark = [pytest.mark.product, pytest.mark.browser]

#: What axe calls the rest, "moderate" and "minor", is advice.
GRAVE = {"serious", "critical"}
#: Bytes of script and style that a page may send, compressed.
MOST_SENT = 300_000
REFERENCE = "/api/v1/docs/"
#: States that a bare address does not show.
STATES = [
    "/?asset={asset_id}",
    "/?query={key}&crop=0,0,0.5,1&plus={asset_id}&k=5&tag=axe",
    "/gallery/?q=nothing+of+that+name",
    "/compare/?asset={asset_id}",
    "/nothing/of/that/name/",
    REFERENCE,
]
#: Of the pages that refuse to be looked at, the one that is; all are the same.
FORBIDDEN, REFUSED = 403, "/admin/gallery/change/add/"
#: What actions of the admin ask before they are done, by the list that has them.
ASKED = {
    "gallery_asset": ["delete_selected", "add_to_collection", "hand_over"],
    "search_evaluation": ["compare"],
    "auth_group": ["delete_selected"],
}
#: One of each thing that a route may name.
_THINGS = """
import json
import uuid
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from gallery.import_models import Import
from gallery.models import Asset, Collection, Tag
from search import report_making
from search.models import Encoder, SavedSearch
from tests import rows
admin = User.objects.get(username="admin")
collection = Collection.objects.create(name="axe", owner=admin)
asset = Asset.objects.filter(filename="axe-1.jpg").get()
asset.collection = collection
asset.save()
report = report_making.begin(admin)
pictures = [asset.original, ContentFile(b"no picture", "broken.jpg")]
entry, _ = report_making.add(report, report_making.of_files(pictures, admin, keep=True))
saved = SavedSearch.objects.create(name="axe", owner=admin, query=f"query={entry.picture_id}")
rows.second_encoder("beside")
print(json.dumps({
    "asset_id": asset.pk, "collection_id": collection.pk, "tag_id": Tag.objects.get(name="axe").pk,
    "import_id": Import.objects.latest("pk").pk, "encoder_id": Encoder.objects.active().pk,
    "build_id": 0, "act_id": str(uuid.UUID(int=0)), "report_id": report.pk, "entry_id": entry.pk,
    "key": entry.picture_id, "search_id": saved.pk, "name": 32 * "a",
}))
"""


_ROWS = """
import json
from django.contrib.auth.models import User
from tests import rows
print(json.dumps(rows.make(User.objects.get(username="admin"), "axe")))
"""


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """axe-core applies styles of its own while it looks."""
    return {**browser_context_args, "bypass_csp": True}


@pytest.fixture(scope="module")
def things(product: Product, client: Client) -> dict[str, Any]:
    """By the names that routes have for them.

    One asset is in the trash, one could not be embedded, and one file of an import was refused.
    """
    failed = client.upload("axe-failed.jpg", encoded(drawn(7004, (640, 480))))
    for seed in range(4):
        made = client.upload(f"axe-{seed}.jpg", encoded(drawn(7000 + seed, (640, 480))), tags="axe")
    client.session.delete(f"{client.url}/assets/{made['id']}/", timeout=60).raise_for_status()
    archive = packed(("axe.jpg", encoded(drawn(7010))), ("broken.jpg", b"no picture"))
    begun = client.session.post(f"{client.url}/imports/", files={"file": ("axe.zip", archive)}, timeout=60).json()
    wait_for(lambda: client.get(f"/imports/{begun['id']}/")["finished"], what="the import")
    wait_for(client.is_settled, what="embedding")
    product.fail(failed["id"], "The preview cannot be read")
    return dict(json.loads(product.command("shell", "-v", "0", "-c", _THINGS).stdout))


def is_page(page: Page, address: str) -> bool:
    """What is read by GET, is there itself, and is HTML that stands by itself. That one may not look is one page."""
    answer = page.request.get(address, headers={"Accept": "text/html"}, max_redirects=0)
    is_html = "text/html" in answer.headers.get("content-type", "") and "<html" in answer.text()
    return is_html and (answer.status != FORBIDDEN or address.endswith(REFUSED))


@pytest.mark.timeout(900)
def test_no_page_has_a_grave_fault_in_either_theme_or_sends_much(
    signed_in: Page, product: Product, things: dict[str, Any]
):
    page, faults = signed_in, {}
    listed = [*addresses(things), *(state.format(**things) for state in STATES)]
    page.goto(f"{product.url}/work/")
    failures = page.locator("a[href^='/work/failures/']").first.get_attribute("href")
    pages = [address for address in [*listed, failures] if is_page(page, product.url + address)]
    for address in pages:
        page.goto(product.url + address)
        if address == REFERENCE:
            page.locator(".opblock").last.wait_for()  # its script draws it
        faults |= heavy(page, address) | grave(page, address)
    print(len(pages), "pages:", *pages)
    assert {failures, "/", "/gallery/", "/collections/", "/keys/", f"/assets/{things['asset_id']}/"} <= set(pages)
    assert faults == {}, told(faults)


def compared(page: Page) -> None:
    page.locator(".hits a[data-lightbox]").first.click()
    page.get_by_role("button", name="Compare with the picture searched with").click()


def moving(page: Page) -> None:
    page.locator("[data-asset] [data-check]").first.check()
    page.locator(".bulk-menu summary", has_text="Move").click()


def uploaded(page: Page) -> None:
    files = [
        {"name": "axe up.jpg", "mimeType": "image/jpeg", "buffer": encoded(drawn(7021, (640, 480)))},
        {"name": "axe-0.jpg", "mimeType": "image/jpeg", "buffer": encoded(drawn(7000, (640, 480)))},
        {"name": "axe.txt", "mimeType": "text/plain", "buffer": b"no picture"},
    ]
    page.locator("#files").set_input_files(files)  # type: ignore[arg-type]


def looked_for(page: Page) -> None:
    known = {"name": "axe-0.jpg", "mimeType": "image/jpeg", "buffer": encoded(drawn(7000, (640, 480)))}
    page.locator("input[name=picture]").set_input_files(known)  # type: ignore[arg-type]


#: What opens over a page or beside it, by the page: how it is opened, and by what it is known to be open.
OPENED: dict[tuple[str, str], tuple[Callable[[Page], object], str]] = {
    ("lightbox", "/gallery/?tag=axe"): (
        lambda page: page.locator("a[data-lightbox]").first.click(),
        ".lightbox-facts dl",
    ),
    ("comparison", "/?asset={asset_id}"): (compared, ".comparison"),
    ("keys", "/gallery/"): (lambda page: page.keyboard.press("?"), "dialog[open]"),
    ("tag", "/tags/?q=axe"): (
        lambda page: page.get_by_role("link", name="Edit tag axe").first.click(),
        "#dialog[open]",
    ),
    ("save", "/?asset={asset_id}"): (lambda page: page.locator(".save summary").click(), ".save [name=name]"),
    ("menu", "/"): (lambda page: page.locator("summary:has(.menu-name)").click(), ".menu[open]"),
    ("selection", "/gallery/?tag=axe"): (moving, ".bulk-menu[open]"),
    ("uploads", "/upload/"): (uploaded, ".file .badge-ready"),
    ("facts edited", "/assets/{asset_id}/"): (lambda page: page.get_by_label("Title").focus(), "[name=title]:focus"),
    ("queue", "/reports/have/"): (looked_for, "[data-tally=found]"),
    ("dropping", "/gallery/"): (lambda page: drag(page, transfer(page, 7020)), "[data-drop=search]"),
}


@pytest.mark.parametrize(("name", "address"), OPENED)
def test_nothing_that_opens_has_a_grave_fault_in_either_theme(
    signed_in: Page, product: Product, things: dict[str, Any], name: str, address: str
):
    page, (act, sign) = signed_in, OPENED[name, address]
    page.goto(product.url + address.format(**things))
    act(page)
    page.locator(sign).first.wait_for(timeout=60_000)
    faults = grave(page, name)
    assert faults == {}, told(faults)


@pytest.fixture(scope="module")
def rows(product: Product, things: dict[str, Any]) -> dict[str, str | None]:
    """The key of a row of each model that the admin has, by the model's label."""
    return dict(json.loads(product.command("shell", "-v", "0", "-c", _ROWS).stdout))


@pytest.mark.timeout(600)
def test_no_page_of_the_admin_has_a_grave_fault_in_either_theme_or_sends_much(
    signed_in: Page, product: Product, rows: dict[str, Any]
):
    page, faults = signed_in, {}
    assert None not in rows.values()
    pages = [address for address in addresses_of_admin(rows) if is_page(page, product.url + address)]
    for address in pages:
        page.goto(product.url + address)
        if address != pages[0]:
            leave_out_sidebar(page)
        faults |= heavy(page, address) | grave(page, address)
    for name, actions in ASKED.items():
        for action in actions:
            ask(page, product.url + reverse(f"admin:{name}_changelist"), action)
            leave_out_sidebar(page)
            faults |= grave(page, f"{name}: {action}")
    print(len(pages), "pages:", *pages)
    for label in rows:
        assert f"/admin/{label.replace('.', '/').lower()}/" in pages
    assert faults == {}, told(faults)


def leave_out_sidebar(page: Page) -> None:
    """It is the same on every page, and half of what there is to look at on most."""
    page.evaluate("document.querySelector('#nav-sidebar')?.remove()")


def ask(page: Page, address: str, action: str) -> None:
    """Choose the action for the first two rows of the list, as far as its page that asks."""
    page.goto(address)
    for place in (0, 1):
        page.locator("input.action-select").nth(place).check()
    page.locator("select[name=action]").first.select_option(action)
    with page.expect_navigation():
        page.locator("button[name=index]").first.click()
    assert page.locator("input.action-select").count() == 0, f"{action} asks nothing"


Faults = dict[tuple[str, ...], list[str]]


def grave(page: Page, address: str) -> Faults:
    """By address, theme and fault, where it is. The themes differ in colours alone."""
    page.evaluate("() => new Promise(resolve => setTimeout(resolve))")  # pages name their parts in a turn after "load"
    page.evaluate(AXE_SCRIPT)
    found = {}
    for theme, options in looks_from(page):
        turn(page, theme)
        # without preload: no rule asks for what it fetches of sheets and films a second time
        asked = {"resultTypes": ["violations"], "preload": False, **options}
        answer = page.evaluate("options => axe.run(options)", asked)
        for one in answer["violations"]:
            if one["impact"] in GRAVE:
                where = [node["html"][:160] for node in one["nodes"]][:4]
                found[address, theme, one["id"], one["help"]] = where
    return found


Theme = Literal["light", "dark"]


def looks_from(page: Page) -> list[tuple[Theme, dict[str, Any]]]:
    """Both themes, and what axe is to look for in each: first in that which the page has, to turn it but once."""
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    only_colours = {"runOnly": ["color-contrast", "link-in-text-block"]}
    return [("dark", {}), ("light", only_colours)] if is_dark else [("light", {}), ("dark", only_colours)]


def turn(page: Page, theme: Theme) -> None:
    """To a theme, of which the page's scripts have heard by then: they are told before us."""
    page.evaluate(
        """theme => {
            const wanted = matchMedia(`(prefers-color-scheme: ${theme})`);
            window.turned = wanted.matches || new Promise((told) => wanted.addEventListener("change", told));
        }""",
        theme,
    )
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.evaluate("async () => { await window.turned; }")


def heavy(page: Page, address: str) -> Faults:
    """What it sends, where that is much."""
    sizes: dict[str, int] = page.evaluate(
        """() => Object.fromEntries(
            performance.getEntriesByType("resource").map((one) => [new URL(one.name).pathname, one.encodedBodySize])
        )"""
    )
    sent = {name: size for name, size in sizes.items() if name.endswith((".js", ".css", "/jsi18n/"))}
    assert sent, address
    return {(address, "", "", f"{sum(sent.values())} bytes"): [str(sent)]} if sum(sent.values()) > MOST_SENT else {}


def told(faults: Faults) -> str:
    return json.dumps([(*fault, *where) for fault, where in faults.items()], indent=1)
