"""The gallery page over 100,000 assets: by HTTP, and in a browser as a reader has it.

    .venv/bin/python benchmarks/gallery.py [--rows N] [--photos DIR] [--json FILE]

The product runs as a user starts it, with the built-in encoder, over rows that share the files of a few pictures
(gallery_data.py). By HTTP: milliseconds of pages and counts, each address as nobody asked for it before. In Chromium on
loopback: first contentful paint, layout shift while five pages are scrolled through, interaction to next paint of
what a reader does, and the bytes of scripts and styles as they are sent.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "assetsearch.settings"
os.environ["LOG_LEVEL"] = "ERROR"
os.environ["ENCODER"] = "descriptor"
os.environ.pop("DATABASE_URL", None)

import requests
from playwright.sync_api import Page, sync_playwright

from tests import browser
from tests.product import PASSWORD, Product

ROUNDS, PAGES = 15, 5
#: What is asked of the gallery by HTTP; `{}` takes another number each time.
ADDRESSES = {
    "first page": "/gallery/?min_width={}",
    "deep page": "/gallery/?after={}00",
    "deep page by title": "/gallery/?sort=title&after={}00",
    "text and tag": "/gallery/?q=harbour&tag=subject+3&min_width={}",
    "counts": "/gallery/counts/?min_width={}",
    "counts of text and tag": "/gallery/counts/?q=harbour&tag=subject+3&min_width={}",
}
#: Before anything of a page runs: shifts and interactions are noted from the beginning.
_WATCH = """
    window.shift = 0; window.slowest = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries())
            if (entry.interactionId) window.slowest = Math.max(window.slowest, entry.duration);
    }).observe({ type: "event", buffered: true, durationThreshold: 16 });
"""
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_SENT = """
    performance.getEntriesByType("resource").filter(({ name }) => /[.](js|css)$/.test(name))
        .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--photos", type=Path, help="folder of JPEGs to share; default: pictures drawn for this")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(options.photos.rglob("*.jpg"))[:60]] if options.photos else []
    folder = Path(tempfile.mkdtemp(prefix="assetsearch-benchmark-"))
    os.environ["DATA_DIR"] = str(folder / "var")
    try:
        prepare(options.rows, photos)
        report = {"rows": options.rows, **measure(folder / "var")}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


def prepare(rows: int, photos: list[bytes]) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from assetsearch import postgres
    from benchmarks.gallery_data import fill

    call_command("migrate", verbosity=0)
    fill(rows, photos)
    connections.close_all()
    postgres.release(Path(os.environ["DATA_DIR"]))


def measure(data_dir: Path) -> dict[str, Any]:
    product = Product(data_dir)
    product.start()
    try:
        return {**by_http(product), **in_browser(product)}
    finally:
        product.stop()


def by_http(product: Product) -> dict[str, float]:
    session = requests.Session()
    login = f"{product.url}/login/"
    session.get(login, timeout=60)
    known = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    session.post(login, known, timeout=60).raise_for_status()
    return {
        f"{name}, p50 ms": statistics.median(
            _took_ms(session, product.url + address.format(n)) for n in range(1, ROUNDS)
        )
        for name, address in ADDRESSES.items()
    }


def _took_ms(session: requests.Session, address: str) -> float:
    started = time.perf_counter()
    session.get(address, timeout=60).raise_for_status()
    return (time.perf_counter() - started) * 1000


def in_browser(product: Product) -> dict[str, float]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser.find(), args=browser.ARGUMENTS)
        page = started.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(_WATCH)
        page.goto(f"{product.url}/login/?next=/gallery/")
        page.get_by_label("User name").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.locator(".facet").first.wait_for()
        sent = page.evaluate(_SENT)
        paints = [_paint_ms(page) for _ in range(ROUNDS)]
        shift = _scroll(page)
        slowest = _work(page)
        started.close()
    return {
        "first contentful paint, p50 ms": statistics.median(paints),
        "first contentful paint, worst ms": max(paints),
        f"layout shift over {PAGES} pages": shift,
        "interaction to next paint, worst ms": slowest,
        "scripts and styles, kB sent": sent / 1000,
    }


def _paint_ms(page: Page) -> float:
    page.reload()
    page.locator(".facet").first.wait_for()
    return float(page.wait_for_function(_PAINT).json_value())


def _scroll(page: Page) -> float:
    """Down through some pages and up again."""
    for number in range(1, PAGES + 1):
        while page.locator("[data-page]").count() <= number:
            page.mouse.wheel(0, 700)
            page.wait_for_timeout(50)
    page.mouse.wheel(0, -100_000)
    page.wait_for_timeout(500)
    return float(page.evaluate("window.shift"))


def _work(page: Page) -> float:
    """Select, look otherwise, narrow down: with hundreds of tiles on the page."""
    page.locator("[data-asset] a").first.click(modifiers=["Control"])
    page.locator("[data-asset] a").nth(20).click(modifiers=["Shift"])
    for look in ("dense", "comfortable", "compact"):
        page.locator(f".look label:has([value={look}])").click()
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").press_sequentially("harbour")
    page.wait_for_timeout(1000)
    return float(page.evaluate("window.slowest"))


if __name__ == "__main__":
    main()
