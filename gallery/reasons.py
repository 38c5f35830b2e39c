"""Reasons that are kept in rows: in English, whoever was at work, and told in the language of whoever reads them.

What is kept is a sentence with its values in it. The message that it was made from is found again among those of the
reader's catalogue, which has all that sources mark: a row needs no column more, and old rows are told as well.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from django.conf import settings
from django.utils.translation import get_language, gettext

_VALUE = re.compile(r"%\((\w+)\)s")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.?!]) (?=\S)")
#: Of a message besides its values: one that has less would be found in anything.
_LEAST_LETTERS = 8


def retold(reason: str) -> str:
    """In the language of whoever is being answered; as it is, where none of our messages is found in it."""
    language = get_language()
    if not reason or language in {None, settings.LANGUAGE_CODE}:
        return reason
    return _retold(reason, str(language)) or reason


@lru_cache(maxsize=1000)
def _retold(reason: str, language: str) -> str:
    """Empty where it is none of ours; the same below."""
    return (
        _as_marked(reason)
        or _by_sentences(reason, language)
        or _with_values(reason, language)
        or _explained(reason, language)
    )


def _as_marked(reason: str) -> str:
    translated = gettext(reason)
    return "" if translated == reason else translated


def _by_sentences(reason: str, language: str) -> str:
    """What happened, and what to do: two messages that are kept as one text."""
    for gap in _BETWEEN_SENTENCES.finditer(reason):
        first, others = reason[: gap.start()], reason[gap.end() :]
        told = _as_marked(first) or _with_values(first, language)
        if told and (rest := _retold(others, language)):
            return f"{told}{rest}" if told.endswith("。") else f"{told} {rest}"
    return ""


def _with_values(reason: str, language: str) -> str:
    for pattern, message in _messages(language):
        if found := pattern.fullmatch(reason):
            return gettext(message) % {name: _value(value) for name, value in found.groupdict().items()}
    return ""


def _value(value: str) -> str:
    """A reason in a reason is a sentence, and what we enumerate has commas; a name may be a word of ours, and stays."""
    if value.endswith("."):
        return retold(value)
    return gettext(value) if ", " in value else value


def _explained(reason: str, language: str) -> str:
    """A reason that is known, and what was said of it by a file, a server or a library."""
    known, colon, explanation = reason.partition(": ")
    told = colon and (_as_marked(known) or _with_values(known, language))
    both = {"reason": told, "explanation": retold(explanation)}
    return gettext("%(reason)s: %(explanation)s") % both if told else ""


@cache
def _messages(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Those with values in them, and what looks like them; the most telling first."""
    from django.utils.translation.trans_real import translation  # which processes that decode have no use for

    # as Django's own view of catalogues reads it
    kept = translation(language)._catalog  # type: ignore[attr-defined]  # noqa: SLF001
    known = {message for message in kept.keys() if _has_values(message)}  # noqa: SIM118 (it is no mapping)
    told = sorted(known, key=lambda message: (-len(_VALUE.sub("", message)), message))
    return [(re.compile("".join(_pattern(message)), re.DOTALL), message) for message in told]


def _has_values(message: object) -> bool:
    is_plain = isinstance(message, str) and "\x04" not in message  # no plural, no context
    return is_plain and len(_VALUE.sub("", str(message))) in range(_LEAST_LETTERS, len(str(message)))


def _pattern(message: str) -> Iterator[str]:
    named: set[str] = set()
    for place, part in enumerate(_VALUE.split(message)):
        if place % 2 == 0:
            yield re.escape(part.replace("%%", "%"))
        else:
            yield f"(?P={part})" if part in named else f"(?P<{part}>.+?)"
            named.add(part)
