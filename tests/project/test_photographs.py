"""The main job on real photographs: import, search with what was imported, a worker killed on the way."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from tests.product import ROOT, Product, wait_for

pytestmark = pytest.mark.product

QUERIES = 50


@pytest.fixture(scope="module")
def product(shared, tmp_path_factory, prepared):
    """The product with all the photographs imported; its worker was killed in the middle of that."""
    made = Product(tmp_path_factory.mktemp("photographs") / "data", prepared=prepared)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def imported(product, shared):
    importing = subprocess.Popen(
        [sys.executable, "manage.py", "import_folder", str(shared / "photos"), "--wait"],
        cwd=ROOT, env=product.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    client = product.sign_in()
    wait_for(lambda: client.get("/status/")["assets"]["ready"] > 100, what="the first hundred")
    for worker in product.workers():
        worker.kill()
    said = importing.communicate(timeout=300)[0]
    print(said)
    assert importing.returncode == 0, said
    return client


@pytest.fixture(scope="module")
def chosen(imported):
    """50 assets, spread over all."""
    wait_for(lambda: imported.get("/status/")["index"], seconds=120, what="the index")
    newest = imported.get("/assets/", page_size=1)["results"][0]["id"]
    oldest = imported.get("/assets/", page_size=1, ordering="id")["results"][0]["id"]
    step = (newest - oldest) // QUERIES
    return [imported.get(f"/assets/{oldest + step * i}/") for i in range(QUERIES)]


def smaller_copy(original: bytes) -> bytes:
    """At 70 % of its size, as a JPEG of quality 60."""
    image = Image.open(io.BytesIO(original)).convert("RGB")
    size = round(0.7 * image.width), round(0.7 * image.height)
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def test_every_photograph_is_ready_once_although_workers_were_killed(product, imported, shared):
    photographs = list((shared / "photos").rglob("*.jpg"))
    assert imported.get("/status/")["assets"] == {"pending": 0, "ready": len(photographs), "failed": 0}
    counted = "SELECT count(*), count(DISTINCT asset_id), count(vector) FROM search_embedding"
    assert product.psql(counted) == str([(len(photographs),) * 3])


def test_second_import_finds_everything_there(product, imported, shared):
    said = product.command("import_folder", str(shared / "photos")).stdout
    assert "0 stored, 1400 there already, 0 refused" in said


def test_each_photograph_is_its_own_first_hit(imported, chosen):
    for asset in chosen:
        answer = imported.search(imported.bytes_of(asset["urls"]["original"]))
        first = answer["results"][0]
        assert first["asset"]["id"] == asset["id"]
        assert first["similarity"] >= 0.999
        assert answer["search"]["exact"] is False
        assert answer["search"]["index"] == "ivfflat"
        assert answer["search"]["recall"] >= 0.98


def test_smaller_worse_copy_still_finds_its_photograph(imported, chosen):
    found = 0
    for asset in chosen:
        answer = imported.search(smaller_copy(imported.bytes_of(asset["urls"]["original"])))
        found += answer["results"][0]["asset"]["id"] == asset["id"]
    print(f"{found} of {QUERIES} smaller copies found their photograph first")
    assert found >= 48
