import subprocess
import sys

import pytest
from django.conf import settings

HEAVY = {"torch", "transformers", "skimage"}


def loaded_by(statements):
    """Top-level names of the modules that a fresh process has loaded after the statements."""
    program = f"import django; django.setup(); {statements}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    return {module.partition(".")[0] for module in done.stdout.split()}


@pytest.mark.parametrize(
    ("statements", "own"),
    [
        ("pass", "search"),
        ("import assetsearch.urls; from django.contrib import admin; admin.autodiscover()", "rest_framework"),
        ("import assetsearch.wsgi", "assetsearch"),
        ("import search.tasks, search.pipeline, search.query, search.index", "numpy"),
        ("from django_q.cluster import Cluster", "django_q"),
    ],
)
def test_start_loads_nothing_heavy(statements, own):
    loaded = loaded_by(statements)
    assert own in loaded
    assert loaded & HEAVY == set()


def test_a_heavy_import_would_be_seen():
    assert loaded_by("import skimage") & HEAVY == {"skimage"}
