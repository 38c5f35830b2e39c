"""Typed readers of environment variables. A value that does not fit fails at start, by the variable's name.

Every reader also records the variable, so that the README's table can be held against what is read.
"""

import os
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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


def integer(name: str, default: int, meaning: str, *, minimum: int = 0, maximum: int | None = None) -> int:
    return _read(name, default, str(default), meaning, lambda raw: _within(minimum, maximum, int(raw)))


def choice(name: str, default: str, choices: list[str], meaning: str) -> str:
    shown = f"{', '.join(choices[:-1])} or {choices[-1]}"
    return _read(name, default, default, meaning.format(choices=shown), partial(_as_choice, choices))


def rate(name: str, default: str, meaning: str) -> str:
    """So many a second, minute, hour or day, such as 60/min."""
    return _read(name, default, default, meaning, _as_rate)


def time_zone(name: str, default: str, meaning: str) -> str:
    return _read(name, default, default, meaning, _as_time_zone)


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


def _within(minimum: int, maximum: int | None, value: int) -> int:
    if value < minimum:
        raise ValueError(f"it must be at least {minimum}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"it must be at most {maximum}.")
    return value


def _as_choice(choices: list[str], raw: str) -> str:
    for known in choices:
        if raw.lower() == known.lower():
            return known
    raise ValueError(f"say one of {', '.join(choices)}.")


def _as_rate(raw: str) -> str:
    if not re.fullmatch(r"\d+/(s|sec|second|m|min|minute|h|hour|d|day)", raw):
        raise ValueError("say a number and a time, such as 60/min.")
    return raw


def _as_time_zone(raw: str) -> str:
    if raw not in zoneinfo.available_timezones():
        raise ValueError("there is no such time zone.")
    return raw
