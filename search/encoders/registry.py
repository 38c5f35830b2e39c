"""The encoders there are. A new one is one file and one line here."""

import time
from threading import Lock

from search.encoders import descriptor, dinov2
from search.encoders.base import EncoderSpec, EncoderUnavailable, ImageEncoder

SPECS: dict[str, EncoderSpec] = {spec.name: spec for spec in (*dinov2.SPECS, descriptor.SPEC)}

#: Seconds in which loading is not tried again: finding out that a hub is down takes 12 s, too long for each request.
_FAILURE_LASTS_S = 60

_loading = Lock()
_loaded: dict[str, ImageEncoder] = {}
_failed: dict[str, tuple[EncoderUnavailable, float]] = {}


def spec(name: str) -> EncoderSpec:
    """The spec of that name; LookupError names the encoders there are."""
    try:
        return SPECS[name]
    except KeyError:
        raise LookupError(f"No encoder {name!r}. There are: {', '.join(SPECS)}.") from None


def load(name: str) -> ImageEncoder:
    """The encoder of that name, loaded once a process. Raises EncoderUnavailable, LookupError."""
    chosen = spec(name)
    with _loading:  # two threads that ask at once must not both load a gigabyte
        if name not in _loaded:
            _loaded[name] = _load(chosen)
        return _loaded[name]


def forget() -> None:
    """Load anew what is asked for next."""
    _loaded.clear()
    _failed.clear()


def _load(chosen: EncoderSpec) -> ImageEncoder:
    error, at = _failed.get(chosen.name, (None, 0.0))
    if error and time.monotonic() - at < _FAILURE_LASTS_S:
        raise error
    try:
        return chosen.load(chosen)
    except EncoderUnavailable as error:
        _failed[chosen.name] = error, time.monotonic()
        raise
