"""Reports as files: CSV with a line for each picture, JSON with all its hits."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

from gallery.models import Asset
from gallery.reasons import retold
from search.report_models import Report
from search.report_sections import Matched, Section, Told
from search.verdicts import UNCALIBRATED_SIMILARITY

_COLUMNS = [
    "picture", "picture_url", "verdict", "match", "similarity", "closer_than",
    "asset", "asset_title", "asset_filename", "asset_url", "reason",
]  # fmt: skip
#: What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Link = Callable[[Asset], str]


def as_csv(sections: Sequence[Section], link: Link) -> str:
    """A line for each picture, with the best hit. `link` gives an asset's address."""
    return "".join(f"{line}\r\n" for line in [columns(), *(csv_line(section, link) for section in sections)])


def columns() -> str:
    return _joined(_COLUMNS)


def csv_line(section: Section, link: Link) -> str:
    return _joined([_for_spreadsheets(value) for value in _line(section, link)])


def _joined(values: Sequence[Any]) -> str:
    out = StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def _line(section: Section, link: Link) -> list[Any]:
    entry, best = section.entry, section.best
    sought = [entry.name, entry.url, section.verdict.value]
    if best is None:
        return [*sought, "", "", "", "", "", "", "", retold(entry.detail)]
    hit = best.hit
    closer = "" if hit.closer_than is None else f"{hit.closer_than:.7f}"
    found = [hit.asset.pk, hit.asset.title, hit.asset.filename, link(hit.asset)]
    return [*sought, best.match, f"{hit.similarity:.4f}", closer, *found, retold(entry.detail)]


def _for_spreadsheets(value: Any) -> Any:
    """Text of others must not become a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_told(section: Section, link: Link) -> Section:
    return replace(section, told=Told(csv_line(section, link), json.dumps(told(section, link), ensure_ascii=False)))


def as_json(report: Report, level: float, sections: Sequence[Section], link: Link) -> dict[str, Any]:
    return {
        "created": report.created.isoformat(),
        "near_from": level,  # of `closer_than`; where that is null, of `similarity`, the other
        "near_from_similarity": UNCALIBRATED_SIMILARITY,
        "pictures": [told(section, link) for section in sections],
    }


def told(section: Section, link: Link) -> dict[str, Any]:
    entry = section.entry
    error = {"code": entry.code, "detail": retold(entry.detail)} if entry.code else None
    return {
        "name": entry.name,
        "url": entry.url or None,
        "width": entry.width,
        "height": entry.height,
        "size_bytes": entry.size_bytes,
        "verdict": section.verdict.value,
        "error": error,
        "results": [_hit(match, link) for match in section.matches],
    }


def _hit(match: Matched, link: Link) -> dict[str, Any]:
    hit = match.hit
    return {
        "rank": hit.rank,
        "match": match.match or None,
        "similarity": hit.similarity,
        "distance": hit.distance,
        "closer_than": hit.closer_than,
        "asset": {
            "id": hit.asset.pk,
            "title": hit.asset.title,
            "filename": hit.asset.filename,
            "sha256": hit.asset.sha256,
            "url": link(hit.asset),
        },
    }
