"""Which URLs belong to a site, and which of them are the same."""

import re
from dataclasses import dataclass

from w3lib.url import canonicalize_url, url_query_cleaner

from gallery.errors import Refused
from gallery.ingest.fetch import parse

#: Parameters that tell who asks, or where from, and not what for.
_WHO_ASKS = [
    *("PHPSESSID", "phpsessid", "JSESSIONID", "jsessionid", "ASPSESSIONID", "SESSIONID", "sessionid", "session_id"),
    *("SID", "sid", "CFID", "CFTOKEN", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
    *("fbclid", "gclid"),
]
_PATH_SESSION = re.compile(r";jsessionid=[^/?#]*", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
#: As browsers have it; longer ones are made by mistake.
_LONGEST_URL = 2083


@dataclass(frozen=True)
class Site:
    """A host with a port, exactly. The usual ports of http and https are one: sites send from the one to the other."""

    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> "Site":
        """By the parser that the fetch goes by, so that the two take no URL for another. Raises Refused."""
        parsed = parse(url)
        return cls(parsed.host.lower(), parsed.port)  # httpx has None for a scheme's usual port

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


def site_of(url: str) -> Site | None:
    """None where it is no URL that could be fetched."""
    if len(url) > _LONGEST_URL or not url.isprintable():
        return None
    try:
        return Site.of(url)
    except Refused:
        return None


def as_fetched(url: str) -> str:
    """As the parser that the fetch goes by writes it, which other parsers then read alike. Raises Refused."""
    return str(parse(url))


def key_of(url: str) -> str:
    """The same for URLs that name the same: without fragment and session, parameters in order. Raises Refused."""
    cleaned = url_query_cleaner(as_fetched(url), _WHO_ASKS, remove=True)
    return canonicalize_url(_PATH_SESSION.sub("", cleaned))


def shape_of(key: str) -> str:
    """The same for URLs that one template makes, such as the days of a calendar."""
    path, _, query = key.partition("?")
    return _DIGITS.sub("0", path) + "?" + "&".join(part.partition("=")[0] for part in query.split("&"))
