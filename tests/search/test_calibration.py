import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallery.models import Asset
from search import calibration, pipeline
from search.answers import Hit
from search.metrics import COSINE, INNER_PRODUCT, L1, L2, METRICS
from search.models import Calibration, Embedding

ROWS = 60
PAIRS = ROWS * (ROWS - 1) // 2


def of(distances, rows=ROWS):
    """A calibration by these distances of pairs, not stored."""
    kept = calibration.quantiles(np.array(distances, np.float32))
    return Calibration(metric="cosine", rows=rows, distances=kept.tolist())


@pytest.fixture
def fill(colour_encoder, user):
    """fill(unit vectors): as many assets without files, with these for embeddings."""

    def made(vectors):
        taken = Asset.objects.count()
        assets = Asset.objects.bulk_create(
            Asset(
                owner=user, title="x", filename="x.jpg", sha256=f"{taken + i:064x}", width=1, height=1, size_bytes=1
            )
            for i in range(len(vectors))
        )  # fmt: skip
        pipeline.claim([asset.pk for asset in assets], colour_encoder)
        pipeline.store(colour_encoder, {asset.pk: vector for asset, vector in zip(assets, vectors, strict=True)})
        return assets

    return made


def circle(count):
    """Vectors around a quarter of a circle, (count, 4) float32."""
    angles = np.linspace(0, np.pi / 2, count)
    return np.stack([np.cos(angles), np.sin(angles), 0 * angles, 0 * angles], axis=1).astype(np.float32)


# --- arithmetic ---------------------------------------------------------------------------------------------------


def test_levels_ascend_from_none_to_all_and_are_fine_where_hits_lie():
    levels = calibration.LEVELS
    assert (levels[0], levels[-1]) == (0, 1)
    assert (np.diff(levels) > 0).all()
    for share in (1e-5, 1e-4, 1e-3, 1e-2):
        assert np.abs(levels - share).min() < 1e-9


def test_distance_is_worked_out_for_each_pair_once():
    right, up, down = [1, 0], [0, 1], [0, -1]
    vectors = np.array([right, up, down], np.float32)
    distances = {metric: sorted(calibration.pair_distances(metric, vectors)) for metric in METRICS.values()}
    assert distances[COSINE] == pytest.approx([1, 1, 2])
    assert distances[L2] == pytest.approx([2**0.5, 2**0.5, 2])
    assert distances[INNER_PRODUCT] == pytest.approx([0, 0, 1])
    assert distances[L1] == pytest.approx([2, 2, 2])


@pytest.mark.parametrize("rows", [2, calibration._BLOCK_ROWS, 2 * calibration._BLOCK_ROWS + 3])
def test_blocks_leave_no_pair_out(rows):
    vectors = circle(rows)
    slow = [1 - float(a @ b) for a, b in itertools.combinations(vectors, 2)]
    np.testing.assert_allclose(np.sort(calibration.pair_distances(COSINE, vectors)), np.sort(slow), atol=1e-6)


def test_closer_than_counts_pairs_that_are_further():
    hundred = of(np.arange(1, 101) / 100)
    for distance, share in [(0.01, 0.99), (0.1, 0.9), (0.25, 0.75), (0.5, 0.5), (1.0, 0.0), (1.7, 0.0)]:
        assert calibration.closer_than(distance, hundred) == pytest.approx(share)


def test_closer_than_lies_between_counts_where_distances_do():
    assert calibration.closer_than(0.255, of(np.arange(1, 101) / 100)) == pytest.approx(0.745)


def test_distance_of_many_pairs_is_closer_than_none_of_these():
    assert calibration.closer_than(0.5, of([0.5] * 75 + [0.9] * 25)) == pytest.approx(0.25)
    assert calibration.closer_than(0.9, of([0.5] * 75 + [0.9] * 25)) == 0


def test_claims_no_more_than_the_pairs_looked_at_support():
    nearest = np.linspace(0.2, 1, PAIRS)
    assert calibration.closer_than(0.0, of(nearest)) == pytest.approx(1 - 1 / PAIRS)
    assert calibration.closer_than(0.2, of(nearest)) == pytest.approx(1 - 1 / PAIRS)


def test_large_gallery_supports_no_more_than_its_sample():
    huge = of([0.5] * 100, rows=1_000_000)
    assert calibration.closer_than(0.0, huge) == pytest.approx(1 - 1 / 1_999_000, abs=1e-12)


distances = st.lists(st.floats(0, 2, width=32), min_size=1, max_size=300)


@given(distances, st.floats(-1, 3), st.floats(-1, 3))
def test_closer_than_is_a_share_and_falls_with_distance(pairs, one, other):
    near, far = (calibration.closer_than(distance, of(pairs)) for distance in sorted([one, other]))
    assert 0 <= far <= near + 1e-12
    assert near < 1


@given(distances)
def test_closer_than_is_near_what_counting_gives(pairs):
    """At each distance of a pair: off by less than the levels around it are apart."""
    counted = of(pairs, rows=1_000_000)
    for distance in np.float32(pairs):
        further = float((np.float32(pairs) > distance).mean())
        around = np.searchsorted(calibration.LEVELS, 1 - further)
        step = calibration.LEVELS[min(around + 1, len(calibration.LEVELS) - 1)] - calibration.LEVELS[max(around - 2, 0)]
        assert calibration.closer_than(float(distance), counted) == pytest.approx(further, abs=step + 1e-6)


# --- in the database ----------------------------------------------------------------------------------------------


def test_gallery_is_calibrated_by_every_metric(colour_encoder, fill):
    vectors = circle(ROWS)
    fill(vectors)
    calibration.calibrate(colour_encoder)
    taken = {made.metric: made for made in colour_encoder.calibrations.all()}
    assert taken.keys() == METRICS.keys()
    assert {made.rows for made in taken.values()} == {ROWS}
    # pairs up to n steps apart are nearer than a right angle by (60 - 1) + ... + (60 - n) of 1,770
    within = sum(ROWS - step for step in range(1, 21)) / PAIRS
    apart = 20.5 * (np.pi / 2) / (ROWS - 1)
    for metric, distance in [
        (COSINE, 1 - np.cos(apart)),
        (INNER_PRODUCT, -np.cos(apart)),
        (L2, 2 * np.sin(apart / 2)),
    ]:
        assert calibration.closer_than(distance, taken[metric.name]) == pytest.approx(1 - within, abs=0.02)


def test_calibration_is_as_brute_force_counts_it(colour_encoder, fill):
    random = np.random.default_rng(3).normal(size=(ROWS, 4)).astype(np.float32)
    vectors = random / np.linalg.norm(random, axis=1, keepdims=True)
    fill(vectors)
    calibration.calibrate(colour_encoder)
    for metric, slow in [
        (COSINE, lambda a, b: 1 - a @ b),
        (L1, lambda a, b: np.abs(a - b).sum()),
    ]:
        pairs = np.array([slow(a, b) for a, b in itertools.combinations(vectors.astype(np.float64), 2)])
        made = colour_encoder.calibrations.get(metric=metric.name)
        for distance in np.quantile(pairs, [0.001, 0.01, 0.1, 0.5, 0.9]):
            assert calibration.closer_than(distance, made) == pytest.approx((pairs > distance).mean(), abs=0.004)


def test_few_embeddings_are_not_calibrated(colour_encoder, fill):
    fill(circle(calibration.MIN_ROWS - 1))
    assert not calibration.is_due(colour_encoder)
    calibration.calibrate(colour_encoder)
    assert not Calibration.objects.exists()


def test_calibrating_again_replaces(colour_encoder, fill):
    fill(circle(ROWS))
    calibration.calibrate(colour_encoder)
    first = colour_encoder.calibrations.get(metric="cosine")
    fill(np.repeat(circle(1), ROWS, axis=0))
    calibration.calibrate(colour_encoder)
    again = colour_encoder.calibrations.get(metric="cosine")
    assert (again.pk, again.rows) == (first.pk, 2 * ROWS)
    assert again.taken > first.taken
    # of 120 pictures 61 are the same: their 1,830 pairs, of 7,140, are no further apart than nothing
    assert calibration.closer_than(1e-6, again) == pytest.approx(1 - 1830 / 7140, abs=0.01)


def test_calibration_is_due_when_there_is_none_and_when_the_gallery_has_doubled_or_halved(colour_encoder, fill):
    fill(circle(2 * ROWS))
    assert calibration.is_due(colour_encoder)
    calibration.calibrate(colour_encoder)
    assert not calibration.is_due(colour_encoder)
    for then, due in [(ROWS, True), (ROWS + 1, False), (4 * ROWS - 1, False), (4 * ROWS, True)]:
        colour_encoder.calibrations.update(rows=then)
        assert calibration.is_due(colour_encoder) == due


def test_calibration_is_due_for_a_metric_that_has_none(colour_encoder, fill):
    fill(circle(ROWS))
    calibration.calibrate(colour_encoder)
    colour_encoder.calibrations.filter(metric="l1").delete()
    assert calibration.is_due(colour_encoder)


def test_calibration_of_a_gallery_that_is_gone_is_forgotten(colour_encoder, fill):
    fill(circle(ROWS))
    calibration.calibrate(colour_encoder)
    Embedding.objects.all().delete()
    assert calibration.is_due(colour_encoder)
    calibration.calibrate(colour_encoder)
    assert not Calibration.objects.exists()
    assert not calibration.is_due(colour_encoder)


def test_quantiles_are_stored_as_numbers_that_ascend(colour_encoder, fill):
    fill(circle(ROWS))
    calibration.calibrate(colour_encoder)
    for made in colour_encoder.calibrations.all():
        assert len(made.distances) == len(calibration.LEVELS)
        assert made.distances == sorted(made.distances)
        assert len(json.dumps(made.distances)) < 8_000  # bytes, read with each search


# --- what is shown ------------------------------------------------------------------------------------------------


def test_hits_say_how_close_they_are_in_one_query(colour_encoder, fill, django_assert_num_queries):
    assets = fill(circle(ROWS))
    calibration.calibrate(colour_encoder)
    hits = [Hit(1, 1.0, 0.0, assets[0]), Hit(2, 0.0, 1.0, assets[-1])]
    with django_assert_num_queries(1):
        near, far = calibration.calibrated(hits, colour_encoder, COSINE)
    assert near.closer_than == pytest.approx(1 - 1 / PAIRS)
    assert far.closer_than == pytest.approx(0, abs=1e-3)
    assert (near.rank, near.asset, far.distance) == (1, assets[0], 1.0)


def test_each_metric_has_its_own_scale(colour_encoder, fill):
    assets = fill(circle(ROWS))
    calibration.calibrate(colour_encoder)
    hits = [Hit(1, 0.5, -0.999, assets[0])]
    assert calibration.calibrated(hits, colour_encoder, INNER_PRODUCT)[0].closer_than > 0.9
    hits = [Hit(1, 0.5, 1.2, assets[0])]
    assert calibration.calibrated(hits, colour_encoder, COSINE)[0].closer_than == 0
    assert calibration.calibrated(hits, colour_encoder, L1)[0].closer_than > 0.1


def test_without_a_calibration_nothing_is_claimed(colour_encoder, fill):
    [asset] = fill(circle(1))
    [hit] = calibration.calibrated([Hit(1, 1.0, 0.0, asset)], colour_encoder, COSINE)
    assert hit.closer_than is None


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 %"),
        (0.29, "29 %"),
        (0.57, "57 %"),
        (0.9, "90 %"),
        (0.93499, "93.4 %"),
        (0.99899, "99.8 %"),
        (0.999, "99.9 %"),
        (0.99919, "99.91 %"),
        (0.99999, "99.99 %"),
        (1 - 1 / 1_999_000, "99.99 %"),
    ],
)
def test_words_round_down(share, words):
    assert calibration.in_words(share) == f"closer than {words} of random pairs"
