"""What a page links to, and which pictures it shows."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from parsel import Selector
from scrapy.http import HtmlResponse
from scrapy.utils.response import get_meta_refresh

from gallery.formats import SUFFIXES

#: Of one page. More are made by a program that does not end.
_MOST_LINKS = 10_000
_SRCSETS = ["srcset", "data-srcset", "data-lazy-srcset"]
#: Scripts that load pictures when they are scrolled to leave a placeholder in `src`.
_SOURCES = ["data-src", "data-original", "data-lazy-src", "src"]
_CANDIDATE = re.compile(r"(\S*[^,\s])(?:\s+([\d.]+)([wx]))?(?:,|\s|$)")
_PX = re.compile(r"\s*(\d{1,5})(?:px)?\s*")


@dataclass(frozen=True)
class Picture:
    url: str
    title: str
    #: As the page has it shown; None where it does not say.
    longer_side_px: int | None = None


def links(response: HtmlResponse) -> list[str]:
    """Absolute, each once, pictures left out."""
    targets = response.xpath("//a/@href | //area/@href | //frame/@src | //iframe/@src").getall()
    _, refreshed = get_meta_refresh(response)
    if refreshed:
        targets.append(refreshed)
    found = (url for url in _absolute(response, targets) if not _is_picture(url))
    return list(islice(dict.fromkeys(found), _MOST_LINKS))


def pictures(response: HtmlResponse) -> list[Picture]:
    """Each once, with the first title given to it."""
    found: dict[str, Picture] = {}
    for picture in islice(_all_pictures(response), _MOST_LINKS):
        known = found.setdefault(picture.url, picture)
        if not known.title and picture.title:
            found[picture.url] = Picture(known.url, picture.title, known.longer_side_px)
    return list(found.values())


def _all_pictures(response: HtmlResponse) -> Iterator[Picture]:
    for shown in response.xpath("//img | //picture[not(.//img)]"):
        for url in _absolute(response, _best_source(shown)):
            yield Picture(url, _title(shown), _declared_px(shown))
    for link in response.xpath("//a[@href]"):
        for url in _absolute(response, [link.attrib["href"]]):
            if _is_picture(url):
                yield Picture(url, _title(link.xpath(".//img")[:1] or [link]))
    title = _clean(_meta(response, "og:image:alt") or _meta(response, "og:title"))
    for url in _absolute(response, [_meta(response, "og:image")]):
        yield Picture(url, title)


def _absolute(response: HtmlResponse, targets: Iterable[str]) -> Iterator[str]:
    for target in targets:
        if not target.strip() or target.strip().lower().startswith("data:"):
            continue
        try:
            yield response.urljoin(target.strip())
        except ValueError:  # such as of brackets that hold no address
            continue


def _is_picture(url: str) -> bool:
    return PurePosixPath(urlsplit(url).path).suffix.lower() in SUFFIXES


def _best_source(shown: Selector) -> list[str]:
    """The largest that the page offers; none, or one."""
    offered = [shown, *shown.xpath("ancestor-or-self::picture[1]//source")]
    sets = [element.attrib.get(name, "") for element in offered for name in _SRCSETS]
    candidates = [candidate for text in sets for candidate in _candidates(text)]
    if candidates:
        return [max(candidates)[-1]]
    sources = (shown.attrib.get(name, "") for name in _SOURCES)
    return list(islice((source for source in sources if source and not source.startswith("data:")), 1))


def _candidates(srcset: str) -> Iterator[tuple[float, float, str]]:
    """Width in pixels and density of each, 0 and 1 where not told, and its URL."""
    for url, number, unit in _CANDIDATE.findall(srcset):
        if url.startswith("data:"):
            continue
        try:
            size = float(number or 1)
        except ValueError:  # of several points
            continue
        yield (size, 1, url) if unit == "w" else (0, size, url)


def _title(shown: Selector | list[Selector]) -> str:
    element = shown[0] if isinstance(shown, list) else shown
    caption = element.xpath("string(ancestor::figure[1]//figcaption)").get() or ""
    said = (element.attrib.get("alt", ""), caption, element.attrib.get("title", ""))
    return next(filter(None, map(_clean, said)), "")


def _clean(text: str) -> str:
    """In one line, without what neither a database nor a page could show."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _declared_px(shown: Selector) -> int | None:
    sides = [_PX.fullmatch(shown.attrib.get(name, "")) for name in ("width", "height")]
    return max(int(side[1]) for side in sides if side) if all(sides) else None


def _meta(response: HtmlResponse, name: str) -> str:
    return response.xpath("string((//meta[@property=$name or @name=$name]/@content)[1])", name=name).get() or ""
