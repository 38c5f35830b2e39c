"""Vectors of what lies in the trash: never found, and back at once."""

import threading

import numpy as np
import pytest
from django.db import connection

from gallery import trash
from gallery.history import Act
from gallery.models import Asset
from search import index, kinds, pipeline, query, shelf, switching
from search.models import Code, Embedding, Encoder, Shelved
from search.query import Wanted
from tests.search.vectors import filled_with, random_vectors

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


@pytest.fixture
def row(db, monkeypatch, tuned_soon):
    """An encoder that serves. Its indexes go with the test, of which the database forgets its rows alone."""
    monkeypatch.setattr(index, "_GRACE_S", 0)
    monkeypatch.setattr(index, "is_used", lambda *_: True)  # of so few rows that depends on what tuning measures
    made = Encoder.objects.create(name="made", revision="1", dimensions=32, preprocessing=1)
    made.activate()
    yield made
    index.build(made, kind=kinds.EXACT)


@pytest.fixture
def filled(row, user):
    """1,200 assets with vectors in clusters."""
    made = random_vectors(1200, row.dimensions, clusters=20, spread=0.5)
    return filled_with(made, row, user), made


def nearest_ids(vector, row, among=None):
    return [hit.asset.pk for hit in query.find_similar(vector, row, Wanted(k=40, among=among)).results]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["exact", "ivfflat", "hnsw", "pca"])
def test_trash_is_never_found_and_as_many_others_are(row, filled, user, kind):
    if kind != kinds.EXACT:
        index.build(row, kind=kind)
    vector = filled[1][7]
    before = nearest_ids(vector, row)
    trash.move_to_trash(Asset.objects.filter(pk__in=before), Act(user))

    for among in (None, Asset.objects.readable_by(user).filter(format__in=["JPEG", "PNG"])):
        found = nearest_ids(vector, row, among)
        assert len(set(found)) == 40
        assert not set(found) & set(before)

    trash.restore(Asset.objects.all(), Act(user))
    assert len(set(nearest_ids(vector, row)) & set(before)) >= 35


@pytest.mark.django_db(transaction=True)
def test_vectors_and_codes_come_back_as_they_were(row, filled, user):
    index.build(row, kind="pca")
    told = "asset", "encoder", "vector", "attempts", "error", "embedded_at"
    before = list(Embedding.objects.order_by("asset").values_list(*told))
    coded = list(Code.objects.order_by("asset").values_list("asset", "part", "reduced", "vector"))

    trash.move_to_trash(Asset.objects.filter(pk__lte=filled[0][99].pk), Act(user))
    assert (Embedding.objects.count(), Code.objects.count(), Shelved.objects.count()) == (1100, 1100, 100)
    trash.restore(Asset.objects.all(), Act(user))
    assert list(Embedding.objects.order_by("asset").values_list(*told)) == before
    assert list(Code.objects.order_by("asset").values_list("asset", "part", "reduced", "vector")) == coded
    assert not Shelved.objects.exists()


def test_trash_is_neither_embedded_nor_pending(colour_encoder, flat, user):
    made = flat(*RED)
    trash.move_to_trash(Asset.objects.all(), Act(user))

    assert pipeline.pending_count(colour_encoder) == 0
    assert pipeline.claim([made.pk], colour_encoder) == []
    assert pipeline.embed_pending(colour_encoder).total == 0
    trash.restore(Asset.objects.all(), Act(user))
    assert pipeline.pending_count(colour_encoder) == 1
    assert pipeline.embed_pending(colour_encoder).ready == 1


def test_what_was_claimed_is_embedded_after_it_is_back(colour_encoder, flat, user):
    made = flat(*RED)
    assert pipeline.claim([made.pk], colour_encoder) == [made.pk]
    trash.move_to_trash(Asset.objects.all(), Act(user))
    assert pipeline.store(colour_encoder, {made.pk: np.array([1, 0, 0, 0], np.float32)}) == 0
    assert not Embedding.objects.exists()

    trash.restore(Asset.objects.all(), Act(user))
    assert pipeline.embed([made.pk], colour_encoder).ready == 1


def test_failure_comes_back_with_its_reason(colour_encoder, flat, user):
    made = flat(*RED)
    pipeline.claim([made.pk], colour_encoder)
    pipeline.fail(colour_encoder, {made.pk: "It is torn."})
    trash.move_to_trash(Asset.objects.all(), Act(user))
    trash.restore(Asset.objects.all(), Act(user))

    made.refresh_from_db()
    assert (made.status, made.error) == ("failed", "It is torn.")


def test_what_comes_back_is_pending_to_an_encoder_that_began_to_serve_meanwhile(colour_encoder, flat, user):
    made = flat(*RED)
    pipeline.embed_pending(colour_encoder)
    trash.move_to_trash(Asset.objects.all(), Act(user))
    other = Encoder.objects.create(name="other", revision="1", dimensions=4, preprocessing=1)
    other.activate()
    trash.restore(Asset.objects.all(), Act(user))

    made.refresh_from_db()
    assert made.status == "pending"
    colour_encoder.activate()
    made.refresh_from_db()
    assert made.status == "ready"


def test_retiring_an_encoder_takes_what_is_on_the_shelf_along(colour_encoder, flat, user):
    made = flat(*RED)
    pipeline.embed_pending(colour_encoder)
    trash.move_to_trash(Asset.objects.all(), Act(user))
    Encoder.objects.create(name="other", revision="1", dimensions=4, preprocessing=1).activate()
    colour_encoder.refresh_from_db()
    switching.begin_retiring(colour_encoder)
    switching.retire(colour_encoder)
    assert not Shelved.objects.exists()
    trash.restore(Asset.objects.all(), Act(user))
    made.refresh_from_db()
    assert made.status == "pending"


@pytest.mark.django_db(transaction=True)
def test_claim_made_while_it_is_moved_to_the_trash_waits_and_gets_nothing(colour_encoder, flat, user, monkeypatch):
    made = flat(*RED)
    claimed, claiming = [], None

    def claim():
        try:
            claimed.append(pipeline.claim([made.pk], colour_encoder))
        finally:
            connection.close()

    really_execute = shelf._execute

    def execute_with_a_claim_before(statement, asset_ids):
        nonlocal claiming
        claiming = threading.Thread(target=claim)
        claiming.start()
        really_execute(statement, asset_ids)

    monkeypatch.setattr(shelf, "_execute", execute_with_a_claim_before)
    trash.move_to_trash(Asset.objects.all(), Act(user))
    claiming.join()
    assert claimed == [[]]
    assert not Embedding.objects.exists()
