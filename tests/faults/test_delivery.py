"""A task that is delivered twice, and an asset that is deleted while it is embedded."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection

from gallery import trash
from gallery.models import Asset
from search import tasks
from search.models import Code, Embedding
from tests.product import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

#: Runs a task over the database of the tests, at the moment it is told to, and tells how often it encoded.
_PROCESS = """
import sys, django
name, asset_id = sys.argv[1:]
from django.conf import settings
settings.DATABASES["default"]["NAME"] = name
django.setup()
from search import pipeline, tasks
from search.encoders.descriptor import Descriptor
encoded, real = [], Descriptor.encode
def encode(self, prepared):
    encoded.extend(prepared)
    return real(self, prepared)
Descriptor.encode = encode
Asset = pipeline.Asset
assert Asset.objects.filter(pk=asset_id).exists()
print("ready", flush=True)
sys.stdin.readline()
tasks.embed_asset(int(asset_id))
print(len(encoded), flush=True)
"""


def test_task_delivered_to_processes_at_one_moment_encodes_once(encoder, asset):
    stored = asset(1)
    command = [sys.executable, "-c", _PROCESS, connection.settings_dict["NAME"], str(stored.pk)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("now\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60)[0] for process in processes]
    assert sorted(told) == ["0\n", "0\n", "0\n", "1\n"]
    assert list(Embedding.objects.values_list("asset", "attempts", "error")) == [(stored.pk, 1, "")]
    stored.refresh_from_db()
    assert stored.status == Asset.Status.READY


def test_task_delivered_again_and_again_in_threads_encodes_once(colour_encoder, flat, mean_colour):
    stored = [flat(10 * number, 200, 90) for number in range(8)]
    start = threading.Barrier(4)

    def deliver(_: int) -> None:
        try:
            start.wait()
            for asset in stored:
                tasks.embed_asset(asset.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deliver, range(4)))
    assert sum(mean_colour.batches) == len(stored)
    assert Embedding.objects.embedded().count() == len(stored)


@pytest.fixture
def held(mean_colour, monkeypatch):
    """The encoder waits before it is done, until it is let go."""
    is_encoding, may_go, real = threading.Event(), threading.Event(), mean_colour.encode

    def encode(prepared):
        is_encoding.set()
        assert may_go.wait(60)
        return real(prepared)

    monkeypatch.setattr(mean_colour, "encode", encode)
    return is_encoding, may_go


@pytest.fixture
def media(settings, tmp_path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT


def test_asset_deleted_while_it_is_embedded_leaves_no_orphan(colour_encoder, flat, held, user_client, media):
    is_encoding, may_go = held
    deleted, kept = flat(200, 10, 10), flat(10, 200, 10)

    def work() -> None:
        try:
            tasks.embed_pending()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        assert is_encoding.wait(60)
        assert user_client.post(f"/assets/{deleted.pk}/delete/").status_code == 302
        trash.doom(Asset.objects.filter(pk=deleted.pk))
        trash.sweep()
        may_go.set()
        working.result(60)
    assert list(Embedding.objects.values_list("asset", flat=True)) == [kept.pk]
    assert not Code.objects.exclude(asset=kept.pk).exists()
    assert len([path for path in media.rglob("*") if path.is_file()]) == 3
    later = flat(10, 10, 200)
    tasks.embed_pending()
    assert set(Asset.objects.values_list("pk", "status")) == {(kept.pk, "ready"), (later.pk, "ready")}
