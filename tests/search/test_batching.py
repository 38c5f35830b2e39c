import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from search import batching
from search.batching import Batcher
from tests.conftest import MeanColour

#: Seconds. Nothing here takes as long, unless it waits for what never comes.
LONG_S = 30


@pytest.fixture
def batcher():
    return Batcher()


@pytest.fixture
def encoder():
    made = MeanColour()
    made.batch_size = 16
    return made


@pytest.fixture
def patient(monkeypatch):
    """Whoever knows of company waits for it, however slow this machine is."""
    monkeypatch.setattr(batching, "PATIENCE_S", LONG_S)


def colour(seed):
    return np.array([10 * seed + 40, 200 - 10 * seed, 90], np.uint8)


def by_hand(rgb):
    long = np.array([*rgb, 64], float)
    return long / np.linalg.norm(long)


def at_once(batcher, encoders, colours):
    """A thread for each colour, all decoding until the last is there; their futures, all done."""
    barrier = threading.Barrier(len(colours))

    def encode(encoder, rgb):
        def prepare():
            barrier.wait(LONG_S)
            return [rgb]

        return batcher.encode(encoder, prepare)

    with ThreadPoolExecutor(len(colours)) as threads:
        return list(map(threads.submit, [encode] * len(colours), encoders, colours))


def test_ten_at_once_are_one_batch_and_each_gets_its_own(batcher, encoder, patient):
    colours = [colour(seed) for seed in range(10)]
    futures = at_once(batcher, [encoder] * 10, colours)
    assert encoder.batches == [10]
    for future, rgb in zip(futures, colours, strict=True):
        [vector] = future.result()
        np.testing.assert_allclose(vector, by_hand(rgb), atol=1e-6)


def test_batches_are_no_larger_than_the_encoder_takes_them(batcher, encoder, patient):
    encoder.batch_size = 4
    futures = at_once(batcher, [encoder] * 10, [colour(seed) for seed in range(10)])
    assert encoder.batches == [4, 4, 2]
    np.testing.assert_allclose(
        [future.result()[0] for future in futures], [by_hand(colour(i)) for i in range(10)], 1e-5
    )


def test_many_pictures_of_one_caller_come_back_in_order(batcher, encoder):
    encoder.batch_size = 4
    made = batcher.encode(encoder, lambda: [colour(seed) for seed in range(10)])
    assert encoder.batches == [4, 4, 2]
    np.testing.assert_allclose(made, [by_hand(colour(seed)) for seed in range(10)], 1e-5)


def test_what_comes_while_one_is_encoded_makes_up_the_next_batch(batcher, encoder, monkeypatch):
    monkeypatch.setattr(batching, "PATIENCE_S", 0)
    encoding = threading.Event()
    really = encoder.encode

    def slow(prepared):
        if not encoding.is_set():
            encoding.set()
            with batcher._changed:
                assert batcher._changed.wait_for(lambda: len(batcher._waiting) == 9, LONG_S)
        return really(prepared)

    encoder.encode = slow
    with ThreadPoolExecutor(10) as threads:
        first = threads.submit(batcher.encode, encoder, lambda: [colour(0)])
        assert encoding.wait(LONG_S)
        others = [threads.submit(batcher.encode, encoder, lambda i=i: [colour(i)]) for i in range(1, 10)]
    assert encoder.batches == [1, 9]
    for seed, future in enumerate([first, *others]):
        np.testing.assert_allclose(future.result()[0], by_hand(colour(seed)), atol=1e-6)


def test_picture_alone_waits_for_nobody(batcher, encoder, patient):
    started = time.monotonic()
    batcher.encode(encoder, lambda: [colour(1)])
    assert time.monotonic() - started < LONG_S / 2
    assert encoder.batches == [1]


def test_slow_company_is_not_waited_for_long(batcher, encoder):
    decoding, answered = threading.Event(), threading.Event()

    def prepare():
        decoding.set()
        assert answered.wait(LONG_S)
        return [colour(2)]

    with ThreadPoolExecutor(1) as threads:
        company = threads.submit(batcher.encode, encoder, prepare)
        assert decoding.wait(LONG_S)
        batcher.encode(encoder, lambda: [colour(1)])  # would never return if it waited for the other
        answered.set()
        np.testing.assert_allclose(company.result()[0], by_hand(colour(2)), atol=1e-6)
    assert encoder.batches == [1, 1]


def test_picture_that_cannot_be_encoded_fails_its_own_caller_alone(batcher, encoder, patient):
    poison = np.full(3, MeanColour.poison, np.uint8)
    good, bad, fine = at_once(batcher, [encoder] * 3, [colour(1), poison, colour(2)])
    assert encoder.batches == [3, 1, 1, 1]
    assert str(bad.exception()) == "poison"
    np.testing.assert_allclose(good.result()[0], by_hand(colour(1)), atol=1e-6)
    np.testing.assert_allclose(fine.result()[0], by_hand(colour(2)), atol=1e-6)


def test_vector_without_a_direction_fails_its_caller(batcher, encoder):
    encoder.encode = lambda prepared: np.zeros((len(prepared), 4), np.float32)
    with pytest.raises(ValueError, match="direction"):
        batcher.encode(encoder, lambda: [colour(1)])


def test_picture_that_cannot_be_decoded_is_not_waited_for(batcher, encoder, patient):
    def fail():
        raise LookupError("no such picture")

    with pytest.raises(LookupError):
        batcher.encode(encoder, fail)
    started = time.monotonic()
    batcher.encode(encoder, lambda: [colour(1)])
    assert time.monotonic() - started < LONG_S / 2


def test_interrupted_thread_leaves_the_others_their_vectors(batcher, encoder, patient):
    really = encoder.encode

    def interrupted(prepared):
        encoder.encode = really
        raise KeyboardInterrupt

    encoder.encode = interrupted
    futures = at_once(batcher, [encoder] * 3, [colour(seed) for seed in range(3)])
    [seed] = [seed for seed, future in enumerate(futures) if isinstance(future.exception(), KeyboardInterrupt)]
    for other in {0, 1, 2} - {seed}:
        np.testing.assert_allclose(futures[other].result()[0], by_hand(colour(other)), atol=1e-6)
    assert sum(encoder.batches) == 2


def test_encoders_do_not_mix(batcher, encoder, patient):
    other = MeanColour()
    at_once(batcher, [encoder, other, encoder], [colour(seed) for seed in range(3)])
    assert (encoder.batches, other.batches) == ([2], [1])
