"""The encoders there are. A new one is one file and one line here; docs/encoders.md shows how."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from threading import Lock
from typing import TypeVar

from django.utils.translation import gettext_noop as _

from search.encoders import weights
from search.encoders.base import PLUS, EncoderSpec, EncoderUnavailable, ImageEncoder

logger = logging.getLogger(__name__)

#: Files of this folder. Each has a tuple SPECS: the encoders that it knows.
MODULES = (
    "dinov2",
    "resnet50",
    "descriptor",
)

#: By name, without options.
SPECS: dict[str, EncoderSpec] = {
    spec.name: spec for module in MODULES for spec in import_module(f"{__package__}.{module}").SPECS
}

#: Seconds in which loading is not tried again: finding out that a hub is down takes 12 s, too long for each request.
_FAILURE_LASTS_S = 60

#: By name: who waits for one encoder, which may come from the hub, keeps nobody from another.
_loading: defaultdict[str, Lock] = defaultdict(Lock)
_loaded: dict[str, ImageEncoder] = {}
_failed: dict[str, tuple[EncoderUnavailable, float]] = {}

T = TypeVar("T")


def spec(name: str) -> EncoderSpec:
    """The spec of that name, which may have options: "dinov2-base+mean". LookupError says what there is.

    Where a branch stands for the revision, its commit is looked up, on the hub the first time. If that cannot be
    had, the branch's name is left: `load` then says why, and no vectors are taken for those of a commit.
    """
    family, *options = name.split(PLUS)
    if family not in SPECS:
        unknown = _("No encoder '%(name)s'. There are: %(names)s.")
        raise LookupError(unknown % {"name": family, "names": ", ".join(SPECS)})
    return _at_commit(_varied(SPECS[family], options))


def load(name: str) -> ImageEncoder:
    """The encoder of that name, loaded once a process. Raises EncoderUnavailable, LookupError."""
    if made := _loaded.get(name):
        return made
    chosen = spec(name)
    with _loading[name]:  # two threads that ask at once must not both load a gigabyte
        if name not in _loaded:
            _loaded[name] = _unless_failed(name, lambda: chosen.load(chosen))
        return _loaded[name]


def forget() -> None:
    """Load anew what is asked for next."""
    _loaded.clear()
    _failed.clear()


def _varied(found: EncoderSpec, options: list[str]) -> EncoderSpec:
    """With the options. One spelling is right, so that a setting, a row and a log line name the same encoder alike."""
    if not options:
        return found
    if found.vary is None:
        raise LookupError(f"{found.name} has no options.")
    varied = found.vary(found, options)
    if varied.name != (written := PLUS.join([found.name, *options])):
        raise LookupError(f"{written} is spelt {varied.name}.")
    return varied


def _at_commit(found: EncoderSpec) -> EncoderSpec:
    """With a commit for its revision. The files in MODEL_DIR do not say theirs, and are taken at their word."""
    from django.conf import settings

    if not found.repository or weights.is_commit(found.revision) or settings.MODEL_DIR:
        return found
    try:
        commit = _unless_failed(found.name, lambda: weights.commit(found.repository, found.revision))
    except EncoderUnavailable as error:
        logger.warning("The commit of %s at %r is unknown. %s", found.repository, found.revision, error)
        return found
    return replace(found, revision=commit)


def _unless_failed(name: str, work: Callable[[], T]) -> T:
    """What the work returns; if it failed a short while ago, that failure again."""
    error, at = _failed.get(name, (None, 0.0))
    if error and time.monotonic() - at < _FAILURE_LASTS_S:
        raise error
    try:
        return work()
    except EncoderUnavailable as error:
        _failed[name] = error, time.monotonic()
        raise
