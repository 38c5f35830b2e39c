"""Finds a browser for the tests, or gets one: an installed Chromium, Playwright's own, or Debian's package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: The shell first: it draws the same, and takes two thirds of the processor time.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # root has no sandbox to use
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find() -> str | None:
    """Path of a browser that is there."""
    installed = next(filter(None, map(shutil.which, _NAMES)), None)
    return installed or _playwrights_own()


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def get() -> str | None:
    """Path of a browser, which is fetched if there is none."""
    if found := find():
        return found
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if (found := find()) is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        for package in ("chromium-headless-shell", "chromium"):
            subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], check=False)
            if found := find():
                break
    return found


if __name__ == "__main__":
    if get() is None:
        sys.stderr.write("No browser could be found or fetched: install Chromium. Browser tests cannot run.\n")
        sys.exit(1 if os.environ.get("CI") == "true" else 0)
