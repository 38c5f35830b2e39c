import io

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from gallery.models import Asset, Collection
from search import heads, pipeline, query, switching
from search.models import Embedding, Encoder, Head
from search.switching import CannotSwitch
from tests.search.test_heads import labelled
from tests.search.vectors import filled_with


@pytest.fixture
def base(db):
    """An encoder of 32 numbers, as a row: its vectors are made up."""
    row = Encoder.objects.create(name="encoder-32", revision="1", dimensions=32, preprocessing=1)
    row.activate()
    return row


@pytest.fixture
def collected(base, user):
    """120 assets in six collections, alike by what has nothing to do with those."""
    made, labels = labelled()
    assets = filled_with(made, base, user)
    of_name = {name: Collection.objects.create(name=name, owner=user) for name in np.unique(labels)}
    for name, collection in of_name.items():
        members = [asset.pk for asset, label in zip(assets, labels, strict=True) if label == name]
        Asset.objects.filter(pk__in=members).update(collection=collection)
    return assets, made, labels


def train(*arguments):
    out = io.StringIO()
    call_command("train_head", "--labels", "collection", "--dimensions", "16", *arguments, stdout=out)
    return out.getvalue()


def test_head_that_wins_is_kept_as_an_encoder_with_vectors_of_all(base, collected):
    said = train()
    made = Encoder.objects.get(name="encoder-32~collection")
    assert (made.dimensions, made.is_active, made.head.base) == (16, False, base)
    assert Embedding.objects.filter(encoder=made).embedded().count() == 120
    assert made.head.learned["after"] > made.head.learned["before"]
    assert "Fitted to 60 assets, tried on 60 others" in said
    assert "manage.py activate encoder-32~collection" in said


def test_search_by_the_head_finds_more_of_the_same_collection(base, collected):
    assets, _, labels = collected
    train()
    headed = Encoder.objects.get(name="encoder-32~collection")

    def share(row):
        """Of the five nearest to each of 24 assets, those in its collection."""
        pairs = [(asset, label) for asset, label in list(zip(assets, labels, strict=True))[::5]]
        found = [
            hit.asset.collection.name == label
            for asset, label in pairs
            for hit in query.find_similar(query.vector_of(asset, row), row, but=[asset.pk]).results[:5]
        ]
        return sum(found) / len(found)

    assert share(headed) > share(base) + 0.2


def test_head_that_does_not_win_is_not_kept(base, collected, monkeypatch):
    monkeypatch.setattr("search.heads.fit", lambda made, labels, **_: np.eye(32, dtype=np.float32))
    assert "not kept" in train()
    assert Encoder.objects.count() == 1


def test_encoder_with_a_head_encodes_pictures_through_both(colour_encoder, mean_colour, flat):
    row = Encoder.objects.create(name="mean-colour~tag", revision="2", dimensions=2, preprocessing=1)
    matrix = np.zeros((4, 2), np.float32)
    matrix[0, 0] = matrix[2, 1] = 1  # red and blue are left
    Head.objects.create(encoder=row, base=colour_encoder, matrix=matrix.tobytes())
    asset = flat(200, 77, 100)
    assert pipeline.embed([asset.pk], row).ready == 1
    kept = np.array([200, 100]) / np.hypot(200, 100)
    np.testing.assert_allclose(query.vector_of(asset, row), kept, atol=0.01)


def test_head_is_loaded_once(colour_encoder, mean_colour):
    """Pictures that are searched with at once go through one encoder, and it is the same by its identity."""
    row = Encoder.objects.create(name="mean-colour~tag", revision="2", dimensions=2, preprocessing=1)
    Head.objects.create(encoder=row, base=colour_encoder, matrix=np.eye(4, 2, dtype=np.float32).tobytes())
    assert row.load() is Encoder.objects.get(pk=row.pk).load()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--encoder", "nonsense"], "nonsense"), (["--dimensions", "33"], "from 2 to 32"), ([], "two labels or more")],
)
def test_what_cannot_be_learned_is_said(base, arguments, says):
    with pytest.raises(CommandError, match=says):
        train(*arguments)


def test_head_on_top_of_a_head_is_refused(base, collected):
    train()
    with pytest.raises(CommandError, match="has a head already"):
        train("--encoder", "encoder-32~collection")


def test_what_a_head_is_made_from_is_not_retired_before_it(base, collected):
    train()
    Encoder.objects.get(name="encoder-32~collection").activate()
    base.refresh_from_db()
    with pytest.raises(CannotSwitch, match="encoder-32~collection cannot do without encoder-32"):
        switching.retirable(base)


def test_encoder_with_a_head_embeds_what_it_lacks_by_its_name(colour_encoder, mean_colour, flat):
    row = Encoder.objects.create(name="mean-colour~tag", revision="2", dimensions=2, preprocessing=1)
    Head.objects.create(encoder=row, base=colour_encoder, matrix=np.eye(4, 2, dtype=np.float32).tobytes())
    flat(200, 77, 100)
    call_command("embed", "--encoder", "mean-colour~tag", stdout=io.StringIO())
    assert Embedding.objects.filter(encoder=row).embedded().count() == 1


def test_head_is_evaluated_on_a_folder_too(colour_encoder, mean_colour, tmp_path):
    for name, colours in {"red": [(250, 0, 0), (230, 0, 0)], "blue": [(0, 0, 250), (0, 0, 230)]}.items():
        (tmp_path / name).mkdir()
        for number, colour in enumerate(colours):
            Image.new("RGB", (32, 32), colour).save(tmp_path / name / f"{number}.png")
    row = Encoder.objects.create(name="mean-colour~tag", revision="2", dimensions=2, preprocessing=1)
    matrix = np.zeros((4, 2), np.float32)
    matrix[0, 0] = matrix[2, 1] = 1
    Head.objects.create(encoder=row, base=colour_encoder, matrix=matrix.tobytes())
    row.activate()
    out = io.StringIO()
    call_command("evaluate", "--classes", str(tmp_path), stdout=out)
    assert "mean-colour~tag, cosine, leave-one-out" in out.getvalue()
    assert "1.000 [1.000, 1.000]" in out.getvalue()


def test_each_head_has_a_name_of_its_own_and_takes_nothing_from_those_before(base, collected):
    train()
    first = switching.find("encoder-32~collection")
    first.activate()
    said = train("--encoder", "encoder-32", "--seed", "1")
    second = switching.find("encoder-32~collection-2")
    assert second.head.projection.tolist() != first.head.projection.tolist()
    assert "manage.py activate encoder-32~collection-2" in said
    assert "Also kept, learned from the same: encoder-32~collection." in said
    for row in (first, second):
        assert Embedding.objects.filter(encoder=row).embedded().count() == 120
    first.refresh_from_db()
    assert first.is_active


def test_same_head_again_is_the_one_there_is(base, collected):
    train()
    said = train()
    assert Encoder.objects.filter(name__startswith="encoder-32~").count() == 1
    assert "manage.py activate encoder-32~collection\n" in said
    assert "Also kept" not in said


def test_same_head_again_is_refused_while_the_one_there_is_is_being_retired(base, collected):
    train()
    Encoder.objects.filter(name="encoder-32~collection").update(work=Encoder.Work.RETIRE)
    with pytest.raises(CommandError, match="encoder-32~collection is being retired"):
        train()


def test_base_that_is_gone_meanwhile_is_said(base, collected, monkeypatch):
    fit = heads.fit

    def fit_while_it_is_deleted(*args, **options):
        Encoder.objects.filter(pk=base.pk).delete()
        return fit(*args, **options)

    monkeypatch.setattr("search.heads.fit", fit_while_it_is_deleted)
    with pytest.raises(CommandError, match="encoder-32 is being retired"):
        train()


def test_asset_that_the_base_has_no_vector_of_is_left_to_workers(base, collected, flat):
    flat(1, 2, 3)
    train()
    assert Encoder.objects.get(name="encoder-32~collection").work == Encoder.Work.FILL


def test_nothing_is_learned_on_top_of_what_is_being_retired(base, collected):
    Encoder.objects.filter(pk=base.pk).update(work=Encoder.Work.RETIRE)
    with pytest.raises(CommandError, match="being retired"):
        train()
    assert Encoder.objects.count() == 1


def test_evaluating_a_head_over_what_it_was_fitted_to_says_so(base, collected):
    train()
    out = io.StringIO()
    call_command("evaluate", "--labels", "collection", "--encoder", "encoder-32~collection", stdout=out)
    assert "encoder-32~collection was fitted to a part of the gallery" in out.getvalue()
