"""Processes are killed at random moments while pictures are uploaded, and nothing that was acknowledged is lost.

FAULT_UPLOADS and FAULT_KILLS say how many, FAULT_SEED which processes and when: `make faults` is the long form.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import psutil
import pytest

from tests.conftest import drawn, encoded
from tests.faults.processes import KINDS, alive
from tests.faults.uploading import Uploads
from tests.product import Product, wait_for

pytestmark = pytest.mark.product

UPLOADS, KILLS = int(os.environ.get("FAULT_UPLOADS", "40")), int(os.environ.get("FAULT_KILLS", "6"))
SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))
#: What everything has to be settled within, once the last process was killed and the last upload acknowledged.
RECOVERY_SECONDS = 120
#: For a process to be there that is to be killed: many times what a start takes.
_PATIENCE_SECONDS = 120

#: What there is of each asset in the database.
_STATE = """
import json
from django.db.models import Count, Max, Q
from gallery.models import Asset
from search.models import Encoder
serving = Q(embeddings__encoder=Encoder.objects.active(), embeddings__vector__isnull=False)
assets = Asset.objects.annotate(
    vectors=Count("embeddings", serving), embedded=Max("embeddings__embedded_at"), attempts=Max("embeddings__attempts")
)
told = assets.values("id", "sha256", "status", "error", "created", "vectors", "embedded", "attempts")
print(json.dumps(list(told), default=lambda moment: moment.timestamp()))
"""
#: What killed processes left of files, what of that the product's own sweep leaves, and what is damaged.
_FILES = """
import json
from datetime import timedelta
from pathlib import Path
from django.conf import settings
from gallery import integrity
integrity._ORPHAN_AGE = integrity._ABANDONED_AGE = timedelta(0)
def left_over():
    return [*integrity.orphans(), *(path.name for path in Path(settings.SPOOL_DIR).iterdir() if path.is_file())]
before = left_over()
integrity.sweep()
damaged = [finding.where for found in integrity.check_assets(repair=False) for finding in found]
print(json.dumps({"left over": before, "not swept": left_over(), "damaged": damaged}))
"""


@dataclass(frozen=True)
class Kill:
    kind: str
    at: float


@pytest.mark.timeout(2400)
def test_nothing_acknowledged_is_lost_whatever_is_killed(product):
    print(f"\nFAULT_SEED={SEED} FAULT_UPLOADS={UPLOADS} FAULT_KILLS={KILLS}")
    client = product.sign_in()
    with Uploads(product.url, client.session.headers["Authorization"]) as uploads:
        kills = upload_under_fire(product, uploads, random.Random(SEED))
    settled_after = seconds_until_settled(client)

    assets = {asset["id"]: asset for asset in told_by(product, _STATE)}
    files = told_by(product, _FILES)
    report(kills, uploads, assets, files, settled_after)
    assert len(uploads.receipts) == len(assets) == UPLOADS
    for receipt in uploads.receipts:
        assert assets[receipt.asset_id]["sha256"] == receipt.sha256
        assert client.bytes_of(f"{client.url}/assets/{receipt.asset_id}/download/") == receipt.data
    assert [asset for asset in assets.values() if not (is_ready(asset) or is_given_up(asset))] == []
    assert sum(is_given_up(asset) for asset in assets.values()) <= KILLS // 2
    assert (files["not swept"], files["damaged"]) == ([], [])
    ready = [receipt for receipt in uploads.receipts if is_ready(assets[receipt.asset_id])]
    for receipt in random.Random(SEED).sample(ready, 5):
        assert client.search(receipt.data)["results"][0]["asset"]["id"] == receipt.asset_id


def upload_under_fire(product: Product, uploads: Uploads, chance: random.Random) -> list[Kill]:
    """With each portion of the pictures a kill, once a random number of them is acknowledged; the last has none."""
    kinds = [list(KINDS)[number % len(KINDS)] for number in range(KILLS)]
    chance.shuffle(kinds)
    portions = in_portions(pictures(UPLOADS, chance), KILLS + 1)
    done, kills = 0, []
    for kind, portion in zip(kinds, portions, strict=False):
        uploads.add(portion)
        uploads.wait_for(done + chance.randrange(len(portion)))
        threading.Event().wait(chance.uniform(0, 0.5))
        kills.append(kill_one(product, kind, chance))
        done += len(portion)
    uploads.add(portions[-1])
    uploads.finish()
    return kills


def pictures(count: int, chance: random.Random) -> list[bytes]:
    """Each of its own; some take a while to decode."""
    return [encoded(drawn(seed, (chance.choice([320, 1600, 3200]), 1200))) for seed in range(count)]


def in_portions(all_of_them: list[bytes], count: int) -> list[list[bytes]]:
    """As even as can be."""
    ends = [len(all_of_them) * number // count for number in range(count + 1)]
    return [all_of_them[start:end] for start, end in pairwise(ends)]


def kill_one(product: Product, kind: str, chance: random.Random) -> Kill:
    while True:
        there = wait_for(lambda: alive(product, kind), seconds=_PATIENCE_SECONDS, what=f"a {kind}")
        with suppress(psutil.NoSuchProcess):  # it went with another
            chance.choice(there).kill()
            return Kill(kind, time.time())


def seconds_until_settled(client) -> float:
    """Until nothing is pending any more."""

    def is_settled():
        try:
            return client.is_settled()
        except OSError:  # requests' errors are such
            return False

    began = time.monotonic()
    wait_for(is_settled, seconds=RECOVERY_SECONDS, what="an end to all that is pending")
    return time.monotonic() - began


def told_by(product: Product, script: str):
    return json.loads(product.command("shell", "-v", "0", "-c", script).stdout)


def is_ready(asset) -> bool:
    return (asset["status"], asset["error"], asset["vectors"]) == ("ready", "", 1)


def is_given_up(asset) -> bool:
    """Each of its attempts was ended by a kill, and it says so."""
    return (asset["status"], asset["vectors"]) == ("failed", 0) and "never finished" in asset["error"]


def report(kills: list[Kill], uploads: Uploads, assets: dict[int, dict], files: dict, settled_after: float) -> None:
    lost = [receipt for receipt in uploads.receipts if receipt.asset_id not in assets]
    answered = [first_after(kill.at, [(one.began, one.ended) for one in uploads.receipts]) for kill in kills]
    embedded = [
        first_after(kill.at, [(one["created"], one["embedded"]) for one in assets.values() if one["embedded"]])
        for kill in kills
    ]
    print(f"kills            {dict(Counter(kill.kind for kill in kills))}")
    print(f"acknowledged     {len(uploads.receipts)}, lost {len(lost)}")
    print(f"sent again       {dict(uploads.sent_again)}")
    print(f"acknowledging    {max(answered):.1f} s after a kill at most, median {median(answered):.1f} s")
    print(f"embedding        {max(embedded):.1f} s after a kill at most, median {median(embedded):.1f} s")
    print(f"all settled      {settled_after:.1f} s after the last acknowledgement")
    print(f"assets           {dict(Counter(one['status'] for one in assets.values()))}")
    print(f"attempts         {dict(Counter(one['attempts'] for one in assets.values()))}")
    print(f"files left over  {len(files['left over'])}, not swept {len(files['not swept'])}")


def first_after(moment: float, spans: list[tuple[float, float]]) -> float:
    """Seconds until the first end of what began after the moment."""
    return min((end - moment for begin, end in spans if begin > moment), default=float("inf"))
