"""How gunicorn serves the site: threads, because the encoder is shared by all of a process."""

import os
import shutil
import threading

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assetsearch.settings")

from django.conf import settings

bind = f"{settings.URL_HOST}:{settings.PORT}"
worker_class = "gthread"
workers = settings.WEB_PROCESSES
threads = settings.WEB_THREADS
timeout = 120  # seconds without a sign of life
graceful_timeout = 5  # seconds for requests under way when told to stop
keepalive = 5  # seconds
control_socket_disable = True  # it would lie in the home folder, one for all installations


def on_starting(server: object) -> None:
    """Give all processes one folder to count in, for /metrics. What is counted begins with the server.

    No child_exit marks a process as dead: that is for gauges of what lives. What the dead have counted stays counted.
    """
    counts = settings.DATA_DIR / "metrics"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counts)  # before a worker imports prometheus_client


def post_worker_init(worker: object) -> None:
    """Load the encoder while the first page is served, so that the first search need not wait for it."""
    from search.pictures import warm_up

    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
