import faulthandler
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.db import IntegrityError, connection, transaction
from django.db.models.deletion import Collector
from django.utils import timezone

from gallery.models import Asset
from gallery.storage import StorageUnavailable
from search import codes, encoders, pipeline
from search.models import MAX_ATTEMPTS, Embedding, Encoder
from tests.product import wait_for

RED, GREEN, BLUE, POISON = (250, 0, 0), (0, 250, 0), (0, 0, 250), (13, 13, 13)


def expected(rgb):
    vector = np.array([*rgb, 64], dtype=np.float32)
    return vector / np.linalg.norm(vector)


def vector_of(asset, row):
    return np.asarray(Embedding.objects.get(asset=asset, encoder=row).vector)


def damage(asset):
    """Leave something in place of its preview that is no picture."""
    name = asset.preview.name
    asset.preview.storage.delete(name)
    asset.preview.storage.save(name, ContentFile(b"no picture"))


def ids_of_all():
    return list(Asset.objects.values_list("pk", flat=True))


def expire(row):
    Embedding.objects.filter(encoder=row).update(claimed_until=timezone.now() - timedelta(hours=1))


def test_pending_assets_get_their_own_vectors(colour_encoder, flat):
    stored = {rgb: flat(*rgb) for rgb in (RED, GREEN, BLUE, (90, 90, 0), (0, 90, 90), (9, 200, 90))}
    tally = pipeline.embed_pending(colour_encoder)
    assert (tally.ready, tally.failed) == (6, 0)
    for rgb, asset in stored.items():
        np.testing.assert_allclose(vector_of(asset, colour_encoder), expected(rgb), atol=0.02)
        asset.refresh_from_db()
        assert asset.status == Asset.Status.READY


def test_unreadable_picture_in_a_batch_shifts_no_vector(colour_encoder, flat):
    first, broken, last = flat(*RED), flat(*GREEN), flat(*BLUE)
    damage(broken)
    pipeline.embed_pending(colour_encoder)
    np.testing.assert_allclose(vector_of(first, colour_encoder), expected(RED), atol=0.02)
    np.testing.assert_allclose(vector_of(last, colour_encoder), expected(BLUE), atol=0.02)
    broken.refresh_from_db()
    assert broken.status == Asset.Status.FAILED
    assert "cannot be decoded" in broken.error


def test_missing_file_is_tried_again_before_it_counts_as_failed(colour_encoder, flat):
    """It may be back: a disk that is not mounted must not fail a whole gallery."""
    asset = flat(*RED)
    content = asset.preview.open().read()
    asset.preview.storage.delete(asset.preview.name)
    for _ in range(MAX_ATTEMPTS - 1):
        assert pipeline.embed_pending(colour_encoder).total == 0
        expire(colour_encoder)
    asset.refresh_from_db()
    assert asset.status == Asset.Status.PENDING
    asset.preview.storage.save(asset.preview.name, ContentFile(content))
    assert pipeline.embed_pending(colour_encoder).ready == 1


def test_missing_file_fails_in_the_end_with_its_reason(colour_encoder, flat):
    asset = flat(*RED)
    asset.preview.storage.delete(asset.preview.name)
    for _ in range(MAX_ATTEMPTS):
        pipeline.embed_pending(colour_encoder)
        expire(colour_encoder)
    asset.refresh_from_db()
    assert asset.status == Asset.Status.FAILED
    assert "cannot be read" in asset.error


@pytest.mark.parametrize("embed", [pipeline.embed_pending, lambda row: pipeline.embed(ids_of_all(), row)])
def test_outage_puts_off_what_is_in_hand_without_waiting_for_it(colour_encoder, flat, monkeypatch, embed):
    """Each picture may take as long to find that nobody answers, and together longer than a worker may take."""
    for number in range(8):
        flat(20 * number, 99, 0)
    is_over, asked = threading.Event(), []

    def decode(asset, encoder):
        asked.append(asset.pk)
        if len(asked) > 1:
            is_over.wait(20)
        raise StorageUnavailable

    monkeypatch.setattr(pipeline, "_decode", decode)
    began = time.monotonic()
    try:
        with pytest.raises(StorageUnavailable):
            embed(colour_encoder)
        assert time.monotonic() - began < 10
    finally:
        is_over.set()
    assert len(asked) <= 4
    assert not Embedding.objects.exists()


@pytest.fixture
def armed(monkeypatch):
    """When the watch over batches was wound, in turn; it ends nothing."""
    moments = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: moments.append(time.monotonic()))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", moments.clear)
    return moments


def test_database_that_takes_long_is_no_batch_that_hangs(colour_encoder, flat, monkeypatch, armed):
    """Activating an encoder locks it for as long as it takes to say of each asset what it is."""
    flat(*RED)
    real = pipeline._write

    def write(*given):
        before = len(armed)
        wait_for(lambda: len(armed) > before + 2, seconds=10, what="winding of the watch")
        real(*given)

    monkeypatch.setattr(pipeline, "_RENEW_S", 0.05)
    monkeypatch.setattr(pipeline, "_write", write)
    assert pipeline.embed_pending(colour_encoder).ready == 1
    assert armed == []


def test_encoder_that_takes_nothing_fails_no_asset_at_once(colour_encoder, flat, monkeypatch, mean_colour):
    assets = [flat(*RED), flat(*BLUE)]
    with monkeypatch.context() as patched:
        patched.setattr(mean_colour, "encode", lambda prepared: 1 / 0)
        assert pipeline.embed_pending(colour_encoder).total == 0
    expire(colour_encoder)
    assert pipeline.embed_pending(colour_encoder).ready == len(assets)


def test_asset_that_kills_the_process_takes_no_other_along(colour_encoder, flat, mean_colour, monkeypatch):
    """As a process killed by one picture leaves it: whatever was claimed beside that picture stays claimed."""

    class Killed(BaseException):
        pass

    healthy = [flat(*rgb) for rgb in (RED, GREEN, BLUE)]
    poison = flat(*POISON)
    healthy += [flat(*rgb) for rgb in ((90, 90, 0), (0, 90, 90), (9, 200, 90))]
    encode = mean_colour.encode

    def deadly(prepared):
        if (np.abs(prepared.astype(int) - 13) <= 1).all(axis=1).any():
            raise Killed
        return encode(prepared)

    monkeypatch.setattr(mean_colour, "encode", deadly)
    for _ in range(MAX_ATTEMPTS + 1):
        with suppress(Killed):
            pipeline.embed_pending(colour_encoder)
        expire(colour_encoder)
    pipeline.embed_pending(colour_encoder)
    statuses = dict(Asset.objects.values_list("pk", "status"))
    assert statuses == {poison.pk: "failed", **{asset.pk: "ready" for asset in healthy}}


def test_vector_that_comes_after_a_retry_is_dropped(colour_encoder, flat):
    asset = flat(*RED)
    pipeline.claim([asset.pk], colour_encoder)
    pipeline.retry([asset.pk], colour_encoder)
    assert pipeline.store(colour_encoder, {asset.pk: expected(RED)}) == 0
    asset.refresh_from_db()
    assert asset.status == Asset.Status.PENDING


def test_failure_that_comes_after_a_vector_changes_nothing(colour_encoder, flat):
    asset = flat(*RED)
    pipeline.embed_pending(colour_encoder)
    assert pipeline.fail(colour_encoder, {asset.pk: "too late"}) == 0
    asset.refresh_from_db()
    assert (asset.status, asset.error) == (Asset.Status.READY, "")


def test_picture_the_encoder_refuses_fails_alone(colour_encoder, flat):
    first, poison, last = flat(*RED), flat(*POISON), flat(*BLUE)
    tally = pipeline.embed_pending(colour_encoder)
    assert (tally.ready, tally.failed) == (2, 1)
    np.testing.assert_allclose(vector_of(last, colour_encoder), expected(BLUE), atol=0.02)
    poison.refresh_from_db()
    assert (poison.status, poison.error) == (Asset.Status.FAILED, "The encoder failed: poison")
    first.refresh_from_db()
    assert first.status == Asset.Status.READY


def test_failed_asset_is_not_tried_again_until_asked(colour_encoder, flat, mean_colour):
    poison = flat(*POISON)
    flat(*RED)
    pipeline.embed_pending(colour_encoder)
    assert pipeline.embed_pending(colour_encoder).total == 0
    mean_colour.poison = 200
    pipeline.retry([poison.pk], colour_encoder)
    poison.refresh_from_db()
    assert poison.status == Asset.Status.PENDING
    assert pipeline.embed_pending(colour_encoder).ready == 1


def test_claim_is_given_once(colour_encoder, flat):
    ids = [flat(*RED).pk, flat(*BLUE).pk]
    assert sorted(pipeline.claim(ids, colour_encoder)) == sorted(ids)
    assert pipeline.claim(ids, colour_encoder) == []


def test_claim_counts_the_attempt_before_the_work(colour_encoder, flat):
    asset = flat(*RED)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert pipeline.claim([asset.pk], colour_encoder) == [asset.pk]
        assert Embedding.objects.get(asset=asset).attempts == attempt
        expire(colour_encoder)
    assert pipeline.claim([asset.pk], colour_encoder) == []


def test_asset_that_kills_its_process_each_time_is_failed_with_a_reason(colour_encoder, flat):
    asset = flat(*RED)
    for _ in range(MAX_ATTEMPTS):
        pipeline.claim([asset.pk], colour_encoder)
        expire(colour_encoder)
    pipeline.embed_pending(colour_encoder)
    asset.refresh_from_db()
    assert (asset.status, asset.error) == (Asset.Status.FAILED, pipeline.GAVE_UP)


def test_batch_that_died_is_retried_one_by_one(colour_encoder, flat, mean_colour):
    pipeline.claim([flat(*RED).pk, flat(*BLUE).pk, flat(*GREEN).pk], colour_encoder)
    assert pipeline.embed_pending(colour_encoder).total == 0  # still under its lease
    expire(colour_encoder)
    mean_colour.batches.clear()
    assert pipeline.embed_pending(colour_encoder).ready == 3
    assert mean_colour.batches == [1, 1, 1]


def test_batches_stored_in_one_transaction_get_their_own_vectors(colour_encoder, flat):
    """What the first left on its way would be taken for the second's."""
    first, second, third = flat(*RED), flat(*GREEN), flat(*BLUE)
    pipeline.claim([first.pk, second.pk, third.pk], colour_encoder)
    with transaction.atomic():
        assert pipeline.store(colour_encoder, {first.pk: expected(RED), third.pk: expected(RED)}) == 2
        assert pipeline.store(colour_encoder, {second.pk: expected(GREEN), third.pk: expected(BLUE)}) == 2
    for asset, rgb in ((first, RED), (second, GREEN), (third, BLUE)):
        np.testing.assert_allclose(vector_of(asset, colour_encoder), expected(rgb), atol=0.002)


@pytest.mark.django_db(transaction=True)
def test_failed_store_leaves_nothing_to_the_next(colour_encoder, flat):
    first, second = flat(*RED), flat(*GREEN)
    pipeline.claim([first.pk, second.pk], colour_encoder)
    with pytest.raises(IntegrityError):
        pipeline.store(colour_encoder, {first.pk: expected(RED), second.pk: np.zeros(4, np.float32)})
    assert pipeline.store(colour_encoder, {second.pk: expected(GREEN)}) == 1
    assert Embedding.objects.get(asset=first).vector is None


def test_asset_deleted_while_it_is_embedded_leaves_nothing(colour_encoder, flat):
    asset = flat(*RED)
    pipeline.claim([asset.pk], colour_encoder)
    asset_id = asset.pk
    asset.delete()
    pipeline.store(colour_encoder, {asset_id: expected(RED)})
    assert not Embedding.objects.filter(asset_id=asset_id).exists()


def test_embedding_twice_keeps_one_row(colour_encoder, flat):
    asset = flat(*RED)
    pipeline.embed([asset.pk], colour_encoder)
    pipeline.embed([asset.pk], colour_encoder)
    assert Embedding.objects.filter(asset=asset).count() == 1


def test_vectors_of_two_encoders_live_side_by_side(colour_encoder, flat):
    asset = flat(*RED)
    pipeline.embed_pending(colour_encoder)
    other = Encoder.objects.for_spec(encoders.spec("descriptor"))
    pipeline.embed_pending(other)
    assert vector_of(asset, colour_encoder).shape == (4,)
    assert vector_of(asset, other).shape == (other.dimensions,)


def test_encoder_that_does_not_serve_leaves_the_status_alone(colour_encoder, flat):
    asset = flat(*RED)
    pipeline.embed_pending(Encoder.objects.for_spec(encoders.spec("descriptor")))
    asset.refresh_from_db()
    assert asset.status == Asset.Status.PENDING


def test_activating_recomputes_every_status(colour_encoder, flat, mean_colour):
    ready, failed = flat(*RED), flat(*POISON)
    pipeline.embed_pending(colour_encoder)
    pending = flat(*BLUE)
    Encoder.objects.for_spec(encoders.spec("descriptor")).activate()
    assert set(Asset.objects.values_list("status", flat=True)) == {"pending"}
    colour_encoder.activate()
    statuses = dict(Asset.objects.values_list("pk", "status"))
    assert statuses == {ready.pk: "ready", failed.pk: "failed", pending.pk: "pending"}
    assert Asset.objects.get(pk=failed.pk).error == "The encoder failed: poison"
    assert Encoder.objects.filter(is_active=True).count() == 1


@pytest.mark.parametrize("vector", [[0, 0, 0, 0], [2, 0, 0, 0]])
def test_database_refuses_a_vector_not_of_unit_length(colour_encoder, flat, vector):
    asset = flat(*RED)
    pipeline.claim([asset.pk], colour_encoder)
    with pytest.raises(IntegrityError), transaction.atomic():
        pipeline.store(colour_encoder, {asset.pk: np.array(vector, dtype=np.float32)})


def test_claim_is_renewed_for_a_batch_that_waited(colour_encoder, flat):
    asset = flat(*RED)
    pipeline.claim([asset.pk], colour_encoder)
    expire(colour_encoder)
    pipeline.renew([asset.pk], colour_encoder)
    assert pipeline.claim([asset.pk], colour_encoder) == []


def test_batches_are_full_whatever_lies_between(colour_encoder, flat, mean_colour, monkeypatch):
    monkeypatch.setattr(pipeline, "_PAGE", 3)
    assets = [flat(20 * i, 99, 0) for i in range(12)]
    pipeline.embed([asset.pk for asset in assets[:5] + assets[7:9]], colour_encoder)
    mean_colour.batches.clear()
    assert pipeline.embed_pending(colour_encoder).ready == 5
    assert mean_colour.batches == [4, 1]


_EMBEDDED_ALL = """
    INSERT INTO search_embedding (asset_id, encoder_id, attempts, claimed_until, error, vector)
    SELECT id, %s, 1, now(), '', '[1,0,0,0]' FROM gallery_asset
"""


def test_new_encoder_that_statistics_do_not_know_yet_is_filled_as_fast(colour_encoder, flat, user):
    """They promise no rows; what a join by that does to find a batch, or to count, takes ten seconds and more."""
    other = Encoder.objects.create(name="other", revision="1", dimensions=4, preprocessing=1)
    Asset.objects.bulk_create(
        Asset(owner=user, sha256=f"{number:064x}", width=1, height=1, size_bytes=1) for number in range(15_000)
    )
    with connection.cursor() as cursor:
        cursor.execute(_EMBEDDED_ALL, [colour_encoder.pk])
        cursor.execute("ANALYZE gallery_asset, search_embedding")
        cursor.execute(_EMBEDDED_ALL, [other.pk])
        pending = flat(*RED).pk
        cursor.execute("SET LOCAL statement_timeout = '3s'")
        assert pipeline.pending_count(other) == 1
        assert list(pipeline._claims(other, 4)) == [[pending]]
        assert pipeline.store(other, {pending: expected(RED)}) == 1


@pytest.mark.django_db(transaction=True)
def test_two_connections_never_claim_the_same(colour_encoder, flat):
    ids = [flat(10 * i, 99, 0).pk for i in range(12)]

    def claim_all(_):
        try:
            return pipeline.claim(ids, colour_encoder)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        claimed = [asset_id for batch in pool.map(claim_all, range(4)) for asset_id in batch]
    assert sorted(claimed) == sorted(ids)


deletes = pytest.mark.parametrize(
    "delete", [lambda asset: asset.delete(), lambda asset: Asset.objects.filter(pk=asset.pk).delete()]
)


@pytest.mark.django_db(transaction=True)
@deletes
def test_asset_claimed_while_it_is_deleted_is_deleted(colour_encoder, flat, monkeypatch, delete):
    asset = flat(*RED)
    claimed = []

    def claim():
        try:
            claimed.append(pipeline.claim([asset.pk], colour_encoder))
        finally:
            connection.close()

    claiming = threading.Thread(target=claim)
    really_delete = Collector.delete

    def delete_with_a_claim_before(collector):
        if Asset in collector.data:  # all that refers to the asset has been looked for
            claiming.start()
            wait_for(lambda: claimed or is_anybody_waiting_for_a_lock(), what="the claim, or its waiting")
        return really_delete(collector)

    monkeypatch.setattr(Collector, "delete", delete_with_a_claim_before)
    delete(asset)
    claiming.join()
    assert claimed == [[]]
    assert not Asset.objects.exists()
    assert not Embedding.objects.exists()


@pytest.mark.django_db(transaction=True)
@deletes
def test_asset_deleted_while_its_vector_is_stored_is_deleted(colour_encoder, flat, monkeypatch, delete):
    asset = flat(*RED)
    pipeline.claim([asset.pk], colour_encoder)
    is_storing = threading.Event()

    def wait_for_the_deletion(*_):  # between the embedding and its asset
        is_storing.set()
        wait_for(is_anybody_waiting_for_a_lock, what="the deletion to wait")

    def store():
        try:
            return pipeline.store(colour_encoder, {asset.pk: np.array([1, 0, 0, 0], np.float32)})
        finally:
            connection.close()

    monkeypatch.setattr(codes, "add", wait_for_the_deletion)
    with ThreadPoolExecutor(1) as pool:
        storing = pool.submit(store)
        assert is_storing.wait(10)
        delete(asset)
        assert storing.result() == 1
    assert not Asset.objects.exists()
    assert not Embedding.objects.exists()


def is_anybody_waiting_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]
