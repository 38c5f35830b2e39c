import numpy as np
import pytest

from search import heads
from search.vectors import unit


def labelled(seed=0, classes=6, each=20, dimensions=32):
    """Unit vectors that differ by label, and more by four things that have nothing to do with it, as light and pose."""
    random = np.random.default_rng(seed)
    labels = np.repeat([f"class {number}" for number in range(classes)], each)
    by_label = np.repeat(random.standard_normal((classes, dimensions)), each, axis=0)
    by_chance = random.standard_normal((len(labels), 4)) @ random.standard_normal((4, dimensions))
    made = by_label + 2 * by_chance + 0.3 * random.standard_normal((len(labels), dimensions))
    return unit(made.astype(np.float32)), labels


def precision_at_one(made, labels):
    similarity = made @ made.T
    np.fill_diagonal(similarity, -2)
    return (labels[similarity.argmax(axis=1)] == labels).mean()


@pytest.mark.parametrize("loss", heads.LOSSES)
def test_head_brings_together_what_bears_one_label_among_pictures_it_never_saw(loss):
    made, labels = labelled()
    parts = heads.split(labels, seed=1)
    matrix = heads.fit(made[parts.fitting], labels[parts.fitting], loss=loss, dimensions=32)
    held_out, of_those = made[parts.held_out], labels[parts.held_out]
    before, after = precision_at_one(held_out, of_those), precision_at_one(heads.apply(matrix, held_out), of_those)
    assert after > before + 0.1


def test_labels_that_say_nothing_gain_nothing_on_what_was_held_out():
    made, labels = labelled()
    shuffled = np.random.default_rng(3).permutation(labels)
    parts = heads.split(shuffled, seed=1)
    matrix = heads.fit(made[parts.fitting], shuffled[parts.fitting], dimensions=16)
    assert precision_at_one(heads.apply(matrix, made[parts.held_out]), shuffled[parts.held_out]) < 0.45


def test_half_of_each_label_is_held_out_and_the_seed_decides_which():
    labels = np.array(["a"] * 7 + ["b"] * 4 + ["c"])
    parts = heads.split(labels, seed=5)
    counts = {label: int(parts.fitting[labels == label].sum()) for label in "abc"}
    assert counts == {"a": 3, "b": 2, "c": 0}
    assert (parts.held_out == ~parts.fitting).all()
    assert (heads.split(labels, seed=5).fitting == parts.fitting).all()
    assert any((heads.split(labels, seed=seed).fitting != parts.fitting).any() for seed in range(6, 10))


def test_same_seed_gives_the_same_head():
    made, labels = labelled(each=10)
    one, other, another = (heads.fit(made, labels, dimensions=8, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one - another).max() > 1e-3


def test_projected_vectors_are_of_unit_length_and_of_the_size_asked_for():
    made, labels = labelled(each=10)
    matrix = heads.fit(made, labels, dimensions=8)
    projected = heads.apply(matrix, made)
    assert (matrix.shape, projected.shape, projected.dtype) == ((32, 8), (60, 8), np.float32)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("classes", [0, 1])
def test_one_label_is_nothing_to_tell_apart(classes):
    made, labels = (of[: 20 * classes] for of in labelled(classes=1))
    with pytest.raises(ValueError, match="Two labels"):
        heads.fit(made, labels)
