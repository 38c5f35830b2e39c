"""Encoders: what turns a picture into a vector. One file each, one registry, one protocol.

Importing this package loads neither torch nor scikit-image; `load(name)` does, when called.
"""

from search.encoders.base import EncoderSpec, EncoderUnavailable, ImageEncoder
from search.encoders.registry import SPECS, load, spec

__all__ = ["SPECS", "EncoderSpec", "EncoderUnavailable", "ImageEncoder", "load", "spec"]
