"""A browser for the tests that walk the product."""

import os

import pytest

from tests import browser


@pytest.fixture(scope="session")
def browser_type_launch_args():
    found = browser.find()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("No browser: `make test` fetches one, or says why it cannot.")
        pytest.skip("no browser is installed, and none could be fetched")
    return {"executable_path": found, "args": browser.ARGUMENTS, "headless": True}
