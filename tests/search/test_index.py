import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from threading import Event

import numpy as np
import pytest
from django.conf import settings as project
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from gallery.models import Asset, Tag
from search import codes, index, kinds, query, questions, serving, stored, tuning, way
from search.index import BuildFailed
from search.kinds import Effort, coarse
from search.metrics import COSINE, METRICS
from search.models import Code, Embedding, Encoder, IndexBuild, Measurement, Projection, RecentQuery
from search.nearest import Passing, Through, nearest, plan_of, statements
from search.pictures import Picture
from search.query import Part, Wanted
from search.tuning import Trial
from tests.search.vectors import distances, filled_with, random_vectors

DIMENSIONS = 32
#: What ranking all that pass might have been measured to cost.
CHEAP, DEAR = {"base_ms": 0.0, "row_ms": 1e-5}, {"base_ms": 1e6, "row_ms": 1.0}
KINDS = [name for name in kinds.NAMES if name != kinds.EXACT]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tuned_soon")]


@pytest.fixture(autouse=True)
def _without_leftovers():
    """The database is emptied after each of these tests; indexes would stay."""
    yield
    with connection.cursor() as cursor:
        for name in vector_indexes():
            cursor.execute(f"DROP INDEX {name}")


@pytest.fixture(autouse=True)
def _without_grace(monkeypatch):
    """Only the test under load needs it."""
    monkeypatch.setattr(index, "_GRACE_S", 0)


@pytest.fixture
def planner():
    """For tests of what Postgres' planner chooses."""


@pytest.fixture(autouse=True)
def _used(request, monkeypatch):
    """Of so few rows, whether an index is depends on what tuning measures, and that on how busy the machine is."""
    if "planner" not in request.fixturenames:
        monkeypatch.setattr(index, "is_used", lambda *_: True)


@pytest.fixture(autouse=True)
def _fewer_questions(monkeypatch):
    """There are a hundred builds here."""
    monkeypatch.setattr(questions, "_SAMPLED", 120)


@pytest.fixture
def row(db):
    made = Encoder.objects.create(name="made", revision="1", dimensions=DIMENSIONS, preprocessing=1)
    made.activate()
    return made


@pytest.fixture
def filled(row, user):
    """2,000 assets with vectors in clusters."""
    made = random_vectors(2000, DIMENSIONS, clusters=40, spread=0.5)
    return filled_with(made, row, user), made


def vector_indexes():
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexdef ~ 'USING (ivfflat|hnsw)' ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


def recall(row, filled, k=10, **wanted):
    """Of 30 searches, against numpy; every hit's distance is checked on the way."""
    assets, made = filled
    ids, shares = np.array([asset.pk for asset in assets]), []
    for vector in random_vectors(30, DIMENSIONS, seed=77, clusters=40, spread=0.5):
        truth = distances("cosine", made, vector)
        hits = query.find_similar(vector, row, Wanted(k=k, **wanted)).results
        places = np.searchsorted(ids, [hit.asset.pk for hit in hits])
        assert [hit.distance for hit in hits] == pytest.approx(truth[places].tolist(), abs=1e-4)
        assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
        shares.append(len({*places.tolist()} & {*np.argsort(truth)[:k].tolist()}) / k)
    return np.mean(shares)


# --- kinds --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("planner")
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_ranks_as_numpy_does_and_is_used_where_the_answer_says_so(row, filled, kind):
    built = index.build(row, kind=kind)
    assert built.recall >= 0.98
    assert recall(row, filled) >= 0.93
    answer = query.find_similar(filled[1][3], row)
    assert (answer.search.exact, answer.search.index) == (False, kind)
    assert answer.search.recall == built.recall
    plain = Through(built, built.tuned.steps[0].effort)
    for passing in (None, Passing(Asset.objects.filter(format="JPEG"))):
        through, exact = (
            [plan_of(asked) for asked in statements(row, filled[1][3], 10, through=by, passing=passing)]
            for by in (plain, None)
        )
        assert all(built.index_name in plan for plan in through)
        assert not any(built.index_name in plan for plan in exact)


def test_large_gallery_is_parted_into_groups_and_searched_in_those_that_are_near(row, filled, monkeypatch):
    monkeypatch.setattr(coarse, "_ROWS_A_GROUP", 500)  # of fewer, Postgres may read all rather than an index
    built = index.build(row, kind="pca")
    assert len(built.parameters["lists"]) == 4
    assert len(vector_indexes()) == 4
    assert built.summary["lists"] == sum(built.parameters["lists"])
    kind, probes = kinds.get("pca"), built.tuned.steps[0].breadth
    parts = [len(codes.for_query(built, kind, vector, probes)[1]) for vector in filled[1][:200]]
    assert 1 <= np.mean(parts) < 4
    everywhere = codes.for_query(built, kind, filled[1][0], 1000)[1]
    assert sorted(everywhere) == list(range(4))
    narrow = codes.for_query(built, kind, filled[1][0], probes)[1]
    assert everywhere[: len(narrow)] == narrow  # the nearest first
    assert recall(row, filled) >= 0.93
    index.build(row, kind="exact")
    assert vector_indexes() == []


@pytest.mark.parametrize("kind", ["pca", "lsh", "itq", "bits"])
def test_new_vectors_are_found_by_their_codes(row, filled, user, kind):
    built = index.build(row, kind=kind)
    added = random_vectors(3, DIMENSIONS, seed=5)
    assets = filled_with(added, row, user)
    assert Code.objects.filter(build=built).count() == 2003
    for asset, vector in zip(assets, added, strict=True):
        hit = query.find_similar(vector, row).results[0]
        assert hit.asset == asset


def test_codes_of_what_is_embedded_while_they_are_made_are_made_in_the_end(row, filled, user, monkeypatch):
    late, copy_in = random_vectors(2, DIMENSIONS, seed=6), codes._copy_in

    def embed_meanwhile(*args):
        monkeypatch.setattr(codes, "_copy_in", copy_in)
        parts = copy_in(*args)
        filled_with(late, row, user)
        Embedding.objects.filter(asset__title="asset 0").update(vector=None)  # tried again
        return parts

    monkeypatch.setattr(codes, "_copy_in", embed_meanwhile)
    monkeypatch.setattr(stored, "_PAGE", 1999)  # the late ones come after the last page was read
    built = index.build(row, kind="lsh")
    assert Code.objects.filter(build=built).count() == 2001
    assert not Code.objects.filter(asset__title="asset 0").exists()


def test_asset_deleted_while_codes_are_made_does_not_stop_the_build(row, filled, monkeypatch):
    read = stored.pages

    def delete_one_that_was_read(encoder):
        monkeypatch.setattr(stored, "pages", read)
        for ids, vectors in read(encoder):
            Asset.objects.filter(pk=int(ids[5])).delete()
            yield ids, vectors

    monkeypatch.setattr(stored, "pages", delete_one_that_was_read)
    built = index.build(row, kind="lsh")
    assert Code.objects.filter(build=built).count() == 1999


def test_drop_that_was_interrupted_is_finished_later(row, filled, monkeypatch):
    index.build(row, kind="pca")
    with monkeypatch.context() as patched:
        patched.setattr(index, "_drop_indexes", lambda made: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.build(row, kind="exact")
    index.tidy()
    assert vector_indexes() == []
    assert not Projection.objects.exists()


def test_search_whose_index_has_just_gone_is_exact(row, filled):
    index.build(row, kind="pca")
    codes.projection.cache_clear()
    Projection.objects.all().delete()
    answer = query.find_similar(filled[1][3], row)
    assert (answer.search.exact, len(answer.results)) == (True, 10)


def test_hnsw_is_built_where_there_is_little_shared_memory(row, filled, monkeypatch):
    refused, execute = [], index._execute

    def refuse_once(statements):
        if not refused:
            refused.append(statements)
            raise OperationalError("could not resize shared memory segment")
        execute(statements)

    monkeypatch.setattr(index, "_execute", refuse_once)
    assert index.build(row, kind="hnsw").recall >= 0.98


def test_deep_searches_are_measured_over_the_whole_gallery_and_with_recent_queries(row, filled):
    RecentQuery.objects.bulk_create(RecentQuery(encoder=row, vector=vector) for vector in filled[1][:30])
    some = questions.questions(row, 20).some(40)
    assert (len(some), (some.assets == 0).sum()) == (70, 30)
    newer = some.assets[some.assets > 0] > filled[0][999].pk
    assert 5 <= newer.sum() <= 35


def test_kind_chosen_by_command_is_remembered_unless_the_setting_says_the_same(row, filled, settings):
    index.build(row, kind="lsh")
    assert index.kind_wanted(row) == "lsh"
    index.build(row, kind=settings.INDEX_KIND)
    row.refresh_from_db()
    assert row.index_kind == ""


def test_failed_kind_is_not_remembered(row, filled, monkeypatch):
    monkeypatch.setattr(index, "_create", lambda made: 1 / 0)
    with pytest.raises(BuildFailed):
        index.build(row, kind="pca")
    row.refresh_from_db()
    assert index.kind_wanted(row) == "ivfflat"


def test_room_of_codes_that_are_dropped_is_used_by_the_next(row, filled, monkeypatch):
    monkeypatch.setattr(tuning, "_DEPTHS", (10,))

    def room():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_relation_size('search_code')")
            return cursor.fetchone()[0]

    index.build(row, kind="pca")
    one = room()
    for kind in ("bits", "pca"):
        index.build(row, kind=kind)
    assert room() < 2.5 * one  # the old and the new, as they stood side by side


def test_codes_of_an_asset_go_with_it(row, filled):
    index.build(row, kind="lsh")
    filled[0][0].delete()
    assert Code.objects.count() == 1999


def test_random_planes_are_the_same_each_time():
    sample = random_vectors(50, DIMENSIONS)
    parameters = {"size": 64, "groups": 1}
    first, second = (kinds.get("lsh").fit(sample, parameters) for _ in range(2))
    np.testing.assert_array_equal(first.matrix, second.matrix)


@pytest.mark.parametrize("kind", ["lsh", "itq", "bits"])
def test_bits_of_near_vectors_differ_less(kind):
    sample, maker = random_vectors(500, DIMENSIONS, clusters=40), kinds.get(kind)
    fitted = maker.fit(sample, maker.parameters(500, DIMENSIONS))
    restored = kinds.Projection.from_bytes(fitted.to_bytes())
    bits = np.unpackbits(maker.encode(restored, sample), axis=1).astype(int)
    hamming = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
    cosine = sample @ sample.T
    pairs = np.triu_indices(500, 1)
    assert np.corrcoef(hamming[pairs], cosine[pairs])[0, 1] < -0.6


def test_components_keep_what_of_the_inner_product_they_can():
    random = np.random.default_rng(0)
    flat = random.normal(size=(500, 4)).astype(np.float32) @ random.normal(size=(4, DIMENSIONS)).astype(np.float32)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    kind = kinds.get("pca")
    fitted = kind.fit(flat, {"size": 6, "groups": 1})  # four directions, and where the centre lies
    np.testing.assert_allclose(fitted.project(flat) @ fitted.project(flat).T, flat @ flat.T, atol=1e-2)
    everywhere = random_vectors(100, DIMENSIONS)
    made = kind.encode(fitted, everywhere).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=2e-3)
    assert (made @ made.T - everywhere @ everywhere.T >= -2e-3).all()


# --- life ---------------------------------------------------------------------------------------------------------


def test_exact_kind_drops_what_served(row, filled):
    index.build(row)
    assert index.build(row, kind="exact") is None
    assert vector_indexes() == []
    assert query.find_similar(filled[1][3], row).search.exact
    row.refresh_from_db()
    assert not index.is_due(row)


def test_replaced_index_is_gone_with_its_codes_and_the_new_one_serves(row, filled):
    first = index.build(row, kind="pca")
    second = index.build(row, kind="ivfflat", parameters={"lists": 12})
    assert vector_indexes() == [second.index_name]
    assert second.parameters == {"lists": 12}
    first.refresh_from_db()
    assert first.state == IndexBuild.State.REPLACED
    assert not Code.objects.exists()
    assert not Projection.objects.exists()


def test_failed_build_leaves_the_old_index_serving(row, filled, monkeypatch):
    first = index.build(row)
    monkeypatch.setattr(tuning, "tune", lambda made: 1 / 0)
    with pytest.raises(BuildFailed):
        index.build(row, kind="lsh")
    assert IndexBuild.objects.serving(row) == first
    assert vector_indexes() == [first.index_name]
    assert not Code.objects.exists()


def test_kind_that_cannot_reach_the_target_is_refused_by_name(row, filled, settings):
    settings.SEARCH_TARGET_RECALL = 1.1
    with pytest.raises(BuildFailed, match=r"is the most that ivfflat reaches here.*SEARCH_TARGET_RECALL"):
        index.build(row)
    assert vector_indexes() == []


@pytest.mark.usefixtures("planner")
def test_index_that_the_planner_would_not_use_does_not_serve(row, user):
    filled_with(random_vectors(60, DIMENSIONS), row, user)
    with pytest.raises(BuildFailed, match="faster without"):
        index.build(row)
    assert vector_indexes() == []


_BUILD_AND_WAIT = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from search import index, tuning
from search.models import Encoder
def wait(made):
    print("built", flush=True)
    sys.stdin.read()
tuning.tune = wait
index.build(Encoder.objects.get(), kind=sys.argv[2])
"""


@pytest.mark.parametrize("kind", ["ivfflat", "pca"])
def test_killed_build_leaves_no_trace_and_the_old_index_serving(row, filled, kind):
    first = index.build(row)
    name = connection.settings_dict["NAME"]
    with subprocess.Popen(
        [sys.executable, "-c", _BUILD_AND_WAIT, name, kind],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=project.BASE_DIR,
    ) as building:  # fmt: skip
        assert building.stdout.readline() == "built\n"
        assert len(vector_indexes()) == 2
        index.tidy()  # it is at work
        assert len(vector_indexes()) == 2
        building.kill()
    wait_until(lambda: not another_is_building())
    index.tidy()
    assert vector_indexes() == [first.index_name]
    assert not Code.objects.exists()
    assert not Projection.objects.exists()
    assert list(IndexBuild.objects.exclude(pk=first.pk).values_list("state", "error")) == [
        ("failed", "The build was interrupted.")
    ]
    answer = query.find_similar(filled[1][3], row)
    assert (answer.search.index, len(answer.results)) == ("ivfflat", 10)


def test_build_killed_while_it_creates_leaves_an_invalid_index_that_is_cleared_away(row, filled):
    first, writer = index.build(row), connection.copy()
    writer.set_autocommit(False)
    with writer.cursor() as cursor:  # CREATE INDEX CONCURRENTLY waits for whoever writes
        cursor.execute("LOCK TABLE search_embedding IN ROW EXCLUSIVE MODE")
    try:
        with subprocess.Popen(
            [sys.executable, "-c", _BUILD_AND_WAIT, connection.settings_dict["NAME"], "ivfflat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=project.BASE_DIR,
        ) as building:  # fmt: skip
            wait_until(invalid_indexes)
            building.kill()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'"
            )
        wait_until(lambda: not another_is_building())
    finally:
        writer.rollback()
        writer.close()
    assert invalid_indexes()
    assert query.find_similar(filled[1][3], row).search.index == "ivfflat"
    index.tidy()
    assert not invalid_indexes()
    assert vector_indexes() == [first.index_name]


def invalid_indexes():
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexrelid FROM pg_index WHERE NOT indisvalid")
        return cursor.fetchall()


def another_is_building():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", [index._BUILD_LOCK])
        return cursor.fetchone()[0] > 0


def wait_until(condition):
    waited = Event()
    for _ in range(600):
        if condition():
            return
        waited.wait(0.05)
    pytest.fail("It did not come to pass.")


def test_index_left_by_a_build_killed_while_it_took_over_is_dropped(row, filled):
    stale = index.build(row)
    IndexBuild.objects.filter(pk=stale.pk).update(state=IndexBuild.State.REPLACED)
    index.tidy()
    assert vector_indexes() == []


def test_second_build_at_the_same_time_is_refused(row, filled):
    def build_elsewhere():
        try:
            index.build(row)
        finally:
            connection.close()

    with (
        index._one_at_a_time(),
        ThreadPoolExecutor(1) as pool,
        pytest.raises(BuildFailed, match="Another"),
    ):
        pool.submit(build_elsewhere).result()


def test_swap_under_load_loses_no_answer(row, filled, monkeypatch):
    """Every answer has k hits, the nearest first, while indexes of several kinds replace one another."""
    monkeypatch.setattr(index, "_GRACE_S", 0.5)
    stop, vectors = Event(), filled[1]

    def ask(seed):
        asked, ways, random = 0, set(), np.random.default_rng(seed)
        try:
            while not stop.is_set():
                place = int(random.integers(len(vectors)))
                answer = query.find_similar(vectors[place], row)
                assert len(answer.results) == 10
                assert answer.results[0].asset == filled[0][place]
                asked, ways = asked + 1, ways | {answer.search.index}
        finally:
            connection.close()
        return asked, ways

    with ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(ask, seed) for seed in range(2)]
        try:
            for kind in ("ivfflat", "pca", "ivfflat", "exact", "lsh"):
                index.build(row, kind=kind)
        finally:
            stop.set()
        answered = [client.result() for client in clients]
    assert all(asked > 50 for asked, _ in answered)
    assert set.union(*(ways for _, ways in answered)) >= {None, "ivfflat", "pca"}


# --- when ---------------------------------------------------------------------------------------------------------


def test_index_is_due_when_rows_suffice_or_have_doubled(row, filled, settings):
    settings.INDEX_MIN_ROWS = 2001
    assert not index.is_due(row)
    settings.INDEX_MIN_ROWS = 2000
    assert index.is_due(row)
    built = index.build(row)
    assert not index.is_due(row)
    IndexBuild.objects.filter(pk=built.pk).update(rows=1000)
    assert index.is_due(row)


def test_index_is_due_when_recall_has_sunk_or_another_kind_is_wanted(row, filled, settings):
    built = index.build(row)
    for recall_then, due in ((0.961, False), (0.959, True)):
        IndexBuild.objects.filter(pk=built.pk).update(recall=recall_then)
        assert index.is_due(row) is due
    IndexBuild.objects.filter(pk=built.pk).update(recall=1)
    settings.INDEX_KIND = "pca"
    assert index.is_due(row)
    row.index_kind = "ivfflat"  # chosen by command, which counts for more
    assert not index.is_due(row)


def fail(row, ago, rows=2000, **details):
    details = {"kind": "ivfflat", "error": "too few rows", **details}
    IndexBuild.objects.create(encoder=row, rows=rows, state="failed", finished=timezone.now() - ago, **details)


def test_failed_build_is_not_repeated_at_once(row, filled):
    fail(row, timedelta(minutes=59))
    assert not index.is_due(row)
    IndexBuild.objects.update(finished=timezone.now() - timedelta(minutes=61))
    assert index.is_due(row)


def test_each_failure_in_a_row_makes_the_pause_longer_but_for_its_own_kind_alone(row, filled, settings):
    fail(row, timedelta(days=3))
    fail(row, timedelta(minutes=90))
    assert not index.is_due(row)
    settings.INDEX_KIND = "hnsw"
    assert index.is_due(row)
    settings.INDEX_KIND = "ivfflat"
    IndexBuild.objects.create(encoder=row, kind="ivfflat", rows=1, state="replaced", finished=timezone.now())
    fail(row, timedelta(minutes=90))
    assert index.is_due(row)  # after one that served, it is the first


@pytest.mark.parametrize("why", [{"rows": 999}, {"error": IndexBuild.INTERRUPTED}])
def test_failure_with_half_as_many_rows_or_from_outside_says_nothing_of_the_next_build(row, filled, why):
    fail(row, timedelta(minutes=1), **why)
    assert index.is_due(row)


def test_recall_sinks_and_is_repaired_when_the_gallery_grows_tenfold_with_new_clusters(row, user):
    first = random_vectors(1000, DIMENSIONS, clusters=10, spread=0.2)
    filled_with(first, row, user)
    built = index.build(row)
    filled_with(random_vectors(9000, DIMENSIONS, clusters=900, spread=0.9, elsewhere=3), row, user)
    assert index.is_measurement_due(row)
    sunk = index.measure(row)
    assert sunk.pk == built.pk
    assert sunk.recall < 0.96
    assert index.is_due(row)
    repaired = index.build(row)
    assert repaired.recall >= 0.98
    checks = Measurement.objects.filter(purpose=Measurement.Purpose.CHECK).order_by("taken")
    assert [(check.rows, check.recall >= 0.98) for check in checks] == [(1000, True), (10_000, False), (10_000, True)]
    assert not index.is_due(row)


# --- measuring ----------------------------------------------------------------------------------------------------


def test_truth_is_what_exact_search_finds(row, filled, monkeypatch):
    monkeypatch.setattr(stored, "_PAGE", 300)
    ids, drawn = stored.sample(row, 5)
    truth = questions.true_neighbours(row, drawn, ids, 20)
    for own, vector, found in zip(ids.tolist(), drawn, truth.tolist(), strict=True):
        exact = [asset_id for asset_id, _ in nearest(row, vector, 21) if asset_id != own]
        assert len(set(found) & set(exact[:20])) >= 19  # ties at the end may stand either way


def test_truth_of_few_is_filled_up(row, user):
    filled_with(random_vectors(3, DIMENSIONS), row, user)
    ids, drawn = stored.sample(row, 3)
    assert (questions.true_neighbours(row, drawn, ids, 5)[:, 2:] == -1).all()


def test_stored_vectors_are_read_as_they_are(row, filled, monkeypatch):
    monkeypatch.setattr(stored, "_PAGE", 700)
    pages = list(stored.pages(row))
    assert [len(ids) for ids, _ in pages] == [700, 700, 600]
    np.testing.assert_array_equal(np.concatenate([ids for ids, _ in pages]), [asset.pk for asset in filled[0]])
    np.testing.assert_allclose(np.concatenate([vectors for _, vectors in pages]), filled[1], atol=1e-3)
    assert len(stored.sample(row, 100)[0]) == 100


def test_index_is_tuned_to_recent_queries_too(row, user):
    """Stored vectors lie in tight clusters, found with one probe; what people ask for lies between those."""
    filled_with(random_vectors(2000, DIMENSIONS, clusters=40, spread=0.4), row, user)
    alone = index.build(row).tuned.steps[0].breadth
    between = random_vectors(60, DIMENSIONS, clusters=60, spread=1.0, elsewhere=8)
    RecentQuery.objects.bulk_create(RecentQuery(encoder=row, vector=vector) for vector in between)
    built = index.build(row)
    assert built.tuned.steps[0].breadth > alone
    check = Measurement.objects.filter(purpose=Measurement.Purpose.CHECK).first()
    assert min(check.recall, check.recall_recent) == built.recall >= 0.98


def test_too_few_recent_queries_count_neither_at_first_nor_later(row, filled):
    """Or each measurement would find that an index falls short, which no build can mend."""
    for count, counted in ((19, False), (20, True)):
        RecentQuery.objects.all().delete()
        RecentQuery.objects.bulk_create(RecentQuery(encoder=row, vector=vector) for vector in filled[1][:count])
        index.build(row)
        index.measure(row)
        checks = Measurement.objects.filter(purpose=Measurement.Purpose.CHECK).order_by("-pk")[:2]
        assert [check.recall_recent is not None for check in checks] == [counted, counted]


def test_every_setting_tried_and_the_one_chosen_are_kept_as_measurements(row, filled):
    built = index.build(row)
    tried = Measurement.objects.filter(build=built, purpose=Measurement.Purpose.TUNING).order_by("pk")
    assert [one.parameters["probes"] for one in tried] == list(range(1, built.tuned.steps[0].breadth + 1))
    [check] = Measurement.objects.filter(build=built, purpose=Measurement.Purpose.CHECK)
    assert check.parameters == {**built.parameters, "probes": built.tuned.steps[0].breadth}
    assert (check.rows, check.recall) == (2000, built.recall)
    assert check.recall_filtered >= 0.9
    assert check.p50_ms > 0


@pytest.mark.parametrize(("times", "chosen"), [([4.2, 1.5, 1.4], 2), ([4.2, 1.6, 1.4], 3), ([1.0, 1.0], 1), ([], None)])
def test_broader_search_is_chosen_where_it_is_faster_beyond_chance(times, chosen):
    trials = [Trial(Effort(breadth, 20), 0.99, None, p50_ms) for breadth, p50_ms in enumerate(times, start=1)]
    best = tuning._best(trials)
    assert (best and best.effort.breadth) == chosen


def test_measurement_is_due_after_a_day_or_a_tenth_more_rows(row, filled, user):
    index.build(row)
    assert not index.is_measurement_due(row)
    filled_with(random_vectors(201, DIMENSIONS, seed=4), row, user)
    assert index.is_measurement_due(row)
    index.measure(row)
    assert not index.is_measurement_due(row)
    Measurement.objects.update(taken=timezone.now() - timedelta(days=1, minutes=1))
    assert index.is_measurement_due(row)


def test_index_that_takes_over_while_a_picture_is_encoded_is_searched(row, filled, monkeypatch):
    index.build(row)
    row.activate()

    def encode(pictures, row):
        index.build(row, kind="hnsw")
        return [filled[1][:1]]

    monkeypatch.setattr("search.pictures.encode", encode)
    [answer] = query.like_each([Part(Picture(ContentFile(b"", "any.png")))])
    assert (len(answer.results), answer.search.index) == (10, "hnsw")


# --- the way through it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ivfflat", "hnsw", "pca", "bits"])
def test_filters_of_every_selectivity_return_k_of_k(row, user, kind):
    assets = filled_with(random_vectors(4000, DIMENSIONS, clusters=40), row, user)
    index.build(row, kind=kind)
    built, ways = IndexBuild.objects.get(state="ready"), set()
    # a busy machine may have measured that exact search of so few is as fast
    steps = [{**built.tuning["steps"][0], "depth": 100, "filtered_ms": 1.0, "filtered_by_id_ms": 1.0}]
    for passing, exact in [(2000, DEAR), (400, DEAR), (2000, CHEAP), (400, CHEAP), (40, DEAR), (10, DEAR)]:
        tuning = {**built.tuning, "steps": steps, "exact_by_id": exact}
        IndexBuild.objects.filter(pk=built.pk).update(tuning=tuning)
        chosen = set(np.random.default_rng(passing).permutation([asset.pk for asset in assets])[:passing].tolist())
        among = Asset.objects.filter(pk__in=chosen)
        for k in (10, 200):
            answer = query.find_similar(random_vectors(1, DIMENSIONS, seed=9)[0], row, Wanted(k=k, among=among))
            assert len(answer.results) == min(k, passing)
            assert {hit.asset.pk for hit in answer.results} <= chosen
            ways.add((passing, answer.search.filters))
    assert {(2000, "iterated"), (2000, "ranked"), (10, "ranked")} <= ways


@pytest.mark.parametrize(("needed", "chosen"), [(10, 20), (38, 39), (5000, 1102)])
def test_filters_get_as_few_candidates_as_find_what_recall_may_sink_to(settings, needed, chosen):
    settings.SEARCH_TARGET_RECALL = 0.98

    def search(count):
        return Trial(Effort(1, count), recall=0.96 if count >= needed else 0.95, recall_recent=0.97, p50_ms=1.0)

    assert tuning._enough_under_filter(search) == chosen


def test_way_is_the_one_that_was_measured_to_cost_less(row, filled):
    built = index.build(row)
    broad, narrow = Asset.objects.filter(format="JPEG"), Asset.objects.filter(format="PNG")  # 1,800 and 200
    for exact, expected in ((CHEAP, "ranked"), (DEAR, "iterated")):
        IndexBuild.objects.filter(pk=built.pk).update(tuning={**built.tuning, "exact": exact})
        assert way.choose(serving.of(row).build, 10, COSINE, Passing(broad)).how.filters == expected
    # so few pass that ten of them lie deeper than the index was measured: it is not asked, whatever the cost
    assert way.choose(serving.of(row).build, 200, COSINE, Passing(narrow)).how.filters == "ranked"


def test_filter_by_id_alone_goes_the_way_that_was_measured_without_looking_assets_up(row, filled):
    built = index.build(row)
    assert all(step["filtered_by_id_ms"] > 0 for step in built.tuning["steps"] if step["depth"] > 10)
    by_id = Asset.objects.filter(pk__in=[asset.pk for asset in filled[0] if asset.format == "JPEG"])
    for among, expected in ((by_id, "ranked"), (Asset.objects.filter(format="JPEG"), "iterated")):
        tuning = {**built.tuning, "exact": DEAR, "exact_by_id": CHEAP}
        IndexBuild.objects.filter(pk=built.pk).update(tuning=tuning)
        assert way.choose(serving.of(row).build, 10, COSINE, Passing(among)).how.filters == expected


def test_index_tuned_before_these_were_told_apart_serves_on(row, filled):
    built = index.build(row)
    steps = [{name: of for name, of in step.items() if name != "filtered_by_id_ms"} for step in built.tuning["steps"]]
    IndexBuild.objects.filter(pk=built.pk).update(tuning={"rows": built.rows, "steps": steps, "exact": DEAR})
    tuned = IndexBuild.objects.get(pk=built.pk).tuned
    assert tuned.exact_up_to(10, by_id=True) == tuned.exact_up_to(10) < built.rows


def test_filter_by_tags_alone_looks_no_asset_up(row, filled):
    built = index.build(row)
    filled[0][0].tags.set(Tag.objects.named(["red"]))
    through, vector = Through(built, built.tuned.steps[0].effort), filled[1][0]
    by_tag, by_format = Asset.objects.tagged_all(["red"]), Asset.objects.filter(format="JPEG")
    for among, looked_up in ((by_tag, False), (by_tag & by_format, True)):
        for way_to_it in (through, None):
            [asked] = statements(row, vector, 10, through=way_to_it, passing=Passing(among))
            assert ("on gallery_asset " in plan_of(asked)) == looked_up


def by_tag():
    return Asset.objects.tagged_all(["red"])


def by_another_tag_missing():
    return Asset.objects.exclude(pk__in=Asset.objects.tagged_all(["blue"]))


@pytest.mark.parametrize("among", [by_tag, by_another_tag_missing])
def test_what_passes_by_id_is_made_a_set_where_that_was_measured_to_take_less(row, filled, among, monkeypatch):
    monkeypatch.setattr(tuning, "_DEPTHS", (10, 20, 100))
    blue, red = sorted(Tag.objects.named(["red", "blue"]), key=str)
    tagged = Asset.tags.through
    tagged.objects.bulk_create(tagged(asset=asset, tag=red if asset.pk % 3 else blue) for asset in filled[0])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE gallery_asset_tags")
    built = index.build(row)
    passing, vector, k = Passing(among()), filled[1][3], 9

    def through_steps_of(*depths):
        steps = [{**step, "as_set": True} for step in built.tuning["steps"] if step["depth"] in depths]
        IndexBuild.objects.filter(pk=built.pk).update(tuning={**built.tuning, "steps": steps, "exact_by_id": DEAR})
        return way.choose(serving.of(row).build, k, COSINE, passing).through

    assert not through_steps_of(10, 100).as_set  # that was measured with 200 that pass, and these are 1,333
    through = through_steps_of(10, 20)
    assert through.as_set
    assert not way.choose(serving.of(row).build, k, COSINE, None).through.as_set
    [asked] = statements(row, vector, k, through=through, passing=passing)
    plan = plan_of(asked)
    assert built.index_name in plan
    assert "hashed SubPlan" in plan
    everywhere = replace(through, effort=Effort(built.parameters["lists"]))
    assert nearest(row, vector, k, through=everywhere, passing=passing) == nearest(row, vector, k, passing=passing)


def test_filter_that_passes_more_than_statistics_say_goes_through_the_index_all_the_same(row, filled, monkeypatch):
    built = index.build(row)
    IndexBuild.objects.filter(pk=built.pk).update(tuning={**built.tuning, "exact": DEAR})
    monkeypatch.setattr(Passing, "estimate", lambda _: 1)
    monkeypatch.setattr(Passing, "count", lambda *_: pytest.fail("it was counted"))
    answer = query.find_similar(filled[1][3], row, Wanted(among=Asset.objects.filter(format="JPEG")))
    assert (len(answer.results), answer.search.filters) == (10, "iterated")


def test_several_conditions_are_counted_since_statistics_know_only_of_each(row, filled, monkeypatch):
    built = index.build(row)
    IndexBuild.objects.filter(pk=built.pk).update(tuning={**built.tuning, "exact": DEAR})
    monkeypatch.setattr(Passing, "estimate", lambda _: len(filled[0]))
    few = [asset.pk for asset in filled[0][5::160]]
    answer = query.find_similar(
        filled[1][3], row, Wanted(among=Asset.objects.filter(pk__in=few).filter(size_bytes__gte=0))
    )
    assert (len(answer.results), answer.search.filters) == (10, "ranked")


def test_what_surely_passes_in_plenty_is_not_counted(row, filled, monkeypatch):
    built = index.build(row)
    IndexBuild.objects.filter(pk=built.pk).update(tuning={**built.tuning, "exact": DEAR})
    monkeypatch.setattr(Passing, "count", lambda *_: pytest.fail("it was counted"))
    answer = query.find_similar(filled[1][3], row, Wanted(among=Asset.objects.filter(format="JPEG")))
    assert (len(answer.results), answer.search.filters) == (10, "iterated")


@pytest.mark.parametrize("kind", ["ivfflat", "hnsw", "pca"])
def test_filter_that_passes_less_than_statistics_have_it_still_returns_k_of_k(row, filled, kind, monkeypatch):
    index.build(row, kind=kind, parameters={"lists": 40} if kind == "ivfflat" else {})
    monkeypatch.setattr(Passing, "estimate", lambda _: len(filled[0]))
    chosen = {asset.pk for asset in filled[0][5::160]}
    answer = query.find_similar(filled[1][3], row, Wanted(among=Asset.objects.filter(pk__in=chosen)))
    assert {hit.asset.pk for hit in answer.results} <= chosen
    assert len(answer.results) == min(10, len(chosen))


def test_iterating_filter_finds_what_numpy_finds(row, filled):
    built = index.build(row)
    IndexBuild.objects.filter(pk=built.pk).update(tuning={**built.tuning, "exact": DEAR})
    assets, made = filled
    among, kept = Asset.objects.filter(format="JPEG"), [asset.format == "JPEG" for asset in assets]
    ids, shares = np.array([asset.pk for asset in assets])[kept], []
    for vector in random_vectors(20, DIMENSIONS, seed=77, clusters=40, spread=0.5):
        answer = query.find_similar(vector, row, Wanted(among=among))
        assert answer.search.filters == "iterated"
        truth = ids[np.argsort(distances("cosine", made[kept], vector))[:10]]
        shares.append(len({hit.asset.pk for hit in answer.results} & set(truth.tolist())) / 10)
    assert np.mean(shares) >= 0.93


def test_recall_is_stated_for_as_many_hits_as_are_asked_for(row, filled):
    built = index.build(row)
    for k, depth in ((10, 10), (30, 50), (200, 250)):
        how = query.find_similar(filled[1][3], row, Wanted(k=k)).search
        if not how.exact:
            step = next(step for step in built.tuned.steps if step.depth == depth)
            assert (how.recall, how.probes) == (step.recall, step.breadth)
            assert recall(row, filled, k=k) >= 0.93


def test_answer_never_falls_short_while_rows_exist(row, filled):
    built = index.build(row, parameters={"lists": 30})
    steps = [{**built.tuning["steps"][0], "depth": 1000, "breadth": 1}]
    IndexBuild.objects.filter(pk=built.pk).update(tuning={**built.tuning, "steps": steps})
    answer = query.find_similar(filled[1][3], row, Wanted(k=200))
    assert len(answer.results) == 200
    assert answer.search.exact  # the list that was looked through has some 70


@pytest.mark.parametrize("metric", METRICS)
def test_metric_that_no_index_serves_is_searched_exactly_and_says_so(row, filled, metric):
    index.build(row)
    answer = query.find_similar(filled[1][3], row, Wanted(metric=METRICS[metric]))
    assert answer.search.exact == (metric == "l1")
    assert answer.search.index == (None if metric == "l1" else "ivfflat")
    by_numpy = distances(metric, filled[1], filled[1][3])
    of_asset = {asset.pk: distance for asset, distance in zip(filled[0], by_numpy, strict=True)}
    found = [hit.distance for hit in answer.results]
    assert found == pytest.approx([of_asset[hit.asset.pk] for hit in answer.results], abs=1e-3)
    assert found == sorted(found)
    assert answer.results[0].asset == filled[0][3]
    if answer.search.exact:
        assert found == pytest.approx(np.sort(by_numpy)[:10].tolist(), abs=1e-3)


def test_searches_go_on_exactly_where_a_build_is_of_an_older_make(row, filled):
    built = index.build(row)
    IndexBuild.objects.filter(pk=built.pk).update(tuning=None)
    assert query.find_similar(filled[1][3], row).search.exact
    assert index.is_due(row)


def test_number_of_lists_fits_the_rows():
    rows = (50, 1000, 1400, 13_503, 1_000_000, 4_000_000)
    assert [kinds.get("ivfflat").parameters(n, 768)["lists"] for n in rows] == [1, 20, 28, 116, 1000, 2000]


# --- beside what serves ---------------------------------------------------------------------------------------


def test_index_kept_beside_is_searched_by_who_asks_for_it_alone_and_gets_what_is_new(row, filled, user):
    _, made = filled
    serving_build = index.build(row)
    kept = index.keep_beside(row, "pca")
    assert IndexBuild.objects.serving(row) == serving_build
    assert not Measurement.objects.filter(build=kept, purpose="check").exists()

    at = serving.Serving(row, kept, has_rules=False)
    answer = query.find_similar(made[7], row, Wanted(k=10), at=at)
    assert (answer.search.index, query.find_similar(made[7], row).search.index) == ("pca", "ivfflat")
    [new] = filled_with(random_vectors(1, DIMENSIONS, seed=5, elsewhere=9), row, user)
    vector = stored.of([new.pk], row)[new.pk]
    assert query.find_similar(vector, row, at=at).results[0].asset == new


def test_index_kept_beside_goes_when_it_is_dropped_or_one_of_its_kind_is_kept(row, filled):
    index.build(row)
    first, second = index.keep_beside(row, "hnsw"), index.keep_beside(row, "hnsw")
    assert [build.pk for build in index.beside(row)] == [second.pk]
    assert not any(str(first.pk) in name for name in vector_indexes())
    index.tidy()
    assert any(str(second.pk) in name for name in vector_indexes())

    assert index.drop_beside(row, "pca") == 0
    assert index.drop_beside(row, "hnsw") == 1
    assert len(vector_indexes()) == 1
    assert index.drop_beside(row) == 0


def test_index_of_the_kind_that_serves_is_not_kept_beside(row, filled):
    index.build(row)
    with pytest.raises(BuildFailed, match="ivfflat serves"):
        index.keep_beside(row, "ivfflat")
    index.keep_beside(row, "hnsw")
    index.build(row, kind="hnsw")
    assert not index.beside(row).exists()
    assert len(vector_indexes()) == 1


def test_builds_to_compare_say_nothing_of_those_that_serve(row, filled, monkeypatch):
    index.build(row)
    monkeypatch.setattr(index, "_create", lambda made: 1 / 0)
    with pytest.raises(BuildFailed):
        index.keep_beside(row, "hnsw")
    assert IndexBuild.objects.filter(state="failed", is_to_compare=True).count() == 1
    assert not IndexBuild.objects.failed_in_a_row(row, "hnsw")


def test_codes_made_while_an_index_is_dropped_are_dropped(row, filled, monkeypatch):
    assets, made = filled
    index.build(row)
    kept = index.keep_beside(row, "pca")
    really_drop = index._drop_indexes

    def drop_indexes(build):
        Code.objects.create(build=build, asset=assets[0], part=0, vector=made[0])
        really_drop(build)

    monkeypatch.setattr(index, "_drop_indexes", drop_indexes)
    index.drop_beside(row)
    assert not Code.objects.filter(build=kept).exists()


def test_building_what_serves_anew_leaves_what_is_kept_beside(row, filled):
    index.build(row)
    kept = index.keep_beside(row, "hnsw")
    index.build(row, kind="pca")
    assert index.beside(row).get() == kept
    assert any(str(kept.pk) in name for name in vector_indexes())


def test_command_keeps_an_index_beside_and_drops_it(row, filled):
    told = StringIO()
    call_command("build_index", kind="hnsw", beside=True, stdout=told)
    assert "kept to compare" in told.getvalue()
    assert index.beside(row).get().kind == "hnsw"
    assert row.index_kind == ""
    call_command("build_index", kind="hnsw", drop=True, stdout=told)
    call_command("build_index", kind="hnsw", drop=True, stdout=told)
    assert told.getvalue().endswith("hnsw is dropped.\nNo hnsw was kept beside.\n")
    with pytest.raises(CommandError, match="nowhere"):
        call_command("build_index", encoder="nowhere")
    other = Encoder.objects.create(name="other", revision="1", dimensions=DIMENSIONS, preprocessing=1)
    call_command("build_index", encoder=str(other.pk), kind="hnsw", drop=True, stdout=told)
    with pytest.raises(CommandError, match="Exact search needs none"):
        call_command("build_index", kind="exact", beside=True)
