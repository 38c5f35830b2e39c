import itertools
import math
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples, silhouette_score

from search.evaluation import consistency as module
from search.evaluation.consistency import consistency

EXACTLY = 1e-9


def directions(count, seed=0, width=8):
    """Random unit vectors, (count, width) float64."""
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered(sizes, seed=0, width=8):
    """Unit vectors around one centre for each class, and their labels."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([f"class {place}" for place in range(len(sizes))], sizes)
    around = np.repeat(generator.normal(size=(len(sizes), width)), sizes, axis=0)
    vectors = around + 0.5 * generator.normal(size=(len(labels), width))
    shuffled = generator.permutation(len(labels))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[shuffled], labels[shuffled].tolist()


def slow_spread(vectors, pairs):
    cosine = [1 - float(vectors[i] @ vectors[j]) for i, j in pairs]
    euclidean = [float(np.sqrt(((vectors[i] - vectors[j]) ** 2).sum())) for i, j in pairs]
    return np.mean(cosine), np.mean(euclidean)


def spread(made):
    return made.cosine, made.euclidean


# --- by hand ------------------------------------------------------------------------------------------------------


def test_consistency_worked_by_hand():
    right, up, left, down = [1, 0], [0, 1], [-1, 0], [0, -1]
    made = consistency(np.array([right, left, up, down], np.float32), ["a", "b", "a", "b"])
    # within: right and up, left and down, each at a right angle
    assert spread(made.within) == pytest.approx((1, math.sqrt(2)))
    # between: right-left and up-down are opposite, right-down and up-left at a right angle
    assert spread(made.between) == pytest.approx((1.5, (2 + math.sqrt(2)) / 2))
    # each: a = 1, b = (2 + 1) / 2 = 1.5, (1.5 - 1) / 1.5
    assert made.silhouette == pytest.approx(1 / 3)
    assert made.classes["a"].members == 2
    assert spread(made.classes["b"].between) == pytest.approx((1.5, (2 + math.sqrt(2)) / 2))
    assert not made.sampled


# --- equal to independent implementations -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_means_equal_a_brute_force_loop(seed):
    vectors, labels = clustered([9, 4, 2, 1, 15], seed)
    made = consistency(vectors, labels)
    pairs = list(itertools.combinations(range(len(labels)), 2))
    same = [(i, j) for i, j in pairs if labels[i] == labels[j]]
    other = [(i, j) for i, j in pairs if labels[i] != labels[j]]
    assert spread(made.within) == pytest.approx(slow_spread(vectors, same), abs=EXACTLY)
    assert spread(made.between) == pytest.approx(slow_spread(vectors, other), abs=EXACTLY)
    for label, of_class in made.classes.items():
        inside = [(i, j) for i, j in same if labels[i] == label]
        across = [(i, j) for i, j in other if label in (labels[i], labels[j])]
        assert of_class.members == labels.count(label)
        assert spread(of_class.between) == pytest.approx(slow_spread(vectors, across), abs=EXACTLY)
        if inside:
            assert spread(of_class.within) == pytest.approx(slow_spread(vectors, inside), abs=EXACTLY)
        else:
            assert np.isnan(spread(of_class.within)).all()


@pytest.mark.parametrize("seed", range(4))
def test_silhouette_equals_scikit_learn(seed):
    vectors, labels = clustered([30, 12, 1, 2, 50], seed)
    made = consistency(vectors, labels)
    assert made.silhouette == pytest.approx(silhouette_score(vectors, labels, metric="cosine"), abs=EXACTLY)
    theirs = silhouette_samples(vectors, labels, metric="cosine")
    for label, of_class in made.classes.items():
        assert of_class.silhouette == pytest.approx(theirs[np.array(labels) == label].mean(), abs=EXACTLY)
    assert made.classes["class 2"].silhouette == 0  # one alone


def test_single_precision_is_scaled_again():
    vectors, labels = clustered([20, 30], width=64)
    exact, rounded = consistency(vectors, labels), consistency(vectors.astype(np.float32), labels)
    assert spread(rounded.within) == pytest.approx(spread(exact.within), abs=1e-6)
    assert rounded.silhouette == pytest.approx(exact.silhouette, abs=1e-6)
    np.testing.assert_allclose(spread(consistency(3 * vectors, labels).within), spread(exact.within), atol=EXACTLY)


# --- large --------------------------------------------------------------------------------------------------------


def test_blocks_change_nothing(monkeypatch):
    vectors, labels = clustered([30, 12, 41])
    made = consistency(vectors, labels)
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 40)
    again = consistency(vectors, labels)
    assert again.silhouette == pytest.approx(made.silhouette, abs=EXACTLY)
    assert spread(again.within) == pytest.approx(spread(made.within), abs=EXACTLY)
    assert again.classes.keys() == made.classes.keys()


def test_samples_are_near_the_whole_and_cosine_stays_exact(monkeypatch):
    vectors, labels = clustered([300, 120, 410, 5])
    exact = consistency(vectors, labels)
    monkeypatch.setattr(module, "SAMPLE_ROWS", 100)
    made = consistency(vectors, labels, seed=1)
    assert made.sampled
    assert not exact.sampled
    assert made.silhouette == exact.silhouette
    for one, other in [(made.within, exact.within), (made.between, exact.between)]:
        assert one.cosine == other.cosine
        assert one.euclidean != other.euclidean
        assert one.euclidean == pytest.approx(other.euclidean, rel=0.03)
    assert made.classes["class 3"].within == exact.classes["class 3"].within  # small enough to look at all of it
    assert consistency(vectors, labels, seed=1) == made
    assert consistency(vectors, labels, seed=2).within != made.within


def test_class_that_is_nearly_everything_has_something_outside(monkeypatch):
    vectors, labels = clustered([995, 5])
    exact = consistency(vectors, labels)
    monkeypatch.setattr(module, "SAMPLE_ROWS", 20)
    for seed in range(5):
        made = consistency(vectors, labels, seed=seed)
        for of_class, whole in zip(made.classes.values(), exact.classes.values(), strict=True):
            assert of_class.between.euclidean == pytest.approx(whole.between.euclidean, rel=0.15)


def test_no_table_of_pairs_is_made():
    vectors, labels = directions(10_000, width=16).astype(np.float32), [f"{i % 40}" for i in range(10_000)]
    tracemalloc.start()
    consistency(vectors, labels)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 200e6  # all pairs: 800 MB


# --- edges --------------------------------------------------------------------------------------------------------


def test_order_of_the_input_changes_nothing():
    vectors, labels = clustered([20, 7, 11])
    made, turned = consistency(vectors, labels), consistency(vectors[::-1], labels[::-1])
    assert turned.silhouette == pytest.approx(made.silhouette, abs=EXACTLY)
    assert spread(turned.between) == pytest.approx(spread(made.between), abs=EXACTLY)


@pytest.mark.parametrize("of", [np.float32, np.float64])
def test_pictures_that_are_the_same_are_at_no_distance(of):
    vectors = np.repeat(directions(1, width=64), 6, axis=0).astype(of)
    made = consistency(vectors, ["a", "a", "a", "b", "b", "b"])
    assert spread(made.within) == pytest.approx((0, 0), abs=1e-7)
    assert made.silhouette == 0  # neither closer to its own class nor to the other


def test_undefined_is_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_class = consistency(directions(5), ["a"] * 5)
        all_alone = consistency(directions(3), ["a", "b", "c"])
    assert np.isnan([one_class.silhouette, *spread(one_class.between)]).all()
    assert np.isfinite(spread(one_class.within)).all()
    assert np.isnan([all_alone.silhouette, *spread(all_alone.within)]).all()
    assert np.isfinite(spread(all_alone.between)).all()


@pytest.mark.parametrize(
    ("vectors", "labels", "said"),
    [
        (directions(3), ["a", "b"], "one label each"),
        (directions(3)[0], ["a"] * 8, "one label each"),
        (np.zeros((0, 4)), [], "one label each"),
        (np.zeros((2, 4)), ["a", "b"], "without a direction"),
        (np.full((2, 4), np.nan), ["a", "b"], "without a direction"),
    ],
)
def test_consistency_refuses_what_has_none(vectors, labels, said):
    with pytest.raises(ValueError, match=said):
        consistency(vectors, labels)
