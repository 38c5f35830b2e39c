"""Imports a list of URLs. Each is fetched by the guarded client."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from gallery.errors import Refused
from gallery.ingest.bulk import Intake, Outcome
from gallery.ingest.fetch import MAX_URL, fetch, parse
from gallery.uploads import Details

#: Of a list that is sent in a request. The command takes any number.
MOST_URLS = 1000


def listed(lines: Iterable[str]) -> list[str]:
    """One URL a line, each once, in order. Empty lines and those that begin with # are left out."""
    stripped = (line.strip() for line in lines)
    return list(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))


def faults(lines: Iterable[str]) -> Iterator[str]:
    """What is wrong with the lines that hold no URL, by their numbers."""
    for number, line in enumerate(lines, 1):
        for url in listed([line]):
            try:
                parse(url)
            except Refused as refused:
                yield _("Line %(number)s: %(fault)s") % {"number": number, "fault": refused.detail}
            else:
                if len(url) > MAX_URL:
                    too_long = _("A URL has at most %(most)s characters.") % {"most": f"{MAX_URL:,}"}
                    yield _("Line %(number)s: %(fault)s") % {"number": number, "fault": too_long}


def import_urls(urls: Iterable[str], owner: User, details: Details) -> Iterator[Outcome[str]]:
    return Intake(fetch, owner, lambda url: replace(details, source_url=url)).store_all(urls)
