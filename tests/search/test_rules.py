from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallery.models import Asset, Collection, Tag
from search import rules
from search.answers import Hit
from search.models import Rule

PIN, BOOST, HIDE = Rule.Action.PIN, Rule.Action.BOOST, Rule.Action.HIDE


@pytest.fixture
def make(user):
    """make(title, tags=[...], collection=...): an asset without files, as `for_display` loads it."""

    def made(title, tags=(), collection=None):
        asset = Asset.objects.create(
            owner=user, title=title, filename="x.jpg", sha256=f"{title:0>64}", width=1, height=1, size_bytes=1,
            collection=collection,
        )  # fmt: skip
        asset.tags.set(Tag.objects.named(list(tags)))
        return Asset.objects.for_display().get(pk=asset.pk)

    return made


@pytest.fixture
def rule(db):
    """rule(action, "tag" or collection, amount): a stored rule."""

    def made(action, on, amount=0.0, **details):
        target = {"collection": on} if isinstance(on, Collection) else {"tag": Tag.objects.named([on])[0]}
        return Rule.objects.create(action=action, amount=amount, **target, **details)

    return made


@pytest.fixture
def shoes(user):
    return Collection.objects.create(name="Shoes", owner=user)


def hit(asset, similarity):
    return Hit(0, similarity, 1 - similarity, asset)


def titles(hits):
    return "".join(hit.asset.title for hit in hits)


@pytest.fixture
def abcde(make, shoes):
    """Hits a to e, nearest first."""
    return [
        hit(make("a"), 0.9),
        hit(make("b", tags=["new"]), 0.8),
        hit(make("c", tags=["new", "old"]), 0.7),
        hit(make("d", collection=shoes), 0.6),
        hit(make("e", tags=["old"], collection=shoes), 0.5),
    ]


def test_without_rules_hits_stay_as_they_are(abcde):
    assert rules.applied(abcde, []) == abcde


def test_pinned_stand_above_others_in_order_of_similarity(abcde, rule):
    pinned = rules.applied(abcde, [rule(PIN, "old"), rule(PIN, "new")])
    assert titles(pinned) == "bcead"
    assert [hit.rule for hit in pinned] == ["pin", "pin", "pin", None, None]


def test_boost_lifts_by_its_amount_and_leaves_the_similarity(abcde, rule, shoes):
    boosted = rules.applied(abcde, [rule(BOOST, shoes, 0.25)])
    assert titles(boosted) == "adbec"  # .9, .6 + .25, .8, .5 + .25, .7
    assert [hit.similarity for hit in boosted] == [0.9, 0.6, 0.8, 0.5, 0.7]
    assert [hit.rule for hit in boosted] == [None, "boost", None, "boost", None]


def test_boosts_of_one_asset_add_up(abcde, rule, shoes):
    boosted = rules.applied(abcde, [rule(BOOST, "old", 0.25), rule(BOOST, shoes, 0.25)])
    assert titles(boosted) == "ecadb"  # .5 + .5, .7 + .25, .9, .6 + .25, .8


def test_boost_below_zero_lowers(abcde, rule):
    assert titles(rules.applied(abcde, [rule(BOOST, "new", -0.25)])) == "adbec"  # .9, .6, .55, .5, .45


def test_boosts_that_cancel_out_have_moved_nothing(abcde, rule):
    hits = rules.applied(abcde, [rule(BOOST, "new", 0.5), rule(BOOST, "old", -0.5)])
    assert titles(hits) == "bacde"  # 1.3, .9, .7 + .5 - .5, .6, .0
    assert [hit.rule for hit in hits] == ["boost", None, None, None, "boost"]


def test_pinned_are_not_boosted(abcde, rule, shoes):
    hits = rules.applied(abcde, [rule(PIN, shoes), rule(BOOST, "old", 1.0)])
    assert titles(hits) == "decab"  # d and e pinned; .7 + 1, .9, .8
    assert [hit.rule for hit in hits] == ["pin", "pin", "boost", None, None]


def test_hiding_wins_over_pinning_and_boosting(abcde, rule, shoes):
    hiding = [rule(PIN, "new"), rule(BOOST, "old", 1.0), rule(HIDE, "old")]
    assert titles(rules.applied(abcde, hiding)) == "bad"


def test_hidden_collection_hides_nothing_that_is_in_none(abcde, rule, shoes):
    assert titles(rules.applied(abcde, [rule(HIDE, shoes)])) == "abc"


def test_equal_scores_keep_their_order(make, rule):
    tied = [hit(make("x"), 0.5), hit(make("y"), 0.5), hit(make("z", tags=["new"]), 0.25)]
    assert titles(rules.applied(tied, [rule(BOOST, "new", 0.25)])) == "xyz"


def test_disabled_rule_is_not_among_those_enabled(abcde, rule):
    rule(HIDE, "new", is_enabled=False), rule(PIN, "old")
    assert titles(rules.applied(abcde, Rule.objects.enabled())) == "ceabd"


def test_applying_rules_asks_the_database_for_nothing(abcde, rule, shoes, django_assert_num_queries):
    chosen = [rule(PIN, "new"), rule(BOOST, shoes, 0.5), rule(HIDE, "old")]
    with django_assert_num_queries(0):
        rules.applied(abcde, chosen)


def test_without_hidden_leaves_those_that_applied_leaves(abcde, rule, shoes):
    chosen = [rule(HIDE, "old"), rule(PIN, "new"), rule(HIDE, shoes)]
    left = rules.without_hidden(None, chosen)
    assert {asset.title for asset in left} == {"a", "b"} == set(titles(rules.applied(abcde, chosen)))


def test_without_hidden_stays_within_what_is_searched(abcde, rule):
    among = Asset.objects.filter(title__in=["a", "e"])
    assert [asset.title for asset in rules.without_hidden(among, [rule(HIDE, "old")])] == ["a"]


def test_without_a_rule_that_hides_the_search_is_not_narrowed(rule):
    assert rules.without_hidden(None, [rule(PIN, "new")]) is None


def test_moves_are_chosen_among_as_many_whatever_k_is(rule):
    pin, hide = rule(PIN, "new"), rule(HIDE, "new")
    assert rules.depth(10, [hide, pin]) == rules.depth(50, [pin]) == rules.DEPTH
    assert rules.depth(rules.DEPTH + 1, [pin]) == rules.DEPTH + 1
    assert rules.depth(10, [hide]) == rules.depth(10, []) == 10


# --- near-identical hits ------------------------------------------------------------------------------------------


def at(degrees):
    """The unit vector of that angle: vectors up to 8.1 degrees apart are near-identical (cosine 0.99)."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


@pytest.fixture
def turned(make):
    """turned(angles...): hits a, b, ... ranked as given, and their vectors."""

    def made(*angles):
        hits = [hit(make(chr(97 + i)), 1 - i / 10) for i in range(len(angles))]
        return hits, {hit.asset.pk: at(angle) for hit, angle in zip(hits, angles, strict=True)}

    return made


def test_near_identical_hits_become_the_best_ranked_with_a_count(turned):
    kept = rules.collapsed(*turned(0, 90, 5, 95, -5, 45))
    assert titles(kept) == "abf"
    assert [hit.alike for hit in kept] == [2, 1, 0]


def test_chain_of_neighbours_is_not_one(turned):
    kept = rules.collapsed(*turned(0, 6, 12, 18))
    assert titles(kept) == "ac"  # each is near its neighbours; a stands for b alone, c for d
    assert [hit.alike for hit in kept] == [1, 1]


def test_hit_between_two_counts_for_the_better_ranked(turned):
    kept = rules.collapsed(*turned(10, 0, 5))
    assert [(hit.asset.title, hit.alike) for hit in kept] == [("a", 1), ("b", 0)]


@pytest.mark.parametrize(("angle", "kept"), [(8.0, "a"), (8.2, "ab")])
def test_just_near_enough_and_just_not_are_told_apart(turned, angle, kept):
    assert titles(rules.collapsed(*turned(0, angle))) == kept


def test_length_that_half_precision_leaves_does_not_matter(turned):
    hits, vectors = turned(0, 8.0, 90)
    shortened = {asset_id: np.float32(0.995) * vector for asset_id, vector in vectors.items()}
    assert titles(rules.collapsed(hits, shortened)) == "ac"


def test_hit_without_a_vector_stands_for_itself(turned):
    hits, vectors = turned(0, 0, 0)
    del vectors[hits[1].asset.pk]
    assert [(hit.asset.title, hit.alike) for hit in rules.collapsed(hits, vectors)] == [("a", 1), ("b", 0)]
    assert rules.collapsed(hits, {}) == hits


def test_what_rules_did_is_kept(turned):
    hits, vectors = turned(0, 1)
    [kept] = rules.collapsed([replace(hits[0], rule="pin"), hits[1]], vectors)
    assert (kept.rule, kept.alike) == ("pin", 1)


@given(st.lists(st.floats(0, 360), min_size=1, max_size=20))
def test_leaders_are_as_slow_obvious_search_finds_them(angles):
    vectors = np.stack([at(angle) for angle in angles])
    slow = []
    for row, vector in enumerate(vectors):
        leading = [other for other in range(row) if slow[other] == other]
        near = [other for other in leading if float(vectors[other] @ vector) >= rules.NEAR_IDENTICAL]
        slow.append(near[0] if near else row)
    assert rules.leaders(vectors) == slow
