import math
import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from search.evaluation.measures import (
    Ranking,
    all_measures,
    average_precision,
    average_precision_at,
    average_precision_trapezoid,
    confusion,
    first_relevant_rank,
    hit_at,
    ndcg_at,
    precision_at,
    precision_recall_curve,
    ranked,
    recall_at,
    recall_curve,
    summary,
)

EXACTLY = 1e-9
KS = (1, 2, 3, 5, 10, 100)


def of(pattern, missed=0):
    """A ranking by a picture of it, best first: x is relevant, and so many more were not ranked."""
    relevant = np.array([mark == "x" for mark in pattern], bool)
    return Ranking(relevant, total=int(relevant.sum()) + missed)


#: Ranks 1, 3 and 6 of 7, and a fourth that was missed.
WORKED = of("x.x..x.", missed=1)
NOTHING = of("....")
rankings = st.builds(of, st.text("x.", max_size=40), st.integers(0, 6))


# --- slow and obvious ---------------------------------------------------------------------------------------------


def slow_precision(ranking, k):
    return sum(1 for place, good in enumerate(ranking.relevant) if good and place < k) / k


def slow_ap(ranking, k, divisor):
    total = 0.0
    for place, good in enumerate(ranking.relevant):
        if good and place < k:
            total += sum(ranking.relevant[: place + 1]) / (place + 1)
    return total / divisor


def slow_trapezoid(ranking):
    """Every item is a step, of which most are no wider than nothing."""
    area, recall, precision, found = 0.0, 0.0, 1.0, 0
    for place, good in enumerate(ranking.relevant):
        found += int(good)
        recall_now, precision_now = found / ranking.total, found / (place + 1)
        area += (recall_now - recall) * (precision + precision_now) / 2
        recall, precision = recall_now, precision_now
    return area


def slow_ndcg(ranking, k):
    gained = sum(1 / math.log2(place + 2) for place, good in enumerate(ranking.relevant) if good and place < k)
    return gained / sum(1 / math.log2(place + 2) for place in range(min(k, ranking.total)))


def slow_first(ranking):
    return next((place + 1 for place, good in enumerate(ranking.relevant) if good), math.inf)


def slow_measures(ranking):
    n = len(ranking.relevant)
    values = {"ap": slow_ap(ranking, n, ranking.total), "ap_trapezoid": slow_trapezoid(ranking)}
    values["first_rank"] = slow_first(ranking)
    for k in KS:
        values[f"precision@{k}"] = slow_precision(ranking, k)
        values[f"recall@{k}"] = slow_precision(ranking, k) * k / ranking.total
        values[f"hit@{k}"] = float(slow_first(ranking) <= k)
        values[f"ap@{k}"] = slow_ap(ranking, k, min(k, ranking.total))
        values[f"ndcg@{k}"] = slow_ndcg(ranking, k)
    return values


def slow_interpolated(ranking, levels):
    steps = [(sum(ranking.relevant[: i + 1]), i + 1) for i in range(len(ranking.relevant))]
    return [
        max((found / seen for found, seen in steps if found * (levels - 1) >= level * ranking.total), default=0.0)
        for level in range(levels)
    ]


# --- by hand ------------------------------------------------------------------------------------------------------


def test_precision_recall_and_hits_worked_by_hand():
    assert [precision_at(WORKED, k) for k in (1, 2, 5, 6)] == pytest.approx([1 / 1, 1 / 2, 2 / 5, 3 / 6])
    assert [recall_at(WORKED, k) for k in (1, 2, 5, 6)] == pytest.approx([1 / 4, 1 / 4, 2 / 4, 3 / 4])
    assert [hit_at(of("..x"), k) for k in (1, 2, 3)] == [0, 0, 1]


def test_precision_of_a_short_answer_is_of_k():
    assert precision_at(WORKED, 10) == pytest.approx(3 / 10)
    assert precision_at(of("xx"), 10) == pytest.approx(2 / 10)


def test_average_precision_worked_by_hand():
    # precision at ranks 1, 3 and 6: 1, 2/3, 3/6, sum 13/6; the fourth, missed, is 0: 13/6 / 4
    assert average_precision(WORKED) == pytest.approx(13 / 24, abs=EXACTLY)


def test_average_precision_at_k_worked_by_hand():
    # of the first 2, 1 / min(2, 4); of the first 5, (1 + 2/3) / min(5, 4); of the first 10, 13/6 / 4
    assert average_precision_at(WORKED, 2) == pytest.approx(1 / 2, abs=EXACTLY)
    assert average_precision_at(WORKED, 5) == pytest.approx(5 / 12, abs=EXACTLY)
    assert average_precision_at(WORKED, 10) == pytest.approx(13 / 24, abs=EXACTLY)
    # all of the first 2 are right: perfect, though 3 more there are
    assert average_precision_at(of("xx", missed=3), 2) == 1


def test_trapezoid_average_precision_worked_by_hand():
    # rank 1: (1 + 1) / 2 = 1; rank 3: (1/2 + 2/3) / 2 = 7/12; rank 6: (2/5 + 3/6) / 2 = 9/20; sum 122/60, of 4
    assert average_precision_trapezoid(WORKED) == pytest.approx(61 / 120, abs=EXACTLY)
    # rank 2: (0/1 + 1/2) / 2
    assert average_precision_trapezoid(of(".x")) == pytest.approx(1 / 4, abs=EXACTLY)


def test_ndcg_worked_by_hand():
    # found at ranks 1 and 3: 1/log2(2) + 1/log2(4) = 1.5; at best 1 + 0.6309298 + 0.5 + 0.4306766 = 2.5616063
    assert ndcg_at(WORKED, 5) == pytest.approx(1.5 / 2.5616063, abs=1e-7)
    # rank 2 is discounted, which in the paper of 2002 it is not: 1/log2(3) of 1
    assert ndcg_at(of(".x"), 5) == pytest.approx(0.6309298, abs=1e-7)


def test_first_relevant_rank_counts_from_1():
    assert [first_relevant_rank(of(pattern)) for pattern in ("x..", "..x")] == [1, 3]
    assert first_relevant_rank(of("...", missed=1)) == math.inf


def test_nothing_found_is_0():
    nothing_found = of("...", missed=2)
    values = all_measures([nothing_found])
    assert {name for name, value in values.items() if value[0] != 0} == {"first_rank"}


def test_answer_without_items_is_0():
    assert average_precision(of("", missed=1)) == precision_at(of("", missed=1), 5) == 0


def test_nothing_to_find_is_nan():
    assert all(np.isnan(value).all() for value in all_measures([NOTHING]).values())


@pytest.mark.parametrize("measure", [precision_at, recall_at, hit_at, average_precision_at, ndcg_at])
@pytest.mark.parametrize("ranking", [WORKED, NOTHING])
def test_k_starts_at_1(measure, ranking):
    with pytest.raises(ValueError, match="k starts at 1"):
        measure(ranking, 0)


@pytest.mark.parametrize(
    ("relevant", "total"),
    [
        (np.array([True, True]), 1),
        (np.array([[True]]), 1),
        (np.array([1, 0]), 1),
        (np.zeros(3, bool), -1),
    ],
)
def test_ranking_refuses_what_cannot_be(relevant, total):
    with pytest.raises(ValueError, match=r"relevant|Relevance"):
        Ranking(relevant, total)


# --- equal to independent implementations -------------------------------------------------------------------------


@given(rankings.filter(lambda ranking: ranking.total))
def test_every_measure_equals_a_brute_force_loop(ranking):
    fast = all_measures([ranking], KS)
    slow = slow_measures(ranking)
    assert fast.keys() == slow.keys()
    for name, values in fast.items():
        assert values[0] == pytest.approx(slow[name], abs=EXACTLY), name


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_equals_scikit_learn_where_all_is_ranked(seed):
    generator = np.random.default_rng(seed)
    n = int(generator.integers(5, 2000))
    truth, distances = generator.random(n) < generator.choice([0.01, 0.3, 0.9]), generator.permutation(n)
    truth[generator.integers(n)] = True
    ranking = Ranking(truth[ranked(distances, np.arange(n))], total=int(truth.sum()))
    theirs = sklearn_metrics.average_precision_score(truth, -distances)
    assert average_precision(ranking) == pytest.approx(theirs, abs=EXACTLY)
    assert average_precision_at(ranking, n) == pytest.approx(theirs, abs=EXACTLY)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("k", [1, 5, 10, 400])
def test_ndcg_equals_scikit_learn_where_all_is_ranked(seed, k):
    generator = np.random.default_rng(seed)
    truth, distances = generator.random(300) < 0.1, generator.permutation(300)
    ranking = Ranking(truth[ranked(distances, np.arange(300))], total=int(truth.sum()))
    assert ndcg_at(ranking, k) == pytest.approx(sklearn_metrics.ndcg_score([truth], [-distances], k=k), abs=EXACTLY)


@given(rankings, st.sampled_from([2, 11, 101]))
def test_interpolated_precision_equals_a_brute_force_loop(ranking, levels):
    if ranking.total:
        recall, precision = precision_recall_curve([ranking], levels)
        assert recall == pytest.approx([level / (levels - 1) for level in range(levels)], abs=EXACTLY)
        assert precision == pytest.approx(slow_interpolated(ranking, levels), abs=EXACTLY)


@pytest.mark.parametrize("seed", range(5))
def test_confusion_equals_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    labels = ["shoe", "hat", "bag", "never"]
    truth, nearest = (generator.choice(labels[:3], 200).tolist() for _ in range(2))
    theirs = sklearn_metrics.confusion_matrix(truth, nearest, labels=labels)
    np.testing.assert_array_equal(confusion(truth, nearest, labels), theirs)


# --- properties ---------------------------------------------------------------------------------------------------


@given(st.lists(rankings, min_size=1, max_size=5))
def test_measures_are_shares(of_queries):
    for name, values in all_measures(of_queries, KS).items():
        known = values[~np.isnan(values)]
        assert (known >= 0).all()
        assert name == "first_rank" or (known <= 1).all()


@given(st.text("x.", max_size=30), st.integers(1, 30))
def test_all_relevant_first_is_perfect(pattern, k):
    perfect = of("".join(sorted(pattern, reverse=True)))
    if perfect.total:
        assert average_precision(perfect) == average_precision_trapezoid(perfect) == 1
        assert average_precision_at(perfect, k) == ndcg_at(perfect, k) == hit_at(perfect, k) == 1


@given(rankings.filter(lambda ranking: ranking.total))
def test_recall_and_hits_never_fall_with_k(ranking):
    for measure in (recall_at, hit_at):
        assert all(less <= more for less, more in pairwise(measure(ranking, k) for k in range(1, 50)))


# --- ties ---------------------------------------------------------------------------------------------------------


def test_equal_distances_stand_in_order_of_name():
    order = ranked([0.5, 0.1, 0.5, 0.5, 0.1], ["c", "z", "a", "b", "y"])
    assert order.tolist() == [4, 1, 2, 3, 0]


def test_zero_is_equal_to_negative_zero():
    assert ranked([0.0, -0.0, -0.0], ["c", "b", "a"]).tolist() == [2, 1, 0]


def test_many_queries_are_ranked_at_once():
    generator = np.random.default_rng(0)
    distances, names = generator.integers(0, 4, (6, 20)), generator.permutation(20)
    rows = [sorted(range(20), key=lambda i, row=row: (row[i], names[i])) for row in distances]
    np.testing.assert_array_equal(ranked(distances, names), rows)


def test_queries_may_rank_items_of_their_own():
    order = ranked([[1, 1], [1, 1]], [["a", "b"], ["b", "a"]])
    assert order.tolist() == [[0, 1], [1, 0]]


tied = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30)


@given(tied, st.randoms(use_true_random=False))
def test_no_measure_depends_on_the_order_of_the_input(items, random):
    """Thirty items at four distances: nearly all are tied."""
    named = [(distance, f"{place}.jpg", good) for place, (distance, good) in enumerate(items)]
    shuffled = random.sample(named, len(named))
    one, other = (measured(given) for given in (named, shuffled))
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def measured(named):
    distances, names, good = (np.array(column) for column in zip(*named, strict=True))
    return all_measures([Ranking(good[ranked(distances, names)], total=int(good.sum()))], KS)


@pytest.mark.parametrize(
    ("distances", "names", "said"),
    [
        ([0.1, 0.2], ["a", "a"], "one name"),
        ([[0.1, 0.2], [0.1, 0.2]], [["a", "b"], ["b", "b"]], "one name"),
        ([0.1, np.nan], ["a", "b"], "not a number"),
        ([0.1, 0.2, 0.3], ["a", "b"], "broadcast"),
    ],
)
def test_ranking_without_a_total_order_is_refused(distances, names, said):
    with pytest.raises(ValueError, match=said):
        ranked(distances, names)


# --- of many queries ----------------------------------------------------------------------------------------------

#: Average precision 1, 1/2, and nothing to find; then 1/3 and 0.
FIVE = [of("x.."), of(".x."), NOTHING, of("..x"), of("...", missed=1)]
CLASSES = ["shoe", "shoe", "shoe", "hat", "hat"]


def test_summary_worked_by_hand():
    whole = summary(all_measures(FIVE, (1,)), CLASSES)
    # (1 + 1/2 + 1/3 + 0) / 4 = 11/24; ranks 1, 2, 3, inf: half way between 2 and 3
    assert whole.overall["queries"] == 4
    assert whole.overall["map"] == pytest.approx(11 / 24, abs=EXACTLY)
    assert whole.overall["median_rank"] == 2.5
    assert whole.overall["precision@1"] == whole.overall["map@1"] == 1 / 4
    assert whole.classes.keys() == {"shoe", "hat"}
    assert whole.classes["shoe"]["queries"] == 2
    assert whole.classes["shoe"]["map"] == pytest.approx((1 + 1 / 2) / 2, abs=EXACTLY)
    assert whole.classes["shoe"]["median_rank"] == 1.5
    assert whole.classes["hat"]["map"] == pytest.approx((1 / 3 + 0) / 2, abs=EXACTLY)
    assert whole.classes["hat"]["median_rank"] == math.inf


def test_summary_names_every_measure():
    whole = summary(all_measures(FIVE, (1, 10)), CLASSES)
    cut = {f"{name}@{k}" for name in ("precision", "recall", "hit", "map", "ndcg") for k in (1, 10)}
    assert whole.overall.keys() == {"queries", "map", "map_trapezoid", "median_rank"} | cut


def test_summary_of_nothing_to_find_is_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = summary(all_measures([NOTHING], (1,)), ["shoe"])
    assert whole.overall["queries"] == 0
    assert np.isnan([value for name, value in whole.overall.items() if name != "queries"]).all()


def test_summary_refuses_classes_of_other_queries():
    with pytest.raises(ValueError, match="One class for each query"):
        summary(all_measures(FIVE), CLASSES[:-1])


def test_precision_over_recall_worked_by_hand():
    # highest precision from the first, second, third item on: 1, 2/3, 1/2; the fourth, missed: 0.
    # Recall 0.1 and 0.2 take one of four, 0.3 to 0.5 two, 0.6 and 0.7 three, 0.8 and more all.
    recall, precision = precision_recall_curve([WORKED], levels=11)
    assert recall[3] == pytest.approx(0.3)
    assert precision == pytest.approx([1, 1, 1] + [2 / 3] * 3 + [1 / 2] * 2 + [0] * 3, abs=EXACTLY)
    # interpolated: at its only item precision is 1/3, and at any lower recall no less
    assert precision_recall_curve([of("..x")], 2)[1] == pytest.approx([1 / 3, 1 / 3])


def test_precision_at_a_recall_that_rounding_would_move():
    """The third of ten is at recall 0.3 exactly, and 0.1 * 3 is a little more than that."""
    _, precision = precision_recall_curve([of("xxx.......xxxxxxx")], levels=11)
    assert precision[3] == 1
    assert precision[4] < 1


def test_precision_over_recall_is_the_mean_of_queries():
    _, precision = precision_recall_curve([of("x"), of(".x"), NOTHING], levels=3)
    assert precision == pytest.approx([3 / 4, 3 / 4, 3 / 4])
    assert np.isnan(precision_recall_curve([NOTHING], 3)[1]).all()
    with pytest.raises(ValueError, match="two ends"):
        precision_recall_curve([WORKED], 1)


def test_recall_over_k_is_the_mean_of_queries():
    # of four and of one: (1/4 + 0) / 2, (2/4 + 1) / 2, (3/4 + 1) / 2
    assert recall_curve([WORKED, of("..x"), NOTHING], [1, 3, 6]) == pytest.approx([1 / 8, 3 / 4, 7 / 8])
    assert np.isnan(recall_curve([NOTHING], [1, 3])).all()


def test_confusion_counts_by_row_the_class_of_the_query():
    counts = confusion(["shoe", "shoe", "hat"], ["shoe", "hat", "hat"], ["hat", "shoe"])
    assert counts.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("queries", "nearest", "labels", "said"),
    [
        (["a"], ["b"], ["a"], "each class once"),
        (["b"], ["a"], ["a"], "each class once"),
        (["a"], ["a"], ["a", "a"], "each class once"),
        (["a", "a"], ["a"], ["a"], "each query"),
    ],
)
def test_confusion_refuses_what_it_cannot_count(queries, nearest, labels, said):
    with pytest.raises(ValueError, match=said):
        confusion(queries, nearest, labels)


def test_evaluation_is_arithmetic_alone():
    """In a fresh process, it loads neither Django nor torch."""
    names = ("measures", "statistics", "revisited", "consistency")
    loads = "; ".join(f"import search.evaluation.{name}" for name in names)
    heavy = "import sys; print([name for name in ('django', 'torch', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{loads}; {heavy}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
