"""Typed readers of environment variables. A value that does not fit fails at start, by the variable's name.

Every reader also records the variable, so that the README's table can be held against what is read.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


@dataclass(frozen=True)
class Variable:
    name: str
    default: str
    meaning: str


variables: dict[str, Variable] = {}

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def text(name: str, default: str, meaning: str) -> str:
    return _read(name, default, default, meaning, str)


def flag(name: str, *, default: bool, meaning: str) -> bool:
    return _read(name, default, str(default).lower(), meaning, _as_flag)


def integer(name: str, default: int, meaning: str, *, minimum: int = 0) -> int:
    return _read(name, default, str(default), meaning, lambda raw: _at_least(minimum, int(raw)))


def fraction(name: str, default: float, meaning: str) -> float:
    return _read(name, default, str(default), meaning, _as_fraction)


def path(name: str, default: Path | None, meaning: str, *, shown: str) -> Path | None:
    """`shown` stands for the default in the documentation, where the machine's own path would mislead."""
    return _read(name, default, shown, meaning, lambda raw: Path(raw).expanduser().resolve())


def words(name: str, default: list[str], meaning: str) -> list[str]:
    return _read(name, default, ",".join(default), meaning, _as_words)


def _read(name: str, default: T, shown: str, meaning: str, parse: Callable[[str], T]) -> T:
    variables[name] = Variable(name, shown, meaning)
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={raw!r} does not fit: {error}") from None


def _as_flag(raw: str) -> bool:
    if raw.lower() in _TRUE | _FALSE:
        return raw.lower() in _TRUE
    raise ValueError("say true or false.")


def _as_words(raw: str) -> list[str]:
    return [word for word in (part.strip() for part in raw.split(",")) if word]


def _as_fraction(raw: str) -> float:
    value = float(raw)
    if not 0 < value <= 1:
        raise ValueError("it must be above 0 and at most 1.")
    return value


def _at_least(minimum: int, value: int) -> int:
    if value < minimum:
        raise ValueError(f"it must be at least {minimum}.")
    return value
