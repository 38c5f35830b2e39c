"""The project's settings over an empty data folder of the test run's own."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

if "ASSETSEARCH_TEST_DATA" not in os.environ:  # a process that a test starts shares its parent's folder
    folder = tempfile.mkdtemp(prefix="assetsearch-test-")
    os.environ["ASSETSEARCH_TEST_DATA"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ["DATA_DIR"] = os.environ["ASSETSEARCH_TEST_DATA"]
os.environ.pop("DATABASE_URL", None)
os.environ.pop("S3_BUCKET", None)

from assetsearch.settings import *  # noqa: F403

DEBUG = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ENCODER = "descriptor"
Path(MEDIA_ROOT).mkdir(exist_ok=True)  # noqa: F405
DATABASES["default"]["TEST"] = {"TEMPLATE": "assetsearch"}  # noqa: F405 (its locale, whatever the environment's)
