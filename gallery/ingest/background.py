"""Imports that run by themselves, a slice at a time, and go on whatever became of the worker before."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Coalesce, Lower, Now
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from gallery.errors import Code, Refused
from gallery.import_models import Import, ImportQuerySet, Refusal
from gallery.ingest.archive import entries, import_entries, open_archive
from gallery.ingest.bulk import STOPPING, Outcome, printable
from gallery.ingest.folder import folder_below, import_files, pictures
from gallery.ingest.urls import import_urls
from gallery.models import Asset, AssetQuerySet, Collection
from gallery.samples import catalogue
from gallery.storage import sync
from gallery.uploads import Details, storage_errors

logger = logging.getLogger(__name__)

#: Seconds. A worker told to stop has 8 until it is killed, and between slices others have their turn.
_SLICE_S = 5
#: In a row that bring nothing, as where the worker is killed each time.
_MOST_ATTEMPTS = 5
#: From the end of an import until its sources are forgotten, so that what was refused can be tried again.
_KEPT = timedelta(days=1)
#: Of one owner: each may keep a ZIP file of the largest size.
_MOST_UNDER_WAY = 10
_LONGEST_SOURCE, _LONGEST_NAME = 2000, 250

T = TypeVar("T")


@dataclass(frozen=True)
class _Sources(Generic[T]):
    """Those of one import, in an order that does not change."""

    every: Sequence[T]
    store_all: Callable[[Iterable[T], User, Details], Iterator[Outcome[T]]]
    named: Callable[[T], object] = str


# --- beginning, ending, trying again ----------------------------------------------------------------------------


def begin_archive(archive: TemporaryUploadedFile, owner: User, details: Details) -> Import:
    """Keeps the ZIP file. This and the next two raise Refused."""
    with storage_errors(), transaction.atomic():
        begun = _begin(Import.Kind.ZIP, printable(archive.name or "untitled.zip")[:_LONGEST_NAME], owner, details)
        kept = _kept_archive(begun.pk)
        kept.parent.mkdir(exist_ok=True)
        Path(archive.temporary_file_path()).replace(kept)
        for path in (kept, *kept.parents[:2]):  # the row, once committed, lasts
            sync(path)
    return begun


def begin_urls(urls: Sequence[str], owner: User, details: Details) -> Import:
    others = f" and {len(urls) - 1} more" if len(urls) > 1 else ""
    name = printable(urls[0])[:_LONGEST_NAME] + others
    return _begin(Import.Kind.URLS, name, owner, details, sources=json.dumps(urls), total=len(urls))


def begin_folder(folder: str, owner: User, details: Details) -> Import:
    """A folder below IMPORT_ROOT, which `folder_below` has found. Its files are listed by the worker."""
    return _begin(Import.Kind.FOLDER, folder, owner, details)


def begin_sample(owner: User) -> Import:
    """The gallery of drawn pictures, in a collection of its own; the one under way where there is one."""
    if going_on := Import.objects.open().filter(kind=Import.Kind.SAMPLE).first():
        return going_on
    wanted = catalogue.names()
    details = Details(collection=_sample_collection(owner), tags=["sample"])
    return _begin(
        Import.Kind.SAMPLE, catalogue.COLLECTION, owner, details, sources=json.dumps(wanted), total=len(wanted)
    )


def _sample_collection(owner: User) -> Collection:
    named = Collection.objects.alias(key=Lower("name")).filter(key=catalogue.COLLECTION.lower())
    return named.first() or Collection.objects.create(name=catalogue.COLLECTION, owner=owner)


def sample_of(user: User) -> AssetQuerySet:
    """The drawn pictures that are still in their collection, and that the user may delete.

    What somebody has moved to another collection is theirs to keep.
    """
    found = _sample_runs(user).values("collection")
    drawn = Asset.objects.filter(collection__in=found, source_url__startswith=catalogue.SOURCE)
    return drawn if user.is_staff else drawn.filter(owner=user)


def remove_sample(user: User) -> int:
    """Delete these pictures, and then their collection; how many there were."""
    runs = _sample_runs(user)
    for row in runs.open():
        cancel(row)
    doomed = sample_of(user)
    count = doomed.count()
    doomed.delete()
    Collection.objects.filter(pk__in=runs.values("collection"), assets=None).delete()
    runs.delete()
    return count


def _sample_runs(user: User) -> ImportQuerySet:
    return Import.objects.visible_to(user).filter(kind=Import.Kind.SAMPLE)


def _begin(kind: Import.Kind, name: str, owner: User, details: Details, **fields: Any) -> Import:
    _check_number(owner)
    said = {"collection": details.collection, "tags": details.tags}
    return Import.objects.create(kind=kind, name=name, owner=owner, **said, **fields)


def _check_number(owner: User) -> None:
    if Import.objects.open().filter(owner=owner).count() >= _MOST_UNDER_WAY:
        raise Refused(Code.THROTTLED, _("You have too many imports under way. Wait until one ends, or cancel one."))


def pause(row: Import) -> bool:
    """Whether it was under way. What is being stored just now still is, and then no worker takes it up."""
    return bool(Import.objects.under_way().filter(pk=row.pk).update(state=Import.State.PAUSED))


def resume(row: Import) -> bool:
    """Whether it was paused. It goes on where it stopped."""
    paused = Import.objects.filter(pk=row.pk, state=Import.State.PAUSED)
    return bool(paused.update(state=Import.State.WAITING, attempts=0, marks=[]))


def cancel(row: Import) -> bool:
    """Whether it was open, or had failed and could go on. What is being stored just now still is."""
    cancelled = Import.objects.filter(pk=row.pk, state__in=[*Import.OPEN, Import.State.FAILED])
    if not cancelled.update(state=Import.State.CANCELLED, finished=Coalesce("finished", Now())):
        return False
    _forget(row.pk)
    return True


def may_be_retried(row: Import) -> bool:
    """Whether it ended, and some of it may be taken now; and its sources are still known."""
    if row.state not in {Import.State.DONE, Import.State.FAILED}:
        return False
    has_left = row.state == Import.State.FAILED or row.refusals.filter(may_pass=True).exists()
    return has_left and _has_sources(row)


def retry(row: Import, refusal_id: int | None = None) -> bool:
    """Whether there is something to try again: of what was refused, one or all that may pass. Raises Refused."""
    with transaction.atomic():
        row = Import.objects.select_for_update(of=["self"]).get(pk=row.pk)
        if not may_be_retried(row):
            return False
        _check_number(row.owner)
        chosen = {} if refusal_id is None else {"pk": refusal_id}
        again = row.refusals.filter(may_pass=True, again=False, **chosen).update(again=True)
        if chosen and not again:
            return False
        row.refused -= again
        row.state, row.error, row.attempts = Import.State.WAITING, "", 0
        row.started = row.finished = row.leased_until = None
        row.marks = []
        row.save()
    return True


def forget_ended() -> None:
    """Remove what is kept for imports that ended long ago, or never were. For a schedule."""
    long_ago = timezone.now() - _KEPT
    for row in Import.objects.exclude(sources="").filter(finished__lt=long_ago).only("pk"):
        _forget(row.pk)
    wanted = Import.objects.exclude(finished__lt=long_ago).values_list("pk", flat=True)
    for path in _archives().glob("*.zip"):
        # a file is there before its row is
        if _age_s(path) > _KEPT.total_seconds() and not wanted.filter(pk=path.stem).exists():
            path.unlink(missing_ok=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_ctime
    except FileNotFoundError:
        return 0


def _forget(import_id: int) -> None:
    _kept_archive(import_id).unlink(missing_ok=True)
    Import.objects.filter(pk=import_id).update(sources="")


def _has_sources(row: Import) -> bool:
    if row.kind == Import.Kind.ZIP:
        return _kept_archive(row.pk).exists()
    # asked, and not loaded: they may be megabytes
    return row.total is None or Import.objects.filter(pk=row.pk).exclude(sources="").exists()


def _archives() -> Path:
    return Path(settings.SPOOL_DIR) / "imports"


def _kept_archive(import_id: int) -> Path:
    return _archives() / f"{import_id}.zip"


# --- a slice of the work ----------------------------------------------------------------------------------------


def work(import_id: int, turn: int) -> Import | None:
    """Store a slice of an import, if the turn is still to be taken. The import, if another slice is left."""
    is_left_behind = Import.objects.filter(pk=import_id).exclude(leased_until=None).exists()
    if not Import.objects.claim(import_id, turn):
        return None
    row = Import.objects.select_related("owner", "collection").get(pk=import_id)
    try:
        _check_attempts(row)
        with _opened(row) as sources:
            _Slice(row, sources, is_left_behind=is_left_behind).work()
    except Refused as refused:
        _end(row, Import.State.FAILED, str(refused))
        return None
    except (OperationalError, InterfaceError):  # the lease runs out, and the sweep takes it up
        raise
    except Exception:
        logger.exception("Import %s ended", row.pk)
        _end(row, Import.State.FAILED, _("Something went wrong here. It was logged."))
        return None
    return _released(row)


def _check_attempts(row: Import) -> None:
    if row.attempts > _MOST_ATTEMPTS:
        raise Refused(
            Code.INTERNAL,
            _("It was taken up %(times)s times, and each time nothing came of it."),
            {"times": _MOST_ATTEMPTS},
        )


def _released(row: Import) -> Import | None:
    """Free for the next worker; or it has ended."""
    Import.objects.filter(pk=row.pk, turn=row.turn).update(leased_until=None)
    row = Import.objects.defer("sources").get(pk=row.pk)
    if not row.is_under_way:
        return None
    if row.total is not None and row.position >= row.total and not row.refusals.filter(again=True).exists():
        _end(row, Import.State.DONE)
        return None
    return row


def _end(row: Import, state: Import.State, error: str = "") -> None:
    ended = Import.objects.under_way().filter(pk=row.pk, turn=row.turn)
    told = {"state": state, "error": printable(error), "finished": timezone.now(), "leased_until": None}
    is_ended = ended.update(**told)  # else it is another worker's, which needs the sources
    if is_ended and not may_be_retried(Import.objects.defer("sources").get(pk=row.pk)):
        _forget(row.pk)


@contextmanager
def _opened(row: Import) -> Iterator[_Sources[Any]]:
    """Raises Refused."""
    if row.kind == Import.Kind.SAMPLE:
        yield _Sources(row.source_list, catalogue.import_drawn)
    elif row.kind == Import.Kind.URLS:
        yield _Sources(row.source_list, import_urls)
    elif row.kind == Import.Kind.FOLDER:
        folder = folder_below(row.name)
        _list_once(row, folder)
        yield _Sources([folder / name for name in row.source_list], import_files, lambda path: path.relative_to(folder))
    else:
        path = _kept_archive(row.pk)
        if not path.exists():
            raise Refused(Code.NOT_FOUND, _("The ZIP file is not there any more. Send it again."))
        with open_archive(path) as archive:
            yield _Sources(entries(archive, path.stat().st_size), partial(import_entries, archive))


def _list_once(row: Import, folder: Path) -> None:
    """So that a position means the same file in every slice."""
    if row.total is None:
        row.sources = json.dumps([str(path.relative_to(folder)) for path in pictures(folder)])
        Import.objects.filter(pk=row.pk, turn=row.turn).update(sources=row.sources)


class _Slice(Generic[T]):
    """One turn of an import. All it writes, it writes if no other worker has taken the next turn."""

    def __init__(self, row: Import, sources: _Sources[T], *, is_left_behind: bool) -> None:
        self._row, self._sources = row, sources
        #: The worker before died, and may have stored what it did not count.
        self._is_left_behind, self._began = is_left_behind, timezone.now()
        self._positions = {source: position for position, source in enumerate(sources.every)}
        self._is_stopped = False

    def work(self) -> None:
        row, until = self._row, time.monotonic() + _SLICE_S
        own = Import.objects.filter(pk=row.pk, turn=row.turn)
        own.update(total=len(self._sources.every))
        details = Details(collection=row.collection, tags=row.tags)
        for outcome in self._sources.store_all(self._left(until), row.owner, details):
            if outcome.refused and outcome.refused.code in STOPPING:
                self._is_stopped = True  # it is not counted, and comes again when there is room, or an answer
                _end(row, Import.State.FAILED, str(outcome.refused))
            else:
                self._record(self._positions[outcome.source], outcome)

    def _left(self, until: float) -> Iterator[T]:
        """What is not done, until the slice is over; one at least."""
        again = self._row.refusals.filter(again=True).values_list("position", flat=True)
        ahead = frozenset(self._row.done_ahead)
        onwards = (n for n in range(self._row.position, len(self._sources.every)) if n not in ahead)
        for position in chain(list(again), onwards):
            yield self._sources.every[position]
            if self._is_stopped or time.monotonic() > until:
                return

    @transaction.atomic
    def _record(self, position: int, outcome: Outcome[T]) -> None:
        row = Import.objects.select_for_update().defer("sources").get(pk=self._row.pk)
        if row.turn != self._row.turn:
            self._is_stopped = True
            return
        row.refusals.filter(position=position).delete()  # from an earlier try
        row.refused += bool(outcome.refused)
        is_stored = outcome.stored or self._is_found_again(outcome.asset)
        row.stored += is_stored
        row.duplicates += outcome.duplicate and not is_stored
        if outcome.refused:
            self._keep_refusal(row, position, outcome)
        _advance(row, position)
        row.attempts = 0
        row.renew_lease()
        counted = ["stored", "duplicates", "refused", "position", "done_ahead", "attempts", "leased_until"]
        row.save(update_fields=counted)
        self._is_stopped = row.state != Import.State.RUNNING

    def _is_found_again(self, asset: Asset | None) -> bool:
        """Whether the worker before stored it, so far as can be told."""
        row = self._row
        if not (self._is_left_behind and asset and row.started):
            return False
        return asset.owner_id == row.owner_id and row.started <= asset.created < self._began

    def _keep_refusal(self, row: Import, position: int, outcome: Outcome[T]) -> None:
        assert outcome.refused  # noqa: S101 (the caller asked)
        Refusal.objects.create(
            run=row,
            position=position,
            source=printable(str(self._sources.named(outcome.source)))[:_LONGEST_SOURCE],
            code=outcome.refused.code,
            detail=printable(str(outcome.refused)),
            may_pass=outcome.may_pass,
        )


def _advance(row: Import, position: int) -> None:
    """Several are under way at once, and end in any order."""
    if position < row.position:
        return
    ahead = {*row.done_ahead, position}
    while row.position in ahead:
        ahead.remove(row.position)
        row.position += 1
    row.done_ahead = sorted(ahead)
