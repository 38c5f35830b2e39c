import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from gallery.errors import Code, Refused
from gallery.models import Asset, Tag
from search import pictures, pipeline, query
from search.metrics import METRICS
from search.models import RecentQuery, Rule
from search.pictures import Picture, Region
from search.query import Part, Wanted
from tests.conftest import drawn, encoded
from tests.search.vectors import distances, filled_with, random_vectors


@pytest.fixture
def picture_of():
    """picture_of(r, g, b): an upload of one colour."""

    def make(*rgb):
        return SimpleUploadedFile(f"{rgb}.png", encoded(Image.new("RGB", (32, 32), rgb), "PNG"))

    return make


@pytest.fixture
def filled(colour_encoder, user):
    """600 assets with vectors, no files; every tenth is a PNG."""
    made = random_vectors(600, colour_encoder.dimensions)
    return filled_with(made, colour_encoder, user), made


def assert_nearest(answer, filled, vector, k, *, keep=lambda asset: True, metric="cosine"):
    """The answer is what plain numpy finds; ties may stand in any order."""
    assets, made = filled
    distance = dict(zip([asset.pk for asset in assets], distances(metric, made, vector), strict=True))
    nearest = sorted(distance[asset.pk] for asset in assets if keep(asset))[:k]
    assert [hit.distance for hit in answer.results] == pytest.approx(nearest, abs=1e-5)
    assert [distance[hit.asset.pk] for hit in answer.results] == pytest.approx(nearest, abs=1e-5)
    assert len({hit.asset.pk for hit in answer.results}) == k


def refused_code(call):
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.code


@pytest.mark.parametrize("metric", METRICS)
def test_exact_search_ranks_as_numpy_does(colour_encoder, filled, metric):
    for vector in random_vectors(5, 4, seed=9):
        answer = query.find_similar(vector, colour_encoder, Wanted(k=10, metric=METRICS[metric]))
        assert (answer.search.exact, answer.search.metric) == (True, metric)
        assert_nearest(answer, filled, vector, 10, metric=metric)
        assert [hit.rank for hit in answer.results] == list(range(1, 11))


@pytest.mark.parametrize("metric", METRICS)
def test_similarity_is_one_for_the_same_vector_and_minus_one_for_its_opposite(metric):
    for dimensions in (4, 768):
        one = np.full((1, dimensions), dimensions**-0.5, np.float32)
        for other, similarity in ((one, 1), (-one, -1)):
            distance = distances(metric, one, other[0])[0]
            assert METRICS[metric].similarity(float(distance), dimensions) == pytest.approx(similarity, abs=2e-3)


def test_filtered_search_returns_k_of_the_filtered(colour_encoder, filled):
    vector = random_vectors(1, 4, seed=5)[0]
    answer = query.find_similar(vector, colour_encoder, Wanted(k=30, among=Asset.objects.filter(format="PNG")))
    assert_nearest(answer, filled, vector, 30, keep=lambda asset: asset.format == "PNG")
    assert answer.search.filters == "ranked"


def test_filter_with_percent_signs_and_braces_is_taken_as_it_is(colour_encoder, filled):
    assets, made = filled
    Asset.objects.filter(pk=assets[3].pk).update(title="{100%} 'cotton' %s")
    among = Asset.objects.filter(title="{100%} 'cotton' %s")
    answer = query.find_similar(made[0], colour_encoder, Wanted(among=among))
    assert [hit.asset.pk for hit in answer.results] == [assets[3].pk]


def test_filter_that_nothing_passes_finds_nothing(colour_encoder, filled):
    for among in (Asset.objects.none(), Asset.objects.filter(title="no such")):
        assert query.find_similar(filled[1][0], colour_encoder, Wanted(among=among)).results == []


def test_nothing_below_the_least_similarity_comes_back(colour_encoder, filled):
    vector = random_vectors(1, 4, seed=5)[0]
    everything = query.find_similar(vector, colour_encoder, Wanted(k=50))
    least = everything.results[19].similarity
    cut = query.find_similar(vector, colour_encoder, Wanted(k=50, min_similarity=least))
    assert [hit.asset.pk for hit in cut.results] == [hit.asset.pk for hit in everything.results[:20]]


def test_search_like_an_asset_leaves_it_out(colour_encoder, filled):
    assets, _ = filled
    answer = query.like_asset(assets[7], Wanted(k=5))
    assert len(answer.results) == 5
    assert assets[7].pk not in [hit.asset.pk for hit in answer.results]


def test_asset_without_a_vector_cannot_be_searched_with(colour_encoder, flat):
    stored = flat(1, 2, 3)
    assert refused_code(lambda: query.vector_of(stored, colour_encoder)) == Code.NOT_SEARCHABLE


def test_without_an_encoder_search_says_what_to_do(db):
    with pytest.raises(Refused, match=r"manage\.py prepare"):
        query.active_encoder()


# --- several together, regions, turns ---------------------------------------------------------------------------


def test_combined_query_lies_between():
    two = np.eye(2, 4, dtype=np.float32)
    np.testing.assert_allclose(query.combined(two, [1, 1]), [2**-0.5, 2**-0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(query.combined(two, [4, -3]), [0.8, -0.6, 0, 0], atol=1e-6)


def test_pictures_that_cancel_each_other_out_are_refused():
    same = np.ones((2, 4), np.float32) / 2
    assert refused_code(lambda: query.combined(same, [1, -1])) == Code.INVALID


def test_plus_and_minus_over_files_and_assets_finds_what_is_worked_out_by_hand(colour_encoder, flat, picture_of):
    """Vectors are (r, g, b, 64): yellow less green, counted half, points to red."""
    red, green, grey = flat(250, 0, 0), flat(0, 250, 0), flat(128, 128, 128)
    pipeline.embed_pending(colour_encoder)
    parts = [Part(Picture(picture_of(250, 250, 0))), Part(Picture(green), -0.7)]
    answer = query.like_all(parts)
    assert [hit.asset for hit in answer.results] == [red, grey]  # green, which is asked with, is left out
    yellow, minus = np.array([250, 250, 0, 64.0]), np.array([0, 250, 0, 64.0])
    between = yellow / np.linalg.norm(yellow) - 0.7 * minus / np.linalg.norm(minus)
    stored = np.array([250, 0, 0, 64.0])
    cosine = between @ stored / np.linalg.norm(between) / np.linalg.norm(stored)
    assert answer.results[0].similarity == pytest.approx(cosine, abs=2e-2)  # JPEG moves colours a little


def test_each_of_several_gets_its_own_answer_in_one_batch(colour_encoder, mean_colour, flat, picture_of):
    red, blue = flat(250, 0, 0), flat(0, 0, 250)
    pipeline.embed_pending(colour_encoder)
    mean_colour.batches.clear()
    parts = [Part(Picture(picture_of(0, 0, 240))), Part(Picture(picture_of(240, 0, 0))), Part(Picture(red))]
    firsts = [answer.results[0].asset for answer in query.like_each(parts)]
    assert firsts == [blue, red, blue]
    assert mean_colour.batches == [2]


def test_region_is_searched_with_alone(colour_encoder, flat):
    red, blue = flat(250, 0, 0), flat(0, 0, 250)
    pipeline.embed_pending(colour_encoder)
    both = Image.new("RGB", (128, 64), (250, 0, 0))
    both.paste((0, 0, 250), (64, 0, 128, 64))
    picture = SimpleUploadedFile("both.png", encoded(both, "PNG"))
    left, right = Region(0, 0, 0.5, 1), Region(0.5, 0, 0.5, 1)
    answers = query.like_each([Part(Picture(picture, left)), Part(Picture(picture, right))])
    assert [answer.results[0].asset for answer in answers] == [red, blue]
    assert answers[0].results[0].similarity > 0.99


def test_turned_picture_is_found_as_well_as_it_would_be_upright(encoder, asset):
    stored = [asset(seed) for seed in range(4)]
    pipeline.embed_pending(encoder)
    quarter_turn = drawn(2, (64, 48)).transpose(Image.Transpose.ROTATE_90)
    lying = SimpleUploadedFile("lying.png", encoded(quarter_turn, "PNG"))
    plain = query.like_each([Part(Picture(lying))])[0].results
    turned = query.like_each([Part(Picture(lying, turned=True))])[0].results
    assert turned[0].asset == stored[2]
    assert turned[0].similarity > 0.99
    assert next(hit.similarity for hit in plain if hit.asset == stored[2]) < turned[0].similarity


def test_combined_pictures_cannot_be_turned(encoder, picture):
    part = Part(Picture(picture(1), turned=True))
    assert refused_code(lambda: query.like_all([part])) == Code.INVALID


def test_stored_picture_finds_itself(encoder, asset, picture):
    stored = [asset(seed) for seed in range(4)]
    pipeline.embed_pending(encoder)
    [answer] = query.like_each([Part(Picture(picture(2)))])
    assert answer.results[0].asset == stored[2]
    assert answer.results[0].similarity >= 0.999


def test_vectors_of_pictures_searched_with_are_kept_and_those_of_assets_are_not(colour_encoder, flat, picture_of):
    stored = flat(250, 0, 0)
    pipeline.embed_pending(colour_encoder)
    query.like_asset(stored)
    assert not RecentQuery.objects.exists()
    query.like_each([Part(Picture(picture_of(0, 0, 240)))])
    kept = np.asarray(RecentQuery.objects.get().vector)
    assert kept == pytest.approx(np.array([0, 0, 240, 64]) / np.hypot(240, 64), abs=0.02)


# --- rules and what is made of hits -----------------------------------------------------------------------------


def test_hidden_assets_are_made_up_for_by_the_next(colour_encoder, filled, user):
    made = filled[1]
    hidden = Tag.objects.create(name="hidden")
    nearest = [hit.asset for hit in query.find_similar(made[0], colour_encoder, Wanted(k=200)).results]
    for found in nearest[:150]:
        found.tags.add(hidden)
    Rule.objects.create(action=Rule.Action.HIDE, tag=hidden)
    shown = [hit.asset for hit in query.find_similar(made[0], colour_encoder, Wanted(k=30)).results]
    assert shown == nearest[150:180]


def test_pinned_hits_stand_first_and_ranks_are_numbered(colour_encoder, filled):
    made = filled[1]
    pinned = Tag.objects.create(name="pinned")
    tenth = query.find_similar(made[0], colour_encoder).results[9].asset
    tenth.tags.add(pinned)
    Rule.objects.create(action=Rule.Action.PIN, tag=pinned)
    hits = query.find_similar(made[0], colour_encoder).results
    assert (hits[0].asset, hits[0].rule, hits[0].rank) == (tenth, "pin", 1)
    assert [hit.rank for hit in hits] == list(range(1, 11))


def test_near_identical_hits_come_as_one_with_a_count_and_k_come_back(colour_encoder, user):
    distinct = np.eye(4, dtype=np.float32)
    filled_with(np.repeat(distinct, [30, 1, 20, 5], axis=0), colour_encoder, user)
    near_first = np.array([0.8, 0.5, 0.3, 0.15], np.float32)
    answer = query.find_similar(near_first / np.linalg.norm(near_first), colour_encoder, Wanted(k=4, collapse=True))
    assert [hit.alike for hit in answer.results] == [29, 0, 19, 4]


# --- cost -------------------------------------------------------------------------------------------------------


def test_number_of_queries_does_not_grow_with_hits(colour_encoder, filled, django_assert_max_num_queries):
    for k in (5, 200):
        with django_assert_max_num_queries(7):
            assert len(query.find_similar(filled[1][0], colour_encoder, Wanted(k=k)).results) == k


def test_repeated_query_encodes_nothing(colour_encoder, mean_colour, picture_of):
    for _ in range(2):
        query.like_each([Part(Picture(picture_of(1, 2, 200)))])
    assert mean_colour.batches == [1]


@pytest.mark.django_db(transaction=True)
def test_warm_up_goes_all_the_way_of_a_search(colour_encoder, mean_colour):
    pictures.warm_up()
    assert mean_colour.batches == [1]
