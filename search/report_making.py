"""Searches with many pictures at once, and says of each whether it is there: the entries of a report."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import User
from django.core.files import File
from django.db.models import Count, Max
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from PIL import Image

from gallery import sandbox
from gallery.errors import Code, Refused
from gallery.ingest.fetch import fetch, in_turn
from gallery.models import Asset, Viewer
from gallery.perceptual_hash import perceptual_hash
from gallery.uploads import clean_filename, spooled, storage_errors
from search import query, query_pictures, same_picture, serving
from search.answers import Answer, Hit
from search.models import Encoder
from search.pictures import Picture, open_picture
from search.query import Part, Wanted
from search.query_models import QueryPicture
from search.report_models import Entry, Report
from search.verdicts import level_for

#: Of a report: what is shown of each, and how many there may be.
HITS_SHOWN, MOST_ENTRIES = 6, 1000
#: Nearest assets among which the picture itself is looked for.
_NEAREST = 20
#: Pictures that are encoded together: two of the largest batches.
_AT_ONCE = 64
#: Shorter side of a thumbnail, which is hashed as well: what shows the same picture is told by it.
_THUMBNAIL_PX = 256


@dataclass
class _Seen:
    """A picture that could be read, and the entry that becomes of it."""

    entry: Entry
    picture: Picture
    perceptual_hash: int


def begin(owner: User) -> Report:
    """An empty report. What counts as near is what a gallery of this size rarely has by chance."""
    ready = Asset.objects.filter(status=Asset.Status.READY).count()
    report: Report = Report.objects.create(owner=owner, level=level_for(ready))
    return report


def of_several(files: Sequence[File[bytes]], owner: User) -> Report:
    """A report of them. Raises Refused where they are too many for one."""
    entries = of_files(files, owner, keep=True)
    report = begin(owner)
    add(report, entries)
    return report


def add(report: Report, entries: Sequence[Entry]) -> list[Entry]:
    """Those that have no place come last. Raises Refused where the report is full."""
    there = report.entries.aggregate(count=Count("pk"), last=Coalesce(Max("place"), -1))
    if there["count"] + len(entries) > MOST_ENTRIES:
        detail = _("A report holds %(most)s pictures at most. Begin another one for these.")
        raise Refused(Code.INVALID, detail % {"most": MOST_ENTRIES})
    for place, entry in enumerate(entries, start=there["last"] + 1):
        entry.report = report
        if entry.place is None:
            entry.place = place
    return Entry.objects.bulk_create(entries)


def of_urls(urls: Sequence[str], viewer: Viewer, *, keep: bool) -> list[Entry]:
    """Entries, not saved, of what is at some addresses, in order."""
    entries: list[Entry] = []
    for url in urls:
        try:
            with in_turn():
                at_url = fetch(url)
            with at_url as file:
                [entry] = of_files([file], viewer, keep=keep)
        except Refused as refused:
            entry = _refused(Entry(name=url[:300]), refused)
        entry.url = url
        entries.append(entry)
    return entries


def of_files(files: Sequence[File[bytes]], viewer: Viewer, *, keep: bool) -> list[Entry]:
    """Entries, not saved, of some files, in order; what can be read is encoded together.

    To `keep` the pictures is to be able to search on with them for a day.
    """
    entries: list[Entry] = []
    for start in range(0, len(files), _AT_ONCE):
        seen = [_see(file, viewer, keep=keep) for file in files[start : start + _AT_ONCE]]
        _search([one for one in seen if isinstance(one, _Seen)], viewer)
        entries += [one.entry if isinstance(one, _Seen) else one for one in seen]
    return entries


def again(entry: Entry, viewer: Viewer) -> Entry:
    """What becomes of an entry that was refused: fetched again where it has an address, else searched with again."""
    if entry.picture is None and entry.url:
        [tried] = of_urls([entry.url], viewer, keep=True)
        return tried
    if entry.picture is None:
        raise Refused(Code.INVALID, str(_("Choose the picture again.")))
    tried = Entry(name=entry.name, url=entry.url, size_bytes=entry.size_bytes)
    _search([_of_kept(tried, entry.picture)], viewer)
    return tried


def _see(file: File[bytes], viewer: Viewer, *, keep: bool) -> _Seen | Entry:
    """A refused entry where it cannot be read."""
    entry = Entry(name=clean_filename(file.name or ""), size_bytes=file.size or 0)
    try:
        if keep:
            return _of_kept(entry, query_pictures.keep(file, viewer))
        with storage_errors(), spooled(file) as (path, _sha256):
            rendered = sandbox.render_file(path)
    except Refused as refused:
        return _refused(entry, refused)
    entry.thumbnail, entry.width, entry.height = rendered.thumbnail, rendered.width, rendered.height
    return _Seen(entry, Picture(file), rendered.perceptual_hash)


def _of_kept(entry: Entry, kept: QueryPicture) -> _Seen:
    """By its preview alone, so that a file is decoded once."""
    picture = Picture(kept)
    image = open_picture(picture, _THUMBNAIL_PX)
    entry.picture, entry.width, entry.height = kept, kept.width, kept.height
    entry.thumbnail = _to_jpeg(image)
    return _Seen(entry, picture, perceptual_hash(image))


def _to_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def _refused(entry: Entry, refused: Refused) -> Entry:
    entry.code, entry.detail = refused.code.value, str(refused)
    return entry


def _search(seen: Sequence[_Seen], viewer: Viewer) -> None:
    """Fill in their entries."""
    started = time.perf_counter()
    try:
        row = query.active_encoder()
        # rules say what a search shows, not what there is
        at = replace(serving.of(row), has_rules=False)
        answers = query.like_each([Part(one.picture) for one in seen], Wanted(k=_NEAREST), at=at)
    except Refused as refused:
        for one in seen:
            _refused(one.entry, refused)
        return
    visible = _visible(answers, viewer)
    identical = _identical([one.picture for one in seen], viewer)
    took_ms = (time.perf_counter() - started) * 1000 / max(len(seen), 1)
    for one, answer in zip(seen, answers, strict=True):
        hits = [hit for hit in answer.results if hit.asset.pk in visible]
        _fill_in(one, hits, identical.get(one.picture.sha256), row)
        one.entry.took_ms = took_ms


def _visible(answers: Sequence[Answer], viewer: Viewer) -> set[int]:
    ids = {hit.asset.pk for answer in answers for hit in answer.results}
    return set(Asset.objects.visible_to(viewer).filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()


def _identical(pictures: Sequence[Picture], viewer: Viewer) -> dict[str, Asset]:
    """By their SHA-256, those that are there to the byte, analysed or not."""
    found = Asset.objects.visible_to(viewer).filter(sha256__in=[picture.sha256 for picture in pictures])
    return {asset.sha256: asset for asset in found}


def _fill_in(one: _Seen, hits: Sequence[Hit], identical: Asset | None, row: Encoder) -> None:
    entry = one.entry
    same = {match.asset.pk for match in same_picture.same_among(hits, one.perceptual_hash, row)}
    matches = dict.fromkeys(same, Entry.Match.SAME)
    if identical:
        matches[identical.pk] = Entry.Match.IDENTICAL
        if identical.pk not in {hit.asset.pk for hit in hits}:  # not analysed yet, or past by an index
            hits = [Hit(0, 1.0, 0.0, identical), *hits]
    # the picture itself first: of equal vectors either may come first
    hits = sorted(hits, key=lambda hit: (_RANKS[matches.get(hit.asset.pk, "")], hit.distance))
    entry.hits = [_kept(hit, matches.get(hit.asset.pk, "")) for hit in hits[:HITS_SHOWN]]
    if hits:
        entry.match = matches.get(hits[0].asset.pk, "")
        entry.similarity, entry.closer_than = hits[0].similarity, hits[0].closer_than


_RANKS = {Entry.Match.IDENTICAL: 0, Entry.Match.SAME: 1, "": 2}


def _kept(hit: Hit, match: str) -> dict[str, Any]:
    return {
        "asset": hit.asset.pk,
        "similarity": hit.similarity,
        "distance": hit.distance,
        "closer_than": hit.closer_than,
        "match": str(match),
    }
