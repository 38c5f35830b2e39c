"""Kinds of vector index: one protocol, one registry, one file each family."""

from search.kinds import registry
from search.kinds.base import Effort, Kind, Parameters, Plan
from search.kinds.coarse import Coarse, Projection
from search.kinds.registry import CHOICES, DEFAULT, EXACT, NAMES, get

__all__ = [
    "CHOICES", "DEFAULT", "EXACT", "NAMES", "Coarse", "Effort", "Kind", "Parameters", "Plan",
    "Projection", "get", "registry",
]  # fmt: skip
