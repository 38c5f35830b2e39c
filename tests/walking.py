"""What tests in a real browser stand on."""

import os
from asyncio import AbstractEventLoop, _set_running_loop, get_running_loop
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browser import ARGUMENTS, find
from tests.product import Product, wait_for

expect.set_options(timeout=15_000)  # milliseconds; where tests run side by side, five thousand are soon over


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as `manage.py prepare` leaves it, to be copied; one for all processes that run tests."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "prepared"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            making = Product(folder.with_name("preparing"))
            making.command("prepare")
            making.data_dir.rename(folder)
    return folder


@pytest.fixture(scope="session")
def browser_type_launch_args():
    found = find()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("No browser: `make test` fetches one, or says why it cannot.")
        pytest.skip("no browser is installed, and none could be fetched")
    return {"executable_path": found, "args": ARGUMENTS, "headless": True}


Launched = tuple[Playwright, Browser, AbstractEventLoop]


# Starting a browser takes as long as two tests in it do, so one serves all modules that a process runs. The loop of
# Playwright runs in the thread of all other tests as well: between those modules it is hidden from who asks for one.


@pytest.fixture(scope="session")
def _launched(browser_type_launch_args: dict[str, Any]) -> Iterator[Launched]:
    with sync_playwright() as started:
        loop = get_running_loop()
        browser = started.chromium.launch(**browser_type_launch_args)
        _set_running_loop(None)
        yield started, browser, loop
        _set_running_loop(loop)
        browser.close()


@pytest.fixture(scope="module")
def browser(_launched: Launched) -> Iterator[Browser]:
    _, started, loop = _launched
    with pytest.MonkeyPatch.context() as patch:
        # Django takes what such a module asks the database for a coroutine's.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        _set_running_loop(loop)
        yield started
        for context in started.contexts:
            context.close()
        _set_running_loop(None)


@pytest.fixture(scope="module")
def playwright(browser: Browser, _launched: Launched) -> Playwright:
    return _launched[0]


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    return {}


@pytest.fixture
def signed_in(page: Page, product: Product) -> Iterator[Page]:
    """A page of who is signed in. Any error of a script, or anything the content policy stops, fails the test."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    page.context.add_cookies([{"name": "sessionid", "value": product.session_of_its_own(), "url": product.url}])
    yield page
    assert errors == []


@pytest.fixture
def home(signed_in: Page, product: Product) -> Page:
    """The first page, after signing in."""
    signed_in.goto(product.url)
    expect(signed_in.get_by_role("heading", name="Search with a picture")).to_be_visible()
    signed_in.wait_for_load_state()  # scripts included
    return signed_in


#: `keys` of what a tab's uploads keep in the browser, of which each is a kind and an upload; null before it keeps any.
_KEPT_KEYS = """
    const place = Object.entries(sessionStorage).find(([key]) => /^uploads-.*-place$/.test(key))?.[1];
    if (!(await indexedDB.databases()).some(({ name }) => name === place)) return null;
    const resolved = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const database = await resolved(indexedDB.open(place));
    const store = database.transaction("uploads", "readwrite").objectStore("uploads");
    const keys = await resolved(store.getAllKeys());
"""
_COUNT_KEPT = f"""async () => {{
    {_KEPT_KEYS}
    database.close();
    return ["about", "file"].map((kind) => keys.filter((key) => key[0] === kind).length);
}}"""
_GROW_OLD = f"""async () => {{
    {_KEPT_KEYS}
    for (const key of keys.filter(([kind]) => kind === "about"))
        await resolved(store.put({{...await resolved(store.get(key)), addedAt: 0}}, key));
    database.close();
}}"""
_FORGET_FILES = f"""async () => {{
    {_KEPT_KEYS}
    await Promise.all(keys.filter(([kind]) => kind === "file").map((key) => resolved(store.delete(key))));
    database.close();
}}"""


def kept(page: Page, files: int = 1) -> None:
    """Waits until the browser has so many files to send, for the pages that follow, as it does within moments."""
    wait_for(lambda: page.evaluate(_COUNT_KEPT) == [files, files], what="the browser's copies")


def grow_old(page: Page) -> None:
    """As if what the browser keeps had been added long ago."""
    page.evaluate(_GROW_OLD)


def forget_files(page: Page) -> None:
    """As a browser that has no room for files, but for what is known of them."""
    page.evaluate(_FORGET_FILES)
