import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.evaluation import revisited
from search.evaluation.measures import Ranking, average_precision_trapezoid

EXACTLY = 1e-9

#: Two easy, three hard of which h3 is never ranked, one junk; n are of other buildings.
ORDER = ["j1", "e1", "n1", "h1", "n2", "e2", "h2"]
SETUPS = revisited.revisited(easy={"e1", "e2"}, hard={"h1", "h2", "h3"}, junk={"j1"})
#: Another query, with nothing that is hard.
OTHER_ORDER = ["x", "e9", "y"]
OTHER_SETUPS = revisited.revisited(easy={"e9"}, hard=set(), junk=set())


def scored(setup):
    rankings = [revisited.ranking(ORDER, SETUPS[setup]), revisited.ranking(OTHER_ORDER, OTHER_SETUPS[setup])]
    return revisited.score(rankings)


# --- by hand ------------------------------------------------------------------------------------------------------


def test_easy_worked_by_hand():
    # without j1, h1, h2: e1 n1 n2 e2, positives at 1 and 4 of 2 that there are.
    # rank 1: (1 + 1) / 2 = 1; rank 4: (1/3 + 2/4) / 2 = 5/12; AP = (1 + 5/12) / 2 = 17/24.
    # The other: x e9 y, positive at 2: (0/1 + 1/2) / 2 = 1/4. mAP = (17/24 + 6/24) / 2 = 23/48.
    made = scored("easy")
    assert made.ap == pytest.approx([17 / 24, 1 / 4], abs=EXACTLY)
    assert made.map == pytest.approx(23 / 48, abs=EXACTLY)
    # P@1: 1 and 0. P@5 and P@10 end at the last positive: 2 of 4 and 1 of 2.
    assert made.mean_precision == pytest.approx({1: 1 / 2, 5: 1 / 2, 10: 1 / 2}, abs=EXACTLY)


def test_medium_worked_by_hand():
    # without j1: e1 n1 h1 n2 e2 h2, positives at 1, 3, 5 and 6 of 5 that there are.
    # rank 1: 1; rank 3: (1/2 + 2/3) / 2 = 35/60; rank 5: (2/4 + 3/5) / 2 = 33/60; rank 6: (3/5 + 4/6) / 2 = 38/60.
    # AP = (60 + 35 + 33 + 38) / 60 / 5 = 166/300 = 83/150.
    made = scored("medium")
    assert made.ap == pytest.approx([83 / 150, 1 / 4], abs=EXACTLY)
    assert made.map == pytest.approx((83 / 150 + 1 / 4) / 2, abs=EXACTLY)
    # P@1: 1 and 0; P@5: 3/5 and 1/2; P@10 ends at rank 6: 4/6 and 1/2
    assert made.mean_precision == pytest.approx({1: 1 / 2, 5: 11 / 20, 10: 7 / 12}, abs=EXACTLY)


def test_hard_worked_by_hand_leaves_out_the_query_without_positives():
    # without j1, e1, e2: n1 h1 n2 h2, positives at 2 and 4 of 3 that there are.
    # rank 2: (0/1 + 1/2) / 2 = 3/12; rank 4: (1/3 + 2/4) / 2 = 5/12; AP = 8/12 / 3 = 2/9.
    made = scored("hard")
    assert made.ap == pytest.approx([2 / 9, np.nan], abs=EXACTLY, nan_ok=True)
    assert made.map == pytest.approx(2 / 9, abs=EXACTLY)
    assert made.queries == 1
    assert made.mean_precision == pytest.approx({1: 0, 5: 1 / 2, 10: 1 / 2}, abs=EXACTLY)


def test_original_worked_by_hand():
    # without j: q x o y g, positives at 1, 3 and 5 of 3: (1 + 7/12 + 11/20) / 3 = 128/60 / 3 = 32/45
    judged = revisited.original(good={"q", "g"}, ok={"o"}, junk={"j"})
    made = revisited.score([revisited.ranking(["q", "j", "x", "o", "y", "g"], judged)])
    assert made.map == pytest.approx(32 / 45, abs=EXACTLY)


def test_numbers_name_items_as_well():
    judged = revisited.revisited(easy={3}, hard={1}, junk={0})["hard"]
    made = revisited.ranking(np.array([0, 2, 3, 1]), judged)
    assert (made.relevant.tolist(), made.total) == ([False, True], 1)


# --- equal to what the published programs do ----------------------------------------------------------------------


def walked(order, judged):
    """Average precision as Oxford's program walks a ranked list, item by item, and passes over junk."""
    area, recall, precision, found, seen = 0.0, 0.0, 1.0, 0, 0
    for item in order:
        if item in judged.junk:
            continue
        seen += 1
        found += item in judged.positive
        recall_now, precision_now = found / len(judged.positive), found / seen
        area += (recall_now - recall) * (precision + precision_now) / 2
        recall, precision = recall_now, precision_now
    return area


def walked_precision(order, judged, k):
    """Precision at the k-th of those that are not junk, or at the last positive where that is sooner."""
    kept = [item in judged.positive for item in order if item not in judged.junk]
    last = max((place + 1 for place, good in enumerate(kept) if good), default=0)
    upto = min(last, k)
    return sum(kept[:upto]) / upto if upto else 0.0


kinds = st.lists(st.sampled_from(["easy", "hard", "junk", "other"]), min_size=1, max_size=40)


@given(kinds, st.integers(0, 8), st.sampled_from(["easy", "medium", "hard"]))
def test_scores_equal_a_walk_along_the_list(kinds, missed, setup):
    """The last of the items were not ranked."""
    of = {kind: {i for i, each in enumerate(kinds) if each == kind} for kind in ("easy", "hard", "junk")}
    judged = revisited.revisited(**of)[setup]
    order = list(range(len(kinds)))[: max(1, len(kinds) - missed)]
    made = revisited.score([revisited.ranking(order, judged)])
    if not judged.positive:
        assert np.isnan([made.map, *made.mean_precision.values()]).all()
        return
    assert made.map == pytest.approx(walked(order, judged), abs=EXACTLY)
    for k, precision in made.mean_precision.items():
        assert precision == pytest.approx(walked_precision(order, judged, k), abs=EXACTLY)


def test_precisions_of_every_query_come_to_those_of_the_protocol():
    rankings = [revisited.ranking(ORDER, SETUPS["hard"]), revisited.ranking(OTHER_ORDER, OTHER_SETUPS["hard"])]
    made = revisited.clipped_precisions(rankings)
    assert made.keys() == {"precision_clipped@1", "precision_clipped@5", "precision_clipped@10"}
    assert made["precision_clipped@5"] == pytest.approx([1 / 2, np.nan], nan_ok=True)


# --- edges --------------------------------------------------------------------------------------------------------


def test_setups_differ_in_what_is_passed_over():
    assert SETUPS["easy"].junk == {"j1", "h1", "h2", "h3"}
    assert SETUPS["medium"].junk == {"j1"}
    assert SETUPS["hard"].junk == {"j1", "e1", "e2"}
    assert SETUPS["medium"].positive == SETUPS["easy"].positive | SETUPS["hard"].positive


def test_precision_ends_at_the_last_positive():
    three_lead = Ranking(np.array([True] * 3 + [False] * 20), total=3)
    one_of_many = Ranking(np.array([True] + [False] * 20), total=50)
    assert revisited.clipped_precision_at(three_lead, 10) == 1
    assert revisited.clipped_precision_at(one_of_many, 10) == 1
    assert revisited.clipped_precision_at(three_lead, 2) == 1


def test_positives_that_were_not_ranked_are_missed():
    none = revisited.ranking(["n1", "n2"], SETUPS["easy"])
    assert average_precision_trapezoid(none) == 0
    assert revisited.clipped_precision_at(none, 5) == 0


def test_no_queries_with_positives_have_no_mean():
    made = revisited.score([revisited.ranking(OTHER_ORDER, OTHER_SETUPS["hard"])])
    assert made.queries == 0
    assert np.isnan(made.map)


def test_items_are_one_thing_and_ranked_once():
    with pytest.raises(ValueError, match="either"):
        revisited.original(good={"a"}, ok=set(), junk={"a"})
    with pytest.raises(ValueError, match="twice"):
        revisited.ranking(["a", "a"], OTHER_SETUPS["easy"])
    with pytest.raises(ValueError, match="k starts at 1"):
        revisited.clipped_precision_at(revisited.ranking(["a"], SETUPS["easy"]), 0)
