"""The texts that people see, as the sources mark them and models have them, and their translations.

    .venv/bin/python -m tests.messages

brings the catalogues in locale/ up to date: what is new is added, to be translated, what is gone goes, and all are
compiled.
"""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import django
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation import override
from django.utils.translation.template import templatize

from assetsearch import names

ROOT = Path(__file__).parent.parent
CATALOGUES = ROOT / "locale/zh_Hans/LC_MESSAGES"
_KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None, "gettext_noop": None, "ngettext_lazy": (1, 2), "pgettext_lazy": ((1, "c"), 2),
}  # fmt: skip
_PACKAGES = ("assetsearch", "gallery", "search")


def extracted(domain: str) -> Catalog:
    """All that is marked: in Python and in templates for "django", in scripts for "djangojs"; and names of models."""
    found = Catalog()
    for method, source in _sources() if domain == "django" else _scripts():
        for _line, message, comments, context in extract(method, io.BytesIO(source), _KEYWORDS, ["Translators:"]):
            found.add(message, auto_comments=comments, context=context)
    if domain == "django":
        with override("en"):
            for name in names.texts():
                found.add(name)
    return found


def _sources() -> Iterator[tuple[str, bytes]]:
    for package in _PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield "python", path.read_bytes()
    for path in sorted((ROOT / "templates").rglob("*.html")):
        calls = templatize(path.read_text(), str(path)).split("\n")
        yield "python", f"({' '.join(calls)})".encode()  # one line, or its indentation would be read as Python's


def _scripts() -> Iterator[tuple[str, bytes]]:
    for path in sorted((ROOT / "frontend/src/js").rglob("*.js")):
        yield "javascript", path.read_bytes()


def kept(domain: str) -> Catalog:
    with path_of(domain).open("rb") as file:
        return read_po(file, locale="zh_Hans", domain=domain)


def path_of(domain: str, suffix: str = ".po") -> Path:
    return (CATALOGUES / domain).with_suffix(suffix)


def compiled(catalogue: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def untranslated(catalogue: Catalog) -> list[str]:
    return [str(message.id) for message in catalogue if message.id and (message.fuzzy or not all(strings(message)))]


def strings(message: Message) -> Iterable[str]:
    """The translations, one for each form of the plural."""
    return message.string if isinstance(message.string, tuple) else [message.string or ""]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    for domain in ("django", "djangojs"):
        catalogue = kept(domain)
        catalogue.update(extracted(domain), no_fuzzy_matching=True, update_creation_date=False)
        catalogue.obsolete.clear()
        with path_of(domain).open("wb") as file:
            write_po(file, catalogue, width=0, sort_output=True, ignore_obsolete=True)
        path_of(domain, ".mo").write_bytes(compiled(catalogue))
        sys.stdout.write(f"{domain}: {len(catalogue)} texts, {len(untranslated(catalogue))} to translate\n")


if __name__ == "__main__":
    main()
