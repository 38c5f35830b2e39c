"""Who uploads one picture does not wait behind an import of thousands."""

import time
from statistics import median

import pytest

from tests.conftest import drawn, encoded
from tests.product import Client, Product, wait_for

PENDING, MEASURED = 5000, 15
#: Photographs come in this size; a decoder takes a while over it.
SIZE = (1600, 1200)

#: Assets as uploads leave them, with the files of one that is there already.
_MANY = """
import hashlib, os
from copy import copy
from pathlib import Path
from gallery.models import Asset
from search import tasks
like = Asset.objects.order_by("pk").first()
made = []
for number in range({count}):
    asset = copy(like)
    asset.pk, asset.status, asset.sha256 = None, Asset.Status.PENDING, hashlib.sha256(b"%d" % number).hexdigest()
    asset._state = copy(like._state)
    for name in ("original", "preview", "thumbnail"):
        stored = getattr(like, name)
        new = stored.name + "-%d" % number
        os.link(stored.path, Path(stored.path).with_name(Path(new).name))
        setattr(asset, name, new)
    made.append(asset)
Asset.objects.bulk_create(made, batch_size=1000)
tasks.queue_pending()
"""


def seconds_until_searchable(client: Client, seed: int) -> float:
    data = encoded(drawn(seed, SIZE))
    started = time.monotonic()
    asset = client.upload(f"{seed}.jpg", data)
    wait_for(lambda: client.get(f"/assets/{asset['id']}/")["status"] == "ready", what="embedding")
    took = time.monotonic() - started
    assert client.search(data, k=1)["results"][0]["asset"]["id"] == asset["id"]
    return took


def pending(client: Client) -> int:
    return int(client.get("/status/")["assets"]["pending"])


@pytest.mark.product
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_upload_by_hand_is_soon_searchable_beside_5000_pending(product: Product):
    client = product.sign_in()
    for seed in range(3):  # whatever the first ones wait for
        seconds_until_searchable(client, seed)
    idle = [seconds_until_searchable(client, seed) for seed in range(MEASURED, 2 * MEASURED)]
    product.command("shell", "-v", "0", "-c", _MANY.format(count=PENDING))
    wait_for(lambda: pending(client) < PENDING - 200, what="bulk work")
    before = pending(client)
    loaded = [seconds_until_searchable(client, seed) for seed in range(2 * MEASURED, 3 * MEASURED)]
    left = pending(client)
    assert 0 < left < before, "the bulk queue was to be busy all the time"
    print(f"idle {median(idle):.2f} s, beside {PENDING} pending {median(loaded):.2f} s, {left} left at the end")
    print(" ".join(f"{took:.2f}" for took in idle), "|", " ".join(f"{took:.2f}" for took in loaded))
    assert median(loaded) < 2 * median(idle)
