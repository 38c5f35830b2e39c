import itertools
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.evaluation import statistics
from search.evaluation.statistics import Interval, bootstrap_interval, paired_significance

# --- bootstrap ----------------------------------------------------------------------------------------------------


def test_interval_is_a_brute_force_bootstrap():
    values = np.random.default_rng(5).random(30)
    generator, ordered = np.random.default_rng(7), sorted(values)
    means = sorted(sum(ordered[i] for i in generator.integers(30, size=30)) / 30 for _ in range(2000))
    made = bootstrap_interval(values, seed=7)
    # k = floor(2001 * 0.025) = 50: the 50th of each end
    assert (made.low, made.high) == pytest.approx((means[49], means[-50]), abs=1e-9)
    assert made.estimate == pytest.approx(values.mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("resamples", "level", "low", "high"),
    [
        (39, 0.95, 0, 38),  # floor(40 * 0.025) = 1: the lowest and the highest
        (2000, 0.95, 49, 1950),
        (1000, 0.90, 49, 950),
        (99, 0.5, 24, 74),
    ],
)
def test_interval_is_between_the_kth_from_each_end(monkeypatch, resamples, level, low, high):
    shuffled = np.random.default_rng(0).permutation(resamples).astype(float)
    monkeypatch.setattr(statistics, "_resampled", lambda *_: iter([shuffled[:, None]]))
    made = bootstrap_interval([1.0], level=level, resamples=resamples)
    assert (made.low, made.high) == (low, high)


def test_interval_of_two_values_is_as_their_resamples_fall():
    # means 0, 1/2, 1 in a quarter, a half and a quarter of resamples
    assert bootstrap_interval([0, 1], level=0.4) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_interval([0, 1], level=0.95) == Interval(0.5, 0.0, 1.0)


def test_interval_covers_the_truth_as_often_as_it_says():
    """300 samples of 60: 95 % give or take 4 of what chance would move, and percentile intervals are a little short."""
    generator = np.random.default_rng(11)
    made = [bootstrap_interval(generator.exponential(size=60), resamples=400, seed=i) for i in range(300)]
    covered = sum(interval.low <= 1 <= interval.high for interval in made) / 300
    assert 0.87 <= covered <= 0.98
    assert sum(interval.high < 1 for interval in made) > 0


def test_interval_is_as_wide_as_theory_has_it():
    values = np.random.default_rng(2).normal(3, 2, size=2000)
    made = bootstrap_interval(values)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert (made.low, made.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 8)


def test_narrower_levels_lie_within():
    values = np.random.default_rng(2).random(50)
    wide, narrow = bootstrap_interval(values, level=0.99), bootstrap_interval(values, level=0.8)
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


def test_median_is_of_ranks_of_which_some_are_infinite():
    made = bootstrap_interval([1, 1, 2, 3, np.inf], statistic="median")
    assert (made.estimate, made.low, made.high) == (2, 1, np.inf)


def test_seed_decides_and_the_order_of_values_does_not():
    values = np.random.default_rng(3).random(200)
    made = bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) == made
    assert bootstrap_interval(values[::-1].copy(), seed=1) == made
    assert bootstrap_interval(values, seed=2) != made


def test_blocks_change_nothing(monkeypatch):
    values = np.random.default_rng(3).random(101)
    made = bootstrap_interval(values)
    monkeypatch.setattr(statistics, "_BLOCK_NUMBERS", 707)
    assert bootstrap_interval(values) == made


def test_queries_without_a_value_are_left_out():
    assert bootstrap_interval([0.2, np.nan, 0.8, np.nan]) == bootstrap_interval([0.2, 0.8])
    made = bootstrap_interval([np.nan])
    assert np.isnan([made.estimate, made.low, made.high]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_interval_lies_within_the_values(values):
    made = bootstrap_interval(values, resamples=50)
    assert min(values) - 1e-12 <= made.low <= made.high <= max(values) + 1e-12


def test_ten_thousand_queries_take_little_memory():
    values = np.random.default_rng(0).random(10_000)
    tracemalloc.start()
    bootstrap_interval(values)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 50e6  # 160 MB of indices at once, and as much again of values


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([[0.1, 0.2]], {}),
        ([0.1], {"level": 1.0}),
        ([0.1], {"level": 0.0}),
        ([0.1], {"resamples": 10}),
    ],
)
def test_interval_refuses_what_has_none(values, options):
    with pytest.raises(ValueError, match="resamples enough"):
        bootstrap_interval(values, **options)


# --- paired differences -------------------------------------------------------------------------------------------


def enumerated(differences):
    """Two-sided p over all sign patterns, in whole tenths so that nothing rounds."""
    tenths = [round(10 * difference) for difference in differences]
    sums = [
        sum(sign * tenth for sign, tenth in zip(signs, tenths, strict=True))
        for signs in itertools.product([1, -1], repeat=len(tenths))
    ]
    return Fraction(sum(abs(each) >= abs(sum(tenths)) for each in sums), len(sums))


def convolved(whole_numbers):
    """The same, for many: how often each sum occurs, one difference added at a time."""
    counts = {0: 1}
    for number in whole_numbers:
        added = {}
        for total, times in counts.items():
            for signed in (total + number, total - number):
                added[signed] = added.get(signed, 0) + times
        counts = added
    as_far = sum(times for total, times in counts.items() if abs(total) >= abs(sum(whole_numbers)))
    return as_far / 2 ** len(whole_numbers)


def test_significance_worked_by_hand():
    # differences 1, 2, 3: of the eight patterns only +++ and --- sum to 6
    made = paired_significance([2, 4, 6], [1, 2, 3])
    assert made == statistics.Comparison(difference=2.0, p_value=0.25, pairs=3, exact=True)
    # differences 3, 1, -1: the sums are 5, 3, 3, 1 and their negatives, of which six are 3 or more
    assert paired_significance([3, 1, 0], [0, 0, 1]).p_value == 0.75


@given(st.lists(st.integers(-10, 10), min_size=1, max_size=9))
def test_significance_equals_enumeration(tenths):
    """Tenths, whose sums differ in the last bit by the order of addition."""
    made = paired_significance([tenth / 10 for tenth in tenths], [0.0] * len(tenths))
    assert made.exact
    assert made.p_value == pytest.approx(float(enumerated([tenth / 10 for tenth in tenths])), abs=1e-12)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_sampled_significance_is_near_the_exact_one(shift):
    differences = np.random.default_rng(4).integers(-6, 7, 60) + shift
    made = paired_significance(differences, np.zeros(60))
    assert not made.exact
    assert made.p_value == pytest.approx(convolved(differences.tolist()), abs=0.015)


def test_sixteen_differences_are_enumerated_and_seventeen_sampled():
    generator = np.random.default_rng(4)
    for count, exact in [(16, True), (17, False)]:
        numbers = generator.integers(1, 7, count) * generator.choice([-1, 1], count)
        made = paired_significance(numbers, np.zeros(count))
        assert made.exact == exact
        assert made.p_value == pytest.approx(convolved(numbers.tolist()), abs=1e-12 if exact else 0.015)


def test_queries_that_agree_move_nothing():
    few, many = [0.5, 0.4, 0.9], np.full(500, 0.7)
    made = paired_significance(np.append(few, many), np.append([0.1, 0.2, 0.3], many))
    assert (made.exact, made.p_value, made.pairs) == (True, 0.25, 503)
    assert made.difference == pytest.approx((0.4 + 0.2 + 0.6) / 503)


def test_equal_systems_do_not_differ():
    made = paired_significance([0.1, 0.5], [0.1, 0.5])
    assert (made.difference, made.p_value) == (0, 1)


def test_sampled_significance_is_never_0():
    made = paired_significance(np.ones(100), np.zeros(100))
    assert made.p_value == pytest.approx(1 / 10_001)
    assert paired_significance(np.ones(100), np.zeros(100), permutations=99).p_value == pytest.approx(1 / 100)


def test_either_direction_counts():
    a, b = np.random.default_rng(0).random((2, 12))
    one, other = paired_significance(a, b), paired_significance(b, a)
    assert one.difference == -other.difference
    assert one.p_value == other.p_value


def test_chance_alone_is_significant_as_often_as_it_says():
    generator = np.random.default_rng(1)
    made = [paired_significance(generator.random(12), generator.random(12)).p_value for _ in range(300)]
    assert 0.02 <= np.mean(np.array(made) <= 0.05) <= 0.09  # 0.05 give or take three of 0.0126


def test_significance_is_by_the_seed_and_not_the_order_of_queries():
    a, b = np.random.default_rng(6).random((2, 80))
    made = paired_significance(a, b, seed=1)
    assert paired_significance(a[::-1], b[::-1], seed=1).p_value == made.p_value
    assert paired_significance(a, b, seed=2).p_value != made.p_value


def test_sign_patterns_in_blocks_change_nothing(monkeypatch):
    a, b = np.random.default_rng(6).random((2, 80))
    made = paired_significance(a, b)
    monkeypatch.setattr(statistics, "_BLOCK_NUMBERS", 80 * 64)
    assert paired_significance(a, b).p_value == pytest.approx(made.p_value, abs=0.01)
    assert statistics._sampled_p(np.ones(80), 1000, 0) == 1 / 1001


def test_queries_that_only_one_has_are_left_out():
    made = paired_significance([2, 4, 6, np.nan, 1], [1, 2, 3, 1, np.nan])
    assert made == paired_significance([2, 4, 6], [1, 2, 3])
    none = paired_significance([np.nan], [1.0])
    assert (none.p_value, none.pairs) == (1, 0)
    assert np.isnan(none.difference)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([1.0, 2.0], [1.0], "one pair a query"),
        ([[1.0]], [[1.0]], "one pair a query"),
        ([1.0, np.inf], [1.0, 2.0], "infinity"),
    ],
)
def test_significance_refuses_what_does_not_pair(a, b, said):
    with pytest.raises(ValueError, match=said):
        paired_significance(a, b)


def test_significance_takes_a_permutation():
    with pytest.raises(ValueError, match="One permutation"):
        paired_significance([1.0], [2.0], permutations=0)
