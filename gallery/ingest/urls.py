"""Imports a list of URLs. Each is fetched by the guarded client."""

from collections.abc import Iterable, Iterator

from django.contrib.auth.models import User

from gallery.ingest.bulk import Import, Outcome
from gallery.ingest.fetch import fetch
from gallery.uploads import Details


def listed(lines: Iterable[str]) -> list[str]:
    """One URL a line, each once, in order. Empty lines and those that begin with # are left out."""
    stripped = (line.strip() for line in lines)
    return list(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))


def import_urls(urls: Iterable[str], owner: User, details: Details) -> Iterator[Outcome[str]]:
    return Import(fetch, owner, details).store_all(urls)
