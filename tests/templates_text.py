"""The words of templates that no translation is looked up for."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from django.template.base import Lexer, TokenType

#: Attributes that people are shown or told.
_TOLD = {"alt", "aria-description", "aria-label", "aria-roledescription", "label", "placeholder", "title"}
#: What these hold is written as programs and keyboards write it.
_VERBATIM = {"code", "kbd", "script", "style"}
_WORD = re.compile(r"[^\W\d_]{2,}")
#: Names, units, a class of styles, and the two languages' own words for language.
_SAME_EVERYWHERE = {
    "AssetSearch",
    "CSV",
    "JSON",
    "PDF",
    "SHA",
    "px",
    "https",
    "example",
    "org",
    "jpg",
    "theme",
    "Language",
    "语言",
}
#: Stands for what a tag of the template gives.
_GIVEN = "\N{OBJECT REPLACEMENT CHARACTER}"
_TRANSLATED = ("blocktranslate", "blocktrans")
_HIDDEN = ("comment", "verbatim")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._verbatim += tag in _VERBATIM
        given = dict(attrs)
        told = _TOLD | ({"value"} if tag == "input" and given.get("type") in {"submit", "button"} else set())
        for name, value in attrs:
            if name in told and value:
                self._note(value)

    def handle_endtag(self, tag: str) -> None:
        self._verbatim -= tag in _VERBATIM

    def handle_data(self, data: str) -> None:
        if not self._verbatim:
            self._note(data)

    def _note(self, text: str) -> None:
        if set(_WORD.findall(text)) - _SAME_EVERYWHERE:
            self.found.append((self.getpos()[0], " ".join(text.split())))


def unmarked(path: Path) -> list[tuple[int, str]]:
    """Lines, and words in them that are the same in every language."""
    words = _Words()
    words.feed("".join(_without_tags(path.read_text())))
    words.close()
    return words.found


def _without_tags(source: str) -> Iterator[str]:
    """The template's own text, each line where it was."""
    hidden = ""
    for token in Lexer(source).tokenize():
        lines = "\n" * token.contents.count("\n")
        name = token.contents.split(maxsplit=1)[0] if token.token_type == TokenType.BLOCK else ""
        if hidden:
            hidden = "" if name == f"end{hidden}" else hidden
            yield lines
        elif name in _TRANSLATED + _HIDDEN:
            hidden = name
            yield _GIVEN + lines
        elif token.token_type == TokenType.TEXT:
            yield token.contents
        else:
            yield (_GIVEN if token.token_type == TokenType.VAR else "") + lines
