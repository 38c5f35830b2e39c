import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gallery.errors import Code, Refused
from gallery.models import Asset
from search import index, pipeline, query
from search.index import BuildFailed
from search.models import Embedding, IndexBuild


def random_vectors(count, dimensions, seed=0):
    """Unit vectors in loose clusters, float32."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(8, dimensions))
    made = centres[random.integers(0, 8, count)] + 0.6 * random.normal(size=(count, dimensions))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def filled(colour_encoder, user):
    """600 assets with vectors, no files; every tenth is a PNG."""
    made = random_vectors(600, colour_encoder.dimensions)
    assets = Asset.objects.bulk_create(
        Asset(
            owner=user, title=f"asset {i}", filename=f"{i}.jpg", sha256=f"{i:064x}", width=1, height=1, size_bytes=1,
            format="PNG" if i % 10 == 0 else "JPEG",
        )
        for i in range(len(made))
    )  # fmt: skip
    pipeline.claim([asset.pk for asset in assets], colour_encoder)
    pipeline.store(colour_encoder, {asset.pk: vector for asset, vector in zip(assets, made, strict=True)})
    return assets, made


def assert_nearest(answer, filled, vector, k, keep=lambda asset: True):
    """The answer is what plain numpy finds in the half precision that is stored; ties may stand in any order."""
    assets, made = filled
    stored = made.astype(np.float16).astype(np.float64)
    cosine = stored @ vector / np.linalg.norm(stored, axis=1)
    distance = {asset.pk: 1 - similarity for asset, similarity in zip(assets, cosine, strict=True)}
    nearest = sorted(distance[asset.pk] for asset in assets if keep(asset))[:k]
    assert [hit.distance for hit in answer.results] == pytest.approx(nearest, abs=1e-3)
    assert [distance[hit.asset.pk] for hit in answer.results] == pytest.approx(nearest, abs=1e-3)
    assert len({hit.asset.pk for hit in answer.results}) == k


def test_exact_search_ranks_as_numpy_does(colour_encoder, filled):
    for vector in random_vectors(5, 4, seed=9):
        answer = query.find_similar(vector, colour_encoder, k=10)
        assert answer.search.exact
        assert_nearest(answer, filled, vector, 10)
        assert [hit.rank for hit in answer.results] == list(range(1, 11))
        assert answer.results[0].similarity == pytest.approx(1 - answer.results[0].distance)


def test_filtered_search_returns_k_of_the_filtered(colour_encoder, filled):
    vector = random_vectors(1, 4, seed=5)[0]
    answer = query.find_similar(vector, colour_encoder, k=30, among=Asset.objects.filter(format="PNG"))
    assert_nearest(answer, filled, vector, 30, keep=lambda asset: asset.format == "PNG")


def test_search_like_an_asset_leaves_it_out(colour_encoder, filled):
    assets, made = filled
    answer = query.find_similar(made[7], colour_encoder, k=5, but=assets[7].pk)
    assert len(answer.results) == 5
    assert assets[7].pk not in [hit.asset.pk for hit in answer.results]


def test_asset_without_a_vector_cannot_be_searched_with(colour_encoder, flat):
    with pytest.raises(Refused) as refused:
        query.vector_of(flat(1, 2, 3), colour_encoder)
    assert refused.value.code == Code.NOT_SEARCHABLE


def test_without_an_encoder_search_says_what_to_do(db):
    with pytest.raises(Refused, match=r"manage\.py prepare"):
        query.active_encoder()


def test_combined_query_lies_between(colour_encoder):
    between = query.combined(np.eye(2, 4, dtype=np.float32))
    np.testing.assert_allclose(between, [2**-0.5, 2**-0.5, 0, 0], atol=1e-6)


def test_stored_picture_finds_itself(encoder, asset, picture):
    stored = [asset(seed) for seed in range(4)]
    pipeline.embed_pending(encoder)
    [vector] = query.encode_pictures([picture(2)], encoder)
    first = query.find_similar(vector, encoder).results[0]
    assert first.asset == stored[2]
    assert first.similarity >= 0.999


def test_unreadable_query_is_refused(encoder):
    with pytest.raises(Refused) as refused:
        query.encode_pictures([SimpleUploadedFile("x.jpg", b"no picture")], encoder)
    assert refused.value.code == Code.UNSUPPORTED_TYPE


@pytest.mark.django_db(transaction=True)
class TestIndex:
    @pytest.fixture(autouse=True)
    def _without_leftovers(self):
        """The database is emptied after each of these tests; indexes would stay."""
        yield
        with connection.cursor() as cursor:
            for name in self.vector_indexes():
                cursor.execute(f"DROP INDEX {name}")

    def test_index_serves_and_is_named_in_the_answer(self, colour_encoder, filled):
        built = index.build(colour_encoder)
        assert built.recall >= 0.98
        answer = query.find_similar(filled[1][3], colour_encoder, k=10)
        assert (answer.search.exact, answer.search.index) == (False, "ivfflat")
        assert (answer.search.probes, answer.search.recall) == (built.probes, built.recall)

    def test_recall_is_stated_only_for_as_many_hits_as_it_was_measured_for(self, colour_encoder, filled):
        index.build(colour_encoder)
        assert query.find_similar(filled[1][3], colour_encoder, k=10).search.recall is not None
        assert query.find_similar(filled[1][3], colour_encoder, k=50).search.recall is None

    def test_planner_uses_the_index_that_the_answer_names(self, colour_encoder, filled):
        built = index.build(colour_encoder)
        plan = self.plan_of_search(colour_encoder, filled[1][3])
        assert f"Index Scan using {built.index_name}" in plan

    def test_exact_search_uses_no_vector_index(self, colour_encoder, filled):
        index.build(colour_encoder)
        among = Asset.objects.filter(format="PNG")
        assert "ivfflat" not in self.plan_of_search(colour_encoder, filled[1][3], among=among)

    def test_replaced_index_is_gone_and_the_new_one_serves(self, colour_encoder, filled):
        first, second = index.build(colour_encoder), index.build(colour_encoder, lists=3)
        assert self.vector_indexes() == [second.index_name]
        first.refresh_from_db()
        assert first.state == IndexBuild.State.REPLACED
        assert f"using {second.index_name}" in self.plan_of_search(colour_encoder, filled[1][3])

    def test_failed_build_leaves_the_old_index_serving(self, colour_encoder, filled, monkeypatch):
        first = index.build(colour_encoder)
        monkeypatch.setattr(index, "_tune", lambda made: 1 / 0)
        with pytest.raises(BuildFailed):
            index.build(colour_encoder)
        assert IndexBuild.objects.serving(colour_encoder) == first
        assert self.vector_indexes() == [first.index_name]

    def test_killed_build_is_cleared_away_by_the_next(self, colour_encoder, filled):
        dead = IndexBuild.objects.create(encoder=colour_encoder, rows=600, lists=4)
        index._create(dead)
        built = index.build(colour_encoder)
        dead.refresh_from_db()
        assert dead.state == IndexBuild.State.FAILED
        assert self.vector_indexes() == [built.index_name]

    def test_index_left_by_a_build_killed_while_it_took_over_is_dropped_by_the_next(self, colour_encoder, filled):
        stale = index.build(colour_encoder)
        IndexBuild.objects.filter(pk=stale.pk).update(state=IndexBuild.State.REPLACED)
        built = index.build(colour_encoder)
        assert self.vector_indexes() == [built.index_name]

    def test_second_build_at_the_same_time_is_refused(self, colour_encoder, filled):
        from concurrent.futures import ThreadPoolExecutor

        def build_elsewhere():
            try:
                index.build(colour_encoder)
            finally:
                connection.close()

        with (
            index._one_at_a_time(),
            ThreadPoolExecutor(1) as pool,
            pytest.raises(BuildFailed, match="Another"),
        ):
            pool.submit(build_elsewhere).result()

    def test_broad_filter_through_the_index_returns_k(self, colour_encoder, filled, monkeypatch):
        monkeypatch.setattr(query, "_FILTERED_EXACT_ROWS", 20)
        index.build(colour_encoder)
        among = Asset.objects.filter(format="PNG")
        answer = query.find_similar(filled[1][3], colour_encoder, k=40, among=among)
        assert not answer.search.exact
        assert len(answer.results) == 40
        distances = [hit.distance for hit in answer.results]
        assert distances == sorted(distances)

    def test_answer_never_falls_short_while_rows_exist(self, colour_encoder, filled):
        built = index.build(colour_encoder, lists=12)
        IndexBuild.objects.filter(pk=built.pk).update(probes=1)
        assert len(query.find_similar(filled[1][3], colour_encoder, k=200).results) == 200

    def test_new_vectors_are_found_through_the_index(self, colour_encoder, filled, flat):
        index.build(colour_encoder)
        added = flat(255, 255, 255)
        pipeline.embed_pending(colour_encoder)
        vector = np.asarray(Embedding.objects.get(asset=added).vector)
        assert query.find_similar(vector, colour_encoder).results[0].asset == added

    def test_index_is_due_when_rows_suffice_or_have_doubled(self, colour_encoder, filled, settings):
        settings.INDEX_MIN_ROWS = 601
        assert not index.is_due(colour_encoder)
        settings.INDEX_MIN_ROWS = 600
        assert index.is_due(colour_encoder)
        built = index.build(colour_encoder)
        assert not index.is_due(colour_encoder)
        IndexBuild.objects.filter(pk=built.pk).update(rows=300)
        assert index.is_due(colour_encoder)

    def plan_of_search(self, row, vector, **options):
        with CaptureQueriesContext(connection) as captured:
            query.find_similar(vector, row, **options)
        [search] = [one["sql"] for one in captured.captured_queries if "<=>" in one["sql"]]
        with connection.cursor() as cursor:
            cursor.execute(
                "SET enable_seqscan = off; SET enable_sort = off"
            )  # so few rows would be read faster without
            try:
                cursor.execute(f"EXPLAIN {search.replace('%', '%%')}")
                return "\n".join(line for (line,) in cursor.fetchall())
            finally:
                cursor.execute("RESET enable_seqscan; RESET enable_sort")

    def vector_indexes(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%USING ivfflat%'")
            return [name for (name,) in cursor.fetchall()]


def test_number_of_lists_fits_the_rows():
    assert [index.lists_for(rows) for rows in (50, 1000, 1400, 13_503, 1_000_000)] == [1, 20, 28, 116, 1000]


@pytest.mark.django_db(transaction=True)
def test_warm_up_goes_all_the_way_of_a_search(colour_encoder, mean_colour):
    query.warm_up()
    assert mean_colour.batches == [1]
