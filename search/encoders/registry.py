"""The encoders there are. A new one is one file and one line here."""

from functools import lru_cache
from threading import Lock

from search.encoders import descriptor, dinov2
from search.encoders.base import EncoderSpec, ImageEncoder

SPECS: dict[str, EncoderSpec] = {spec.name: spec for spec in (*dinov2.SPECS, descriptor.SPEC)}

_loading = Lock()


def spec(name: str) -> EncoderSpec:
    """The spec of that name; LookupError names the encoders there are."""
    try:
        return SPECS[name]
    except KeyError:
        raise LookupError(f"No encoder {name!r}. There are: {', '.join(SPECS)}.") from None


def load(name: str) -> ImageEncoder:
    """The encoder of that name, loaded once a process. Raises EncoderUnavailable, LookupError."""
    with _loading:  # two threads that ask at once must not both load a gigabyte
        return _load(name)


@lru_cache
def _load(name: str) -> ImageEncoder:
    chosen = spec(name)
    return chosen.load(chosen)
