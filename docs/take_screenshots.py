"""Takes the pictures in docs/screenshots from the running product, wide and narrow.

    .venv/bin/python docs/take_screenshots.py DIR

DIR holds photographs; they are imported into a data folder that is thrown away afterwards.
"""

import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests import browser
from tests.product import PASSWORD, Client, Product, wait_for

SCREENSHOTS = ROOT / "docs/screenshots"
#: Of a laptop and of a phone, in CSS pixels.
SIZES = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 390, "height": 844}}


def main(photos: Path) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder) / "data")
        product.start()
        try:
            client = filled(product, photos)
            with sync_playwright() as playwright:
                chromium = playwright.chromium.launch(executable_path=browser.find(), args=browser.ARGUMENTS)
                for name, size in SIZES.items():
                    take_all(signed_in(chromium, product, size), product, client, photos, name)
        finally:
            product.stop()


def filled(product: Product, photos: Path) -> Client:
    for folder in sorted(path for path in photos.iterdir() if path.is_dir()):
        product.command("import_folder", str(folder), "--collection", folder.name.capitalize())
    client = product.sign_in()
    wait_for(client.is_settled, seconds=300, what="embedding")
    wait_for(lambda: client.get("/status/")["index"], seconds=180, what="the index")
    return client


def signed_in(chromium: Browser, product: Product, size: dict[str, int]) -> Page:
    page = chromium.new_page(viewport=size)  # type: ignore[arg-type]
    page.goto(product.url)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Hide until you sign in again").click()
    return page


def take_all(page: Page, product: Product, client: Client, photos: Path, size: str) -> None:
    picture = sorted(photos.rglob("Granny-Smith/*.jpg"))[3]
    [asset] = client.get("/assets/", q=picture.stem)["results"]
    page.goto(product.url)
    page.locator("#image").set_input_files(picture)
    page.locator(".hit").nth(9).wait_for()
    take(page, f"search-{size}")
    for name, path in {
        "gallery": "/gallery/",
        "asset": f"/assets/{asset['id']}/",
        "upload": "/upload/",
        "collections": "/collections/",
        "admin": "/admin/gallery/asset/",
    }.items():
        page.goto(product.url + path)
        take(page, f"{name}-{size}")


def take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256).save(SCREENSHOTS / f"{name}.png", optimize=True)  # a third of the bytes, and looks the same
    print(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
