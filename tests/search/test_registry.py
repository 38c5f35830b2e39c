from concurrent.futures import ThreadPoolExecutor

import pytest

from search import encoders
from search.encoders import EncoderSpec, EncoderUnavailable, registry


@pytest.fixture
def loads(monkeypatch):
    """Loads of the encoder "counted", each as the name of what it was."""
    made = []

    def load(spec):
        made.append(spec.name)
        if len(made) == 1:
            raise EncoderUnavailable("The hub does not answer.", "Wait.")
        return object()

    monkeypatch.setitem(encoders.SPECS, "counted", EncoderSpec("counted", "1", 1, 1, load))
    yield made
    registry.forget()


def test_failure_is_remembered_for_a_while(loads, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(registry.time, "monotonic", lambda: now)
    for _ in range(3):
        with pytest.raises(EncoderUnavailable):
            encoders.load("counted")
    assert len(loads) == 1
    now += 61
    assert encoders.load("counted")
    assert len(loads) == 2


def test_encoder_is_loaded_once_a_process(loads):
    loads.append("an earlier failure")
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: encoders.load("counted"), range(8)))
    assert len(set(map(id, loaded))) == 1
    assert len(loads) == 2


def test_unknown_encoder_is_answered_with_those_there_are():
    with pytest.raises(LookupError, match="dinov2-base, dinov2-large"):
        encoders.load("nothing")
