from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

from search import encoders
from search.encoders import EncoderSpec, EncoderUnavailable, registry
from search.models import Encoder


@pytest.fixture
def loads(monkeypatch):
    """Loads of the encoder "counted", each as the name of what it was."""
    made = []

    def load(spec):
        made.append(spec.name)
        if len(made) == 1:
            raise EncoderUnavailable("The hub does not answer.", "Wait.")
        return object()

    def vary(spec, options):
        return replace(spec, name="+".join([spec.name, *sorted(set(options))]))

    monkeypatch.setitem(encoders.SPECS, "counted", EncoderSpec("counted", "1", 1, 1, load, vary=vary))
    yield made
    registry.forget()


@pytest.fixture(autouse=True)
def in_model_dir(settings, tmp_path):
    """No hub is asked for a commit."""
    settings.MODEL_DIR = tmp_path


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


def test_encoder_that_is_being_loaded_keeps_nobody_from_another(loads, monkeypatch):
    loads.append("an earlier failure")
    begun, may_end = Event(), Event()

    def load_slowly(spec):
        begun.set()
        assert may_end.wait(60)
        return object()

    monkeypatch.setitem(encoders.SPECS, "slow", EncoderSpec("slow", "1", 1, 1, load_slowly))
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(encoders.load, "slow")
        assert begun.wait(60)
        assert pool.submit(encoders.load, "counted").result(60)
        may_end.set()
        assert slow.result(60)


def test_encoder_is_loaded_once_a_process(loads):
    loads.append("an earlier failure")
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: encoders.load("counted"), range(8)))
    assert len(set(map(id, loaded))) == 1
    assert len(loads) == 2


def test_variants_are_loaded_each_by_itself(loads):
    loads.append("an earlier failure")
    assert encoders.load("counted+a") is encoders.load("counted+a")
    assert encoders.load("counted+a") is not encoders.load("counted")
    assert loads[1:] == ["counted+a", "counted"]


def test_unknown_encoder_is_answered_with_those_there_are():
    with pytest.raises(LookupError, match="dinov2-base, dinov2-large"):
        encoders.load("nothing")


# Names


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        *[("dinov2-small", 384), ("dinov2-base", 768), ("dinov2-large", 1024), ("dinov2-giant", 1536)],
        *[("dinov2-small-registers", 384), ("dinov2-base-registers", 768)],
        *[("dinov2-large-registers", 1024), ("dinov2-giant-registers", 1536)],
        *[("resnet50", 2048), ("resnet50+layer4", 2048), ("resnet50+plain", 2048), ("resnet50+layer4+plain", 2048)],
        *[("dinov2-base+mean", 768), ("dinov2-base+cls+mean", 1536), ("dinov2-giant-registers+cls+mean+518", 3072)],
        *[("dinov2-base+238", 768), ("dinov2-base+392", 768), ("dinov2-small+mean+518", 384), ("descriptor", 752)],
    ],
)
def test_name_says_what_a_vector_is(name, dimensions):
    spec = encoders.spec(name)
    assert (spec.name, spec.dimensions) == (name, dimensions)
    assert spec.dimensions <= 4000  # what an index of halfvec takes
    assert len(name) <= Encoder._meta.get_field("name").max_length
    assert encoders.SPECS[spec.family].revision == spec.revision


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dinov2-base+max", r"dinov2-base has no option 'max'\. There are: cls, mean, .* 224 to 518 in steps of 14"),
        ("dinov2-base+", "has no option ''"),
        ("dinov2-base+210", "has no option '210'"),
        ("dinov2-base+225", "has no option '225'"),
        ("dinov2-base+532", "has no option '532'"),
        ("dinov2-base+ 392", "has no option ' 392'"),
        ("dinov2-base+layer4", "has no option 'layer4'"),
        ("dinov2-base+392+406", "one input side, not 392 and 406"),
        ("resnet50+mean", r"resnet50 has no option 'mean'\. There are: avgpool, layer4, cut, plain\."),
        ("resnet50+392", "has no option '392'"),
        ("resnet50+avgpool+layer4", "one layer, not avgpool and layer4"),
        ("descriptor+mean", r"descriptor has no options\."),
        ("nothing+mean", r"No encoder 'nothing'\. There are: dinov2-small,"),
        ("", "No encoder ''"),
    ],
)
def test_unknown_variant_is_refused_with_what_there_is(name, said):
    with pytest.raises(LookupError, match=said):
        encoders.spec(name)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("dinov2-base+cls", "dinov2-base"),
        ("dinov2-base+224", "dinov2-base"),
        ("dinov2-base+mean+cls", "dinov2-base+cls+mean"),
        ("dinov2-base+392+mean", "dinov2-base+mean+392"),
        ("dinov2-base+mean+mean", "dinov2-base+mean"),
        ("resnet50+avgpool", "resnet50"),
        ("resnet50+plain+layer4", "resnet50+layer4+plain"),
    ],
)
def test_one_spelling_is_right(name, right):
    with pytest.raises(LookupError) as raised:
        encoders.spec(name)
    assert str(raised.value) == f"{name} is spelt {right}."
    assert encoders.spec(right).name == right


@pytest.mark.django_db
def test_variants_are_rows_of_their_own():
    names = ["dinov2-base", "dinov2-base+mean", "dinov2-base+cls+mean", "resnet50", "resnet50+layer4"]
    assert len({Encoder.objects.for_spec(encoders.spec(name)).pk for name in names}) == len(names)
