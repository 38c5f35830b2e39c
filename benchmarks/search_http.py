"""A search by HTTP, end to end: POST /api/v1/search/ with JPEGs of some 500 px, in a gallery of 100,000 assets.

    .venv/bin/python benchmarks/search_http.py --photos DIR [--rows N] [--json FILE]

The product runs as a user starts it, with the built-in encoder, over vectors that were made up (search_data.py). No
picture comes twice, so none is answered from the cache. Some searches go before those that are measured, so that each
thread of the server has its connection and its plans. Beside it stand the encoder's own time for one picture, and ten
requests at once.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "assetsearch.settings"
os.environ["LOG_LEVEL"] = "ERROR"
os.environ["ENCODER"] = "descriptor"
os.environ.pop("DATABASE_URL", None)

import numpy as np
import requests
from urllib3 import HTTPConnectionPool, encode_multipart_formdata

from benchmarks.search_data import draw, make_law
from tests.product import PASSWORD, Product

ALONE, TOGETHER, ROUNDS, WARM_UP = 100, 10, 8, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of at least 500 photographs")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(options.photos.rglob("*.jpg"))[::3]]
    folder = Path(tempfile.mkdtemp(prefix="assetsearch-benchmark-"))
    os.environ["DATA_DIR"] = str(folder / "var")
    try:
        forward_ms = prepare(options.rows, photos)
        report = {"rows": options.rows, "forward_ms": forward_ms, **measure(folder / "var", photos)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report["above_forward_ms"] = report["p50_ms"] - forward_ms
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


def prepare(rows: int, photos: Sequence[bytes]) -> float:
    """Fill and index the gallery; milliseconds of the encoder for one picture (p50)."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from assetsearch import postgres
    from benchmarks import search_postgres
    from gallery.images import open_rendition
    from search import calibration, encoders, index
    from search.models import Encoder

    call_command("migrate", verbosity=0)
    row = Encoder.objects.for_spec(encoders.spec("descriptor"))
    row.activate()
    search_postgres.fill(row, draw(make_law(row.dimensions), rows, seed=1))
    index.build(row)
    calibration.calibrate(row)
    connections.close_all()
    encoder = row.load()
    postgres.release(Path(os.environ["DATA_DIR"]))
    took = []
    for photo in photos[-60:]:
        prepared = encoder.prepare(open_rendition(photo, shorter_side_px=encoder.decode_side_px))[None]
        started = time.perf_counter()
        encoder.encode(prepared)
        took.append((time.perf_counter() - started) * 1000)
    return float(np.median(took))


def measure(data_dir: Path, photos: Sequence[bytes]) -> dict[str, Any]:
    product = Product(data_dir, API_RATE_USER="100000/min")
    product.start()
    try:
        known = {"username": "admin", "password": PASSWORD}
        token = requests.post(f"{product.url}/api/v1/token/", known, timeout=60).json()["token"]
        client = HTTPConnectionPool("127.0.0.1", product.port, maxsize=TOGETHER)
        fresh = iter([_request(photo, token) for photo in photos])
        for _ in range(WARM_UP):
            _search(client, next(fresh))
        took = [_search(client, next(fresh)) for _ in range(ALONE)]
        with ThreadPoolExecutor(TOGETHER) as pool:
            together = [_together(pool, client, fresh) for _ in range(ROUNDS)][1:]  # after one to warm up all threads
        known_photo = _request(photos[WARM_UP], token)
        again = [_search(client, known_photo) for _ in range(30)]
    finally:
        product.stop()
    p50, p95 = np.percentile(took, [50, 95])
    return {
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "ten_at_once_ms": float(np.median(together)),
        "repeated_p50_ms": float(np.median(again)),
    }


def _together(pool: ThreadPoolExecutor, client: HTTPConnectionPool, fresh: Iterator[dict[str, Any]]) -> float:
    batch = [next(fresh) for _ in range(TOGETHER)]
    started = time.perf_counter()
    list(pool.map(partial(_search, client), batch))
    return (time.perf_counter() - started) * 1000


def _request(photo: bytes, token: str) -> dict[str, Any]:
    """Made beforehand: what takes time is the answer."""
    body, content_type = encode_multipart_formdata({"image": ("query.jpg", photo)})
    return {"body": body, "headers": {"Content-Type": content_type, "Authorization": f"Token {token}"}}


def _search(client: HTTPConnectionPool, request: dict[str, Any]) -> float:
    started = time.perf_counter()
    answer = client.request("POST", "/api/v1/search/", **request)
    took = (time.perf_counter() - started) * 1000
    assert answer.json()["results"], answer.data
    return took


if __name__ == "__main__":
    main()
