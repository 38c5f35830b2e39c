"""The gallery itself, against exact search."""

import csv
import io
import json
import re

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from search import index, pipeline, questions
from search.kinds import Effort
from search.models import Encoder, Evaluation, IndexBuild, Measurement, RecentQuery
from search.nearest import Through, nearest
from tests.search.vectors import distances, filled_with, random_vectors

DIMENSIONS = 32
#: In tight clusters, found with few probes; and between those.
CLUSTERED, BETWEEN = {"clusters": 40, "spread": 0.5}, {"clusters": 60, "spread": 1.0, "elsewhere": 8}


pytestmark = pytest.mark.usefixtures("tuned_soon")


@pytest.fixture
def row(db):
    made = Encoder.objects.create(name="made", revision="1", dimensions=DIMENSIONS, preprocessing=1)
    made.activate()
    return made


@pytest.fixture
def indexed(row, user, monkeypatch):
    """2,000 assets and an index that searches too few of its lists: a build, the assets' ids and their vectors."""
    monkeypatch.setattr(index, "_GRACE_S", 0)
    vectors = random_vectors(2000, DIMENSIONS, **CLUSTERED)
    ids = [asset.pk for asset in filled_with(vectors, row, user)]
    built = index.build(row, kind="ivfflat")
    for step in built.tuning["steps"]:
        step["breadth"] = 1
    built.save()
    yield built, np.array(ids), vectors
    with connection.cursor() as cursor:  # rows go after each of these tests; indexes would stay
        cursor.execute(f"DROP INDEX IF EXISTS {built.index_name}")


def evaluate(*arguments):
    out, complaints = io.StringIO(), io.StringIO()
    call_command("evaluate", "--gallery", *map(str, arguments), stdout=out, stderr=complaints)
    return out.getvalue(), complaints.getvalue()


def shares(indexed, k, asked, own=None):
    """By numpy, how much of the true k nearest the index finds; `own` are places, each left out of its own answer."""
    built, ids, vectors = indexed
    found_shares = []
    for place, vector in enumerate(asked):
        near = distances("cosine", vectors, vector)
        if own is not None:
            near[own[place]] = np.inf
        hits = [asset_id for asset_id, _ in nearest(built.encoder, vector, 11, through=Through(built, Effort(1)))]
        left_out = 0 if own is None else ids[own[place]]
        found = [asset_id for asset_id in hits if asset_id != left_out][:k]
        found_shares.append(len({*found} & {*ids[np.argsort(near)[:k]].tolist()}) / k)
    return found_shares


@pytest.mark.django_db(transaction=True)
def test_recall_of_the_serving_index_is_what_numpy_makes_of_it(indexed, monkeypatch, tmp_path):
    monkeypatch.setattr(questions, "_SAMPLED", 2000)  # all there are, so that nothing is left to chance
    said, _ = evaluate("--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["encoder"], found["index"], found["metric"]) == ("made", "ivfflat", "cosine")
    assert (found["protocol"], found["database"], found["metrics"]["queries"]) == ("stored vectors", 2000, 2000)
    for k in (1, 5, 10):
        of_each = shares(indexed, k, indexed[2], np.arange(2000))
        assert found["metrics"][f"recall@{k}"] == pytest.approx(np.mean(of_each), abs=0.001)
        low, high = found["intervals"][f"recall@{k}"]
        margin = 1.96 * np.std(of_each) / np.sqrt(2000)
        assert (low, high) == pytest.approx((np.mean(of_each) - margin, np.mean(of_each) + margin), abs=0.003)
    assert found["metrics"]["recall@10"] < 1  # where nothing is missed, anything would be equal
    assert 0 < found["intervals"]["p50_ms"][0] <= found["metrics"]["p50_ms"] <= found["intervals"]["p50_ms"][1]
    assert f"{found['metrics']['recall@5']:.3f} [" in said
    assert "fewer than 20 recent queries" in said


@pytest.mark.django_db(transaction=True)
def test_recent_queries_stand_beside_stored_vectors(indexed, row, tmp_path):
    asked = random_vectors(60, DIMENSIONS, **BETWEEN)
    RecentQuery.objects.bulk_create(RecentQuery(encoder=row, vector=vector) for vector in asked)
    evaluate("--json", tmp_path / "found.json", "--csv", tmp_path / "found.csv", "--report", tmp_path / "found.html")
    drawn, recent = json.loads((tmp_path / "found.json").read_text())["outcomes"]
    assert (drawn["protocol"], recent["protocol"]) == ("stored vectors", "recent queries")
    assert (drawn["metrics"]["queries"], recent["metrics"]["queries"]) == (400, 60)
    assert recent["metrics"]["recall@10"] == pytest.approx(np.mean(shares(indexed, 10, asked)), abs=0.003)
    rows = csv.DictReader((tmp_path / "found.csv").open(newline=""))
    assert {(one["protocol"], one["measure"]): float(one["value"]) for one in rows} == {
        (one["protocol"], measure): value for one in (drawn, recent) for measure, value in one["metrics"].items()
    }
    page = (tmp_path / "found.html").read_text()
    assert re.findall(r"<th>([\w@]+)</th>", page) == ["by", "protocol", "recall@1", "recall@5", "recall@10", "p50_ms"]
    assert f"<td>{recent['metrics']['recall@10']:.3f}<" in page
    assert "Worst queries" not in page


@pytest.mark.django_db(transaction=True)
def test_two_dates_can_be_compared_in_the_admin(indexed, staff_client):
    evaluate()
    evaluate("--metric", "l2")
    later, earlier = Evaluation.objects.all()
    assert (later.problem, later.metric, later.queries) == ("gallery, against exact search", "l2", 400)
    chosen = {"action": "compare", "_selected_action": [earlier.pk, later.pk]}
    page = staff_client.post("/admin/search/evaluation/", chosen, follow=True).content.decode()
    assert re.findall(r'<th scope="row">(.*?)</th>', page) == ["p50_ms", "recall@1", "recall@5", "recall@10"]


@pytest.mark.django_db(transaction=True)
def test_kinds_are_built_for_it_asked_the_same_and_gone_afterwards(row, user, tmp_path):
    filled_with(random_vectors(2000, DIMENSIONS, **CLUSTERED), row, user)
    said, complaints = evaluate("--kind", "ivfflat", "--kind", "pca", "--json", tmp_path / "found.json")
    ivfflat, pca = json.loads((tmp_path / "found.json").read_text())["outcomes"]
    assert (ivfflat["index"], pca["index"]) == ("ivfflat", "pca")
    assert min(one["metrics"]["recall@10"] for one in (ivfflat, pca)) >= 0.95
    assert re.search(r"pca beside made, cosine, ivfflat: recall@10 [+-]0\.\d{3}, p = .* over 400 queries", said)
    assert "Building an index: pca" in complaints
    assert not IndexBuild.objects.exists()
    assert not Measurement.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_encoders_are_measured_by_their_own_truth_and_not_held_against_each_other(indexed, tmp_path):
    other = Encoder.objects.create(name="other", revision="1", dimensions=DIMENSIONS, preprocessing=1)
    ids, vectors = indexed[1].tolist(), random_vectors(2000, DIMENSIONS, seed=9, **CLUSTERED)
    pipeline.claim(ids, other)
    pipeline.store(other, dict(zip(ids, vectors, strict=True)))
    both = ["--encoder", "made", "--encoder", "other"]
    with pytest.raises(CommandError, match="No index of other serves"):
        evaluate(*both)
    assert not Evaluation.objects.exists()
    said, _ = evaluate(*both, "--kind", "ivfflat", "--json", tmp_path / "found.json")
    outcomes = json.loads((tmp_path / "found.json").read_text())["outcomes"]
    assert [one["encoder"] for one in outcomes] == ["made", "other"]
    assert min(one["metrics"]["recall@10"] for one in outcomes) >= 0.95
    assert "beside" not in said
    assert "held against" not in said
    assert IndexBuild.objects.get() == indexed[0]  # what serves is not touched


@pytest.mark.django_db(transaction=True)
def test_kind_that_cannot_be_built_is_said(row, user):
    filled_with(random_vectors(20, DIMENSIONS), row, user)
    with pytest.raises(CommandError, match="No index could be built"):
        evaluate("--kind", "ivfflat")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "No index of made serves: every search is exact, and misses nothing. Give --kind"),
        (["--kind", "ivfflat"], "10 embeddings by made are too few: recall@10 takes more than 10"),
        (["--metric", "cosine", "--metric", "l1"], "No index serves l1: .* cosine, l2, inner_product"),
        (["--robustness"], "--robustness tells of an encoder"),
        (["--encoder", "nonsense"], "Nothing is embedded by 'nonsense'"),
    ],
)
def test_what_cannot_be_measured_is_said(row, user, arguments, says):
    filled_with(random_vectors(10, DIMENSIONS), row, user)
    with pytest.raises(CommandError, match=says):
        evaluate(*arguments)
    assert not Evaluation.objects.exists()


def test_gallery_is_one_source_of_several(db):
    with pytest.raises(CommandError, match="not allowed with"):
        evaluate("--labels", "tag")
