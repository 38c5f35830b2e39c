"""What a report shows: its entries with their verdicts and hits, and how many there are of each kind."""

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.urls import reverse

from gallery.models import Asset, Viewer
from search.answers import Hit
from search.report_models import Entry, Report
from search.verdicts import UNCALIBRATED_TOLD, Verdict, verdict


@dataclass(frozen=True)
class Matched:
    hit: Hit
    #: Whether it is the picture itself: a value of Entry.Match, or empty.
    match: str

    @property
    def label(self) -> str:
        return str(Entry.Match(self.match).label) if self.match else ""


@dataclass(frozen=True)
class Told:
    """A section as files have it, for a page that writes them itself: a line of CSV, and JSON."""

    csv: str
    json: str


@dataclass(frozen=True)
class Section:
    entry: Entry
    verdict: Verdict
    matches: list[Matched] = field(default_factory=list)
    told: Told | None = None

    @property
    def picture(self) -> str:
        """Where its thumbnail is; of an entry that is not kept, the thumbnail itself; empty where there is none."""
        entry = self.entry
        if not entry.width:
            return ""
        if entry.pk:
            return reverse("search:report_thumbnail", args=[entry.report_id, entry.pk])
        return f"data:image/jpeg;base64,{base64.b64encode(bytes(entry.thumbnail or b'')).decode()}"

    @property
    def best(self) -> Matched | None:
        return self.matches[0] if self.matches else None

    @property
    def verdict_in_words(self) -> str:
        """Of what is found, also as what."""
        if self.verdict == Verdict.FOUND and self.entry.match:
            return f"{self.verdict.label}: {Entry.Match(self.entry.match).label}"
        return str(self.verdict.label)


@dataclass(frozen=True)
class Summary:
    counts: dict[Verdict, int]
    took_ms: float
    #: Some were looked for before it was known how close random pairs are, and no level is asked of them.
    is_uncalibrated: bool = False

    @property
    def caveat(self) -> str:
        return str(UNCALIBRATED_TOLD) if self.is_uncalibrated else ""

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def took_s(self) -> float:
        return self.took_ms / 1000

    @property
    def parts(self) -> list[tuple[str, str, int]]:
        """Value, words and count of each verdict that there is."""
        return [part for part in self.tally if part[2]]

    @property
    def tally(self) -> list[tuple[str, str, int]]:
        return [(one.value, str(one.label), count) for one, count in self.counts.items()]


def sections(entries: Iterable[Entry], level: float, viewer: Viewer) -> list[Section]:
    """Without hits that were deleted since."""
    entries = list(entries)
    ids = {kept["asset"] for entry in entries for kept in entry.hits}
    assets = Asset.objects.visible_to(viewer).defer("words").in_bulk(ids) if ids else {}
    return [Section(entry, entry.verdict(level), _matches(entry, assets)) for entry in entries]


def _matches(entry: Entry, assets: dict[int, Asset]) -> list[Matched]:
    alive = [kept for kept in entry.hits if kept["asset"] in assets]
    return [
        Matched(
            Hit(rank, kept["similarity"], kept["distance"], assets[kept["asset"]], kept["closer_than"]), kept["match"]
        )
        for rank, kept in enumerate(alive, start=1)
    ]


@dataclass(frozen=True)
class Judged:
    #: By the entry's id, in order.
    verdicts: dict[int, Verdict]
    summary: Summary
    #: Where pictures that are added go.
    next_place: int

    def shown(self, only: Verdict | None) -> list[int]:
        """Ids of all entries, or of those with one verdict."""
        return [pk for pk, one in self.verdicts.items() if only in {None, one}]


def judged(report: Report, level: float) -> Judged:
    """Reads of each entry what it needs and no more."""
    told = report.entries.values_list("place", "pk", "took_ms", "code", "match", "closer_than", "similarity")
    verdicts: dict[int, Verdict] = {}
    took_in_all, next_place, is_uncalibrated = 0.0, 0, False
    for place, pk, took_ms, code, match, closer_than, similarity in told:
        verdicts[pk] = verdict(code, match, closer_than, similarity, level)
        took_in_all += took_ms
        next_place = place + 1
        is_uncalibrated |= similarity is not None and closer_than is None
    return Judged(verdicts, summarised(verdicts.values(), took_in_all, is_uncalibrated=is_uncalibrated), next_place)


def summarised(verdicts: Iterable[Verdict], took_ms: float, *, is_uncalibrated: bool = False) -> Summary:
    counted = Counter(verdicts)
    return Summary({one: counted[one] for one in Verdict}, took_ms, is_uncalibrated)
