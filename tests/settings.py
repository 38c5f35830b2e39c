"""The project's settings over an empty data folder of the test run's own."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Each of the processes that run tests side by side has its own; a process that a test starts shares its parent's.
if (runner := f"-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-") not in os.environ.get("ASSETSEARCH_TEST_DATA", ""):
    folder = tempfile.mkdtemp(prefix=f"assetsearch-test{runner}")
    os.environ["ASSETSEARCH_TEST_DATA"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ["DATA_DIR"] = os.environ["ASSETSEARCH_TEST_DATA"]
os.environ.pop("DATABASE_URL", None)
os.environ.pop("S3_BUCKET", None)

from assetsearch.settings import *  # noqa: F403

DEBUG = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ENCODER = "descriptor"
WHITENOISE_AUTOREFRESH = True  # each test client would read the files anew, a quarter of what an asked page takes
Path(MEDIA_ROOT).mkdir(exist_ok=True)  # noqa: F405
DATABASES["default"]["TEST"] = {"TEMPLATE": "assetsearch"}  # noqa: F405 (its locale, whatever the environment's)
