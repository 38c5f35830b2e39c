"""Rankings worked by hand, in two dimensions: items lie on a circle, at so many degrees from the query at 0."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from search.evaluation.problems import Problem, Query
from search.evaluation.revisited import Judged
from search.evaluation.run import RECALL_RANKS, By, Found, evaluate, outcome
from search.metrics import COSINE, INNER_PRODUCT, L1, L2


def at(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def problem(places, queries, labels=None):
    """`places` are degrees by name."""
    return Problem(
        "circle", list(places), at(*places.values()), labels or [""] * len(places), queries,
        lambda name, side_px: Image.new("RGB", (8, 8)),
    )  # fmt: skip


def query(positive, junk=(), *, name="query", degrees=0, label=""):
    judged = {"plain": Judged(frozenset(positive), frozenset(junk))}
    return Query(name, at(degrees)[0], lambda: judged, label)


def test_items_are_ranked_by_distance_and_measured_by_what_is_right():
    # right, wrong, right, wrong: AP = (1/1 + 2/3) / 2
    asked = problem({"far": 90, "near": 10, "next": 30, "third": 50}, [query({"near", "third"})])
    [outcome] = evaluate(asked, "toy")
    assert [hit.name for hit in outcome.answered[0].hits] == ["near", "next", "third", "far"]
    assert [hit.relevant for hit in outcome.answered[0].hits] == [True, False, True, False]
    assert outcome.summary.overall["map"] == pytest.approx((1 + 2 / 3) / 2)
    assert outcome.summary.overall["precision@1"] == 1
    assert outcome.summary.overall["precision@5"] == pytest.approx(2 / 5)
    assert outcome.answered[0].hits[0].distance == pytest.approx(1 - np.cos(np.radians(10)), abs=1e-6)


def test_junk_is_passed_over_as_if_it_were_not_there():
    places = {"itself": 0, "right": 20, "wrong": 40}
    [outcome] = evaluate(problem(places, [query({"right"}, {"itself"})]), "toy")
    assert [hit.name for hit in outcome.answered[0].hits] == ["right", "wrong"]
    assert outcome.summary.overall["map"] == 1


def test_what_could_not_be_read_counts_as_missed():
    [outcome] = evaluate(problem({"right": 10, "wrong": 20}, [query({"right", "unreadable"})]), "toy")
    assert outcome.summary.overall["map"] == pytest.approx(1 / 2)
    assert outcome.answered[0].total == 2


def test_ties_do_not_depend_on_the_order_of_the_database():
    places = dict.fromkeys("cabed", 20)
    asked = [query({"b", "e"})]
    found = [
        evaluate(problem({name: places[name] for name in order}, asked), "toy")[0]
        for order in ("abcde", "edcba", "cadbe")
    ]
    assert {tuple(hit.name for hit in one.answered[0].hits) for one in found} == {tuple("abcde")}
    assert len({one.summary.overall["map"] for one in found}) == 1


@pytest.mark.parametrize("metric", [COSINE, L2, INNER_PRODUCT])
def test_equal_distances_are_equal_whatever_a_product_makes_of_their_last_bits(metric):
    """Here the second differs by one: the root of what is nearly 0 makes 0.0003 of that."""
    vectors = np.array([[1, 0], [np.nextafter(np.float32(1), 0), 0], [0, 1]], np.float32)
    asked = replace(problem({"b": 0, "a": 0, "c": 90}, [query({"b"})]), vectors=vectors)
    [outcome] = evaluate(asked, "toy", metric=metric)
    assert [hit.name for hit in outcome.answered[0].hits] == ["a", "b", "c"]


def test_each_protocol_has_an_outcome_of_its_own():
    both = {"easy": Judged(frozenset({"a"}), frozenset()), "hard": Judged(frozenset({"b"}), frozenset({"a"}))}
    asked = [Query("query", at(0)[0], lambda: both)]
    outcomes = {one.protocol: one for one in evaluate(problem({"a": 10, "x": 20, "b": 30}, asked), "toy")}
    assert outcomes["easy"].summary.overall["map"] == 1
    assert outcomes["hard"].summary.overall["map"] == pytest.approx(1 / 2)


def test_metrics_rank_as_they_measure():
    # from (1, 0): 1 - cos + |sin| is least for -20 degrees of these, while cosine and L2 know no such bend
    places = {"a": 70, "b": -80}
    cosine, l1 = (evaluate(problem(places, [query({"a"})]), "toy", metric=metric)[0] for metric in (COSINE, L1))
    angles = np.radians([70, -80])
    assert [hit.distance for hit in l1.answered[0].hits] == pytest.approx(
        sorted(1 - np.cos(angles) + np.abs(np.sin(angles))), abs=1e-5
    )
    assert [hit.distance for hit in cosine.answered[0].hits] == pytest.approx(sorted(1 - np.cos(angles)), abs=1e-5)


def test_more_queries_than_are_ranked_at_once_each_get_their_own_answer():
    degrees = np.linspace(0, 180, 300)
    places = {f"item {number:03}": value for number, value in enumerate(degrees)}
    asked = [
        query({f"item {number:03}"}, name=f"query {number}", degrees=value) for number, value in enumerate(degrees)
    ]
    [outcome] = evaluate(problem(places, asked), "toy")
    assert [one.hits[0].name for one in outcome.answered] == list(places)
    assert (outcome.per_query["ap"] == 1).all()


def test_classes_are_summed_up_apart():
    labelled = [query({"a"}, name="one", label="left"), query({"b"}, name="two", label="right")]
    [outcome] = evaluate(problem({"a": 10, "b": 20}, labelled), "toy")
    assert {name: values["precision@1"] for name, values in outcome.summary.classes.items()} == {"left": 1, "right": 0}
    assert outcome.summary.overall["precision@1"] == 0.5
    assert 0 <= outcome.intervals["precision@1"].low <= 0.5 <= outcome.intervals["precision@1"].high <= 1


def test_query_without_a_label_is_of_no_class():
    [made] = evaluate(problem({"a": 10, "b": 20}, [query({"a"}), query({"b"}, name="two", label="right")]), "toy")
    assert list(made.summary.classes) == ["right"]
    assert made.summary.overall["precision@1"] == 0.5


def test_recall_of_an_index_is_told_as_deep_as_it_surely_goes():
    """Of five hits one is the query itself: what the other five places hold is not known."""
    places = {f"item {number}": number for number in range(8)}
    asked = query(set(places) - {"item 0"}, {"item 0"})
    found = Found(asked, np.arange(5), np.zeros(5, np.float32))
    made = outcome(problem(places, [asked]), By("toy", index="ivfflat", depth=5), "plain", [found])
    assert RECALL_RANKS[:3] == (1, 2, 5)
    assert made.recalls[:2] == pytest.approx([1 / 7, 2 / 7])
    assert np.isnan(made.recalls[2:]).all()


def test_no_query_that_asks_for_anything_has_no_curve():
    [made] = evaluate(problem({"a": 10}, [query(())]), "toy")
    recall, precision = made.precision_recall
    assert recall.shape == precision.shape
    assert np.isnan([*precision, *made.recalls]).all()


@pytest.mark.parametrize(("places", "queries"), [({}, [query({"a"})]), ({"a": 1}, [])])
def test_nothing_to_evaluate_is_said(places, queries):
    empty = Problem("none", list(places), at(*places.values()).reshape(-1, 2), [], queries, lambda name, side_px: None)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(empty, "toy")
