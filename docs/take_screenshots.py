"""Takes the pictures in docs/screenshots from the running product: every page, wide and narrow, light and dark.

    .venv/bin/python docs/take_screenshots.py DIR

DIR holds a folder of photographs for each collection, and in it one for each tag; they are imported into a data folder
that is thrown away afterwards. Those of the last tag are new to the gallery when they come, on the walk through.
Pages in Chinese want a font that has it, such as Debian's fonts-noto-cjk; elsewhere restore those that were committed.
"""

import io
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product as combined
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import browser
from tests.product import PASSWORD, Client, Product, wait_for

SCREENSHOTS = ROOT / "docs/screenshots"
#: Of a laptop and of a phone, in CSS pixels.
SIZES = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 390, "height": 844}}
THEMES = ("light", "dark")
#: Those that are shown in Chinese too.
MAIN = ("search", "gallery", "asset")
#: Models, by app.
ADMIN = {
    "gallery": ("asset", "collection", "tag", "change", "import"),
    "search": ("encoder", "embedding", "indexbuild", "measurement", "evaluation", "rule", "preference"),
    "auth": ("user",),
}
_RULE = """
from gallery.models import Tag
from search.models import Rule
Rule.objects.create(action="boost", tag=Tag.objects.get(name="granny smith"), amount=0.1, note="The season has begun.")
"""
#: Of the five pictures of the walk through, in pixels.
_FRAME, _GAP = (640, 400), 12


def main(photos: Path) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    with started() as product, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.find(), args=browser.ARGUMENTS)
        take_first_run(chromium, product)
        shown = Shown(product, photos, filled(product, photos))
        arrange(chromium, product, shown)
        take_all(chromium, shown)
        take_walk(chromium, shown)


@contextmanager
def started() -> Iterator[Product]:
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder) / "data")
        product.start()
        try:
            yield product
        finally:
            product.stop()


def filled(product: Product, photos: Path) -> Client:
    for folder in tag_folders(photos)[:-1]:
        tag = folder.name.lower().replace("-", " ")
        product.command("import_folder", str(folder), "--collection", folder.parent.name.capitalize(), "--tag", tag)
    client = product.sign_in()
    wait_for(client.is_settled, seconds=900, what="embedding")
    return client


def tag_folders(photos: Path) -> list[Path]:
    return sorted(path for path in photos.glob("*/*") if path.is_dir())


def admin_pages(product: Product) -> dict[str, str]:
    """The list of each model, the form of its first row, and what is asked before a user or an encoder goes."""
    pages: dict[str, str] = {}
    for app, models in ADMIN.items():
        for model in models:
            first, address = number(product, f"SELECT min(id) FROM {app}_{model}"), f"/admin/{app}/{model}/"
            pages |= {f"admin-{model}s": address, f"admin-{model}": f"{address}{first}/change/"}
    encoder = number(product, "SELECT max(id) FROM search_encoder")
    asked = {"user-delete": "auth/user/1/delete/", "encoder-retire": f"search/encoder/{encoder}/retire/"}
    return pages | {f"admin-{name}": f"/admin/{address}" for name, address in asked.items()}


def number(product: Product, sql: str) -> int:
    with product.database() as connection:
        [[found]] = connection.execute(sql).fetchall()
        return int(found)


class Shown:
    """What the pictures show."""

    def __init__(self, product: Product, photos: Path, client: Client) -> None:
        self.url, self.client = product.url, client
        self.fruit = sorted(photos.rglob("Granny-Smith/*.jpg"))
        *known, unknown = tag_folders(photos)
        self.new = sorted(unknown.glob("*.jpg"))
        self.several = [min(folder.glob("*.jpg")) for folder in known[:3]] + self.new[:1]
        [asset] = client.get("/assets/", q=self.fruit[0].stem)["results"]
        self.asset = asset["id"]
        self.collection = asset["collection"]
        self.report = self.imported = self.failures = ""
        self.admin_pages: dict[str, str] = {}
        self.tag = number(product, "SELECT id FROM gallery_tag WHERE name = 'granny smith'")

    def pages(self) -> dict[str, str]:
        return {
            "home": "/", "gallery": "/gallery/?sort=title", "report": self.report, "sheet": f"{self.report}sheet/",
            "asset": f"/assets/{self.asset}/", "edit": f"/assets/{self.asset}/edit/",
            "history": f"/assets/{self.asset}/history/", "upload": "/upload/", "imports": "/imports/",
            "collections": "/collections/", "collection": f"/collections/{self.collection}/",
            "collection-edit": f"/collections/{self.collection}/edit/", "tags": "/tags/",
            "tag-edit": f"/tags/{self.tag}/edit/", "tag-merge": f"/tags/{self.tag}/merge/",
            "imported": self.imported, "failures": self.failures, "trash-empty": "/trash/empty/",
            "gone": "/assets/1000000/",
            "import": "/import/", "work": "/work/", "reports": "/reports/",
            "saved-searches": "/searches/", "trash": "/trash/", "compare": f"/compare/?asset={self.asset}",
            "keys": "/keys/", "api-docs": "/api/v1/docs/", "admin": "/admin/", **self.admin_pages,
        }  # fmt: skip


def arrange(chromium: Browser, product: Product, shown: Shown) -> None:
    """A report, a saved search, an import that is over, what failed or was deleted, and a row of each model."""
    page = signed_in(chromium, shown.url, SIZES["wide"], "light")
    report(page, shown)
    shown.report = page.url.removeprefix(shown.url)
    page.goto(f"{shown.url}/?asset={shown.asset}")
    page.locator("details.save summary").click()
    page.locator("details.save [name=name]").fill("Green apples")
    page.locator("details.save button").click()
    page.locator(".toast").first.wait_for()
    page.goto(f"{shown.url}/import/")
    archive = {"name": "market day.zip", "mimeType": "application/zip", "buffer": packed(shown.fruit[:3])}
    page.locator("#import [name=archive]").set_input_files(archive)  # type: ignore[arg-type]
    page.locator("#import [type=submit]").click()
    page.wait_for_url("**/imports/*/")
    shown.imported = page.url.removeprefix(shown.url)
    expect(page.locator("#import-progress")).to_contain_text("Done")
    [failed] = shown.client.get("/assets/", q=shown.fruit[-2].stem)["results"]
    product.fail(failed["id"], "The preview cannot be read")
    page.goto(f"{shown.url}/work/")
    shown.failures = page.locator("a[href^='/work/failures/']").first.get_attribute("href") or ""
    product.command("train_head", "--labels", "tag")
    product.command("build_index")
    product.command("evaluate", "--labels", "tag")
    product.command("shell", "-v", "0", "-c", _RULE)
    page.goto(f"{shown.url}/compare/?asset={shown.asset}")
    page.locator("#mark-left").click()
    page.locator("#mark [value=none]").wait_for()
    page.context.close()
    address = f"{shown.client.url}/assets/{shown.asset}/"
    shown.client.session.patch(address, json={"title": "Granny Smith at noon"}, timeout=60).raise_for_status()
    shown.admin_pages = admin_pages(product)
    [unwanted] = shown.client.get("/assets/", q=shown.fruit[-1].stem)["results"]
    shown.client.session.delete(f"{shown.client.url}/assets/{unwanted['id']}/", timeout=60)


def packed(paths: Iterable[Path]) -> bytes:
    """These, and one that was cut off, as a ZIP file."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path in paths:
            archive.write(path, path.name)
        archive.writestr("cut off.jpg", path.read_bytes()[:2000])
    return written.getvalue()


def take_all(chromium: Browser, shown: Shown) -> None:
    for (size, viewport), theme in combined(SIZES.items(), THEMES):
        stranger = new_page(chromium, viewport, theme, "en-GB")
        take(stranger, f"{shown.url}/login/", f"login-{size}-{theme}")
        stranger.context.close()
        page = signed_in(chromium, shown.url, viewport, theme)
        for name, address in {"search": f"/?asset={shown.asset}", **shown.pages()}.items():
            take(page, shown.url + address, f"{name}-{size}-{theme}")
        take_large(page, shown, f"large-{size}-{theme}")
        take_have(page, shown, f"have-{size}-{theme}")
        page.context.close()
        chinese = signed_in(chromium, shown.url, viewport, theme, locale="zh-CN")
        for name in MAIN:
            address = {"search": f"/?asset={shown.asset}", **shown.pages()}[name]
            take(chinese, shown.url + address, f"{name}-{size}-{theme}-chinese")
        chinese.context.close()


def take_first_run(chromium: Browser, product: Product) -> None:
    """As an empty gallery begins."""
    for (size, viewport), theme in combined(SIZES.items(), THEMES):
        page = signed_in(chromium, product.url, viewport, theme)
        take(page, f"{product.url}/", f"first-run-{size}-{theme}")
        page.context.close()


def new_page(chromium: Browser, viewport: dict[str, int], theme: str, locale: str) -> Page:
    context = chromium.new_context(viewport=viewport, color_scheme=theme, locale=locale)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(120_000)
    return page


def signed_in(chromium: Browser, url: str, viewport: dict[str, int], theme: str, *, locale: str = "en-GB") -> Page:
    page = new_page(chromium, viewport, theme, locale)
    page.goto(f"{url}/login/")
    page.locator("[name=username]").fill("admin")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main button[type=submit]").click()
    page.locator("#banner button").click()
    expect(page.locator("#banner")).to_have_count(0)
    return page


def take(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    save(page, name)


def take_large(page: Page, shown: Shown, name: str) -> None:
    """A result of a search, over the blurred page."""
    page.goto(f"{shown.url}/?asset={shown.asset}")
    page.locator(".hit [data-lightbox]").first.click()
    expect(page.locator(".pswp--open")).to_be_visible()
    page.wait_for_load_state("networkidle")
    save(page, name)


def take_have(page: Page, shown: Shown, name: str) -> None:
    """Some that are there, and some that are not."""
    page.goto(f"{shown.url}/reports/have/")
    page.locator("[name=picture]").set_input_files(shown.several)
    expect(page.locator("[data-verdict]")).to_have_count(len(shown.several))
    page.wait_for_load_state("networkidle")
    save(page, name)


def save(page: Page, name: str) -> None:
    picture(page).save(SCREENSHOTS / f"{name}.webp", quality=80, method=6)
    print(name)


#: Of pictures in sight: all have come.
_HAVE_COME = """() => [...document.images].every((image) => {
    const { top, bottom, width } = image.getBoundingClientRect();
    const isInSight = width > 0 && bottom > 0 && top < innerHeight && image.getAttribute("src");
    return !isInSight || image.complete && image.naturalWidth > 0;
})"""


def picture(page: Page) -> Image.Image:
    page.wait_for_function(_HAVE_COME)
    page.wait_for_timeout(300)  # and are painted
    return Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")


# --- the walk through -------------------------------------------------------------------------------------------


def take_walk(chromium: Browser, shown: Shown) -> None:
    """Upload, wait, search by region, report, download: one strip."""
    page = signed_in(chromium, shown.url, {"width": 1280, "height": 800}, "light")
    steps: list[Callable[[Page, Shown], None]] = [upload, wait, search_by_region, report, download]
    frames = []
    for step in steps:
        step(page, shown)
        page.wait_for_load_state("networkidle")
        frames.append(picture(page).resize(_FRAME, Image.Resampling.LANCZOS))
        print(step.__name__)
    strip = Image.new("RGB", (len(frames) * (_FRAME[0] + _GAP) - _GAP, _FRAME[1]), "white")
    for place, frame in enumerate(frames):
        strip.paste(frame, (place * (_FRAME[0] + _GAP), 0))
    strip.save(SCREENSHOTS / "walk.webp", quality=80, method=6)


def upload(page: Page, shown: Shown) -> None:
    page.goto(f"{shown.url}/upload/")
    page.locator("#files").set_input_files(shown.new)
    expect(page.locator("#uploads .badge").first).to_be_visible()


def wait(page: Page, shown: Shown) -> None:
    page.goto(f"{shown.url}/work/")


def search_by_region(page: Page, shown: Shown) -> None:
    page.goto(f"{shown.url}/?asset={shown.asset}&crop=0.3,0.3,0.4,0.4")
    expect(page.locator(".hit").nth(5)).to_be_visible()


def report(page: Page, shown: Shown) -> None:
    page.goto(f"{shown.url}/reports/")
    page.locator("input[name=picture]").set_input_files(shown.several)
    expect(page.locator("[data-verdict]")).to_have_count(4, timeout=120_000)


def download(page: Page, shown: Shown) -> None:
    page.goto(f"{shown.url}/gallery/")
    for place in range(4):
        page.locator("[data-asset]").nth(place).locator("input[type=checkbox]").check(force=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
