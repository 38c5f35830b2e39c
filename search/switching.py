"""From one encoder to another while searches go on: fill, pause, let serve, go back, retire.

Rows tell how far each is, and workers look at them again and again: one that is killed loses nothing. An encoder that
does not serve is nobody's haste: what searches wait for comes first, and it is worked at in slices.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from gallery.models import Asset
from search import calibration, encoders, index, kinds, pipeline
from search.encoders import EncoderSpec, EncoderUnavailable
from search.index import BuildFailed
from search.models import HEAD_SIGN, Encoder, IndexBuild
from search.pipeline import Progress, Tally

#: Of work that can wait, after which what cannot is looked for.
SLICE_SECONDS = 5
#: Searches that began by the encoder that was replaced have ended by then.
_GRACE = timedelta(seconds=10)
#: Embeddings deleted in one transaction: a fraction of a second.
_DELETED_AT_ONCE = 2000
#: Of an embedding beside its vector: the row's and the vector's headers, its other columns, and the entries in indexes.
_ROW_BYTES = 200


class CannotSwitch(Exception):
    """What was asked of an encoder cannot be done, and why."""


# --- how far they are -----------------------------------------------------------------------------------------------


class State(TextChoices):
    SERVING = "serving", _("Serving")
    READY = "ready", _("Ready")
    UNINDEXED = "unindexed", _("Embedded, no index yet")
    EMBEDDING = "embedding", _("Embedding")
    PAUSED = "paused", _("Paused")
    RETIRING = "retiring", _("Being retired")
    AVAILABLE = "available", _("Available")


@dataclass(frozen=True)
class Standing:
    """How far an encoder is; `row` is one of EncoderQuerySet.with_counts."""

    row: Any

    @property
    def pending(self) -> int:
        return int(self.row.asset_count - self.row.embedded_count - self.row.failed_count)

    @property
    def percent(self) -> int:
        """Of the assets; 100 only when none is left."""
        done = self.row.asset_count - self.pending
        return int(100 * done // self.row.asset_count) if self.row.asset_count else 100

    @property
    def state(self) -> State:
        if self.row.is_active:
            return State.SERVING
        if self.row.work == Encoder.Work.RETIRE:
            return State.RETIRING
        if self.pending:
            return State.EMBEDDING if self.is_filled else State.PAUSED
        return State.UNINDEXED if self.needs_index else State.READY

    @property
    def told(self) -> str:
        has_part = self.state in {State.EMBEDDING, State.PAUSED}
        return f"{self.state.label} {self.percent} %" if has_part else str(self.state.label)

    @property
    def build(self) -> IndexBuild | None:
        return next(iter(self.row.serving_builds), None)

    @property
    def needs_index(self) -> bool:
        """One would pay and there is none."""
        pays = self.row.embedded_count >= settings.INDEX_MIN_ROWS and index.kind_wanted(self.row) != kinds.EXACT
        return pays and self.build is None

    @property
    def is_moving(self) -> bool:
        """Whether workers are about to change it."""
        if self.state == State.RETIRING or (self.is_filled and self.pending):
            return True
        return (self.is_filled or self.row.is_active) and self.needs_index

    @property
    def is_filled(self) -> bool:
        """Whether workers embed with it what it has no vector of."""
        return bool(self.row.work == Encoder.Work.FILL)

    @property
    def time_left(self) -> timedelta | None:
        """At the speed last measured; None where nobody is at it, or none was measured."""
        if not (self.pending and self.is_filled and self.row.images_per_s):
            return None
        return timedelta(seconds=round(self.pending / self.row.images_per_s))

    @property
    def size_bytes(self) -> int:
        """About what its embeddings take on disk; an index comes on top."""
        return int(self.row.embedded_count * (2 * self.row.dimensions + _ROW_BYTES))


def standings() -> list[Standing]:
    rows = Encoder.objects.with_counts().order_by("-is_active", "name", "pk")
    return [Standing(row) for row in rows]


def standing(row: Encoder) -> Standing:
    return Standing(Encoder.objects.with_counts().get(pk=row.pk))


def without_row() -> list[EncoderSpec]:
    """Encoders that could be brought in."""
    known = set(Encoder.objects.values_list("name", "revision", "dimensions", "preprocessing"))
    return [
        spec
        for spec in encoders.SPECS.values()
        if (spec.name, spec.revision, spec.dimensions, spec.preprocessing) not in known
    ]


def names_row(name: str) -> bool:
    """Whether it is a row's alone: its number, or an encoder learned here. Others are known by their specs as well."""
    return HEAD_SIGN in name or name.isdecimal()


def find(named: str) -> Encoder:
    """By name, or by number where several versions have one name. Raises CannotSwitch."""
    found = list(Encoder.objects.filter(pk=int(named)) if named.isdecimal() else Encoder.objects.filter(name=named))
    if not found:
        unknown = gettext_noop("Nothing is embedded by '%(name)s'. manage.py encoders lists what there is.")
        raise CannotSwitch(unknown % {"name": named})
    if len(found) > 1:
        numbers = ", ".join(f"{row.pk} (revision {row.revision[:12]})" for row in found)
        several = gettext_noop("There are several versions of %(name)s. Name one by its number: %(numbers)s.")
        raise CannotSwitch(several % {"name": named, "numbers": numbers})
    return found[0]


def chosen(named: str | None) -> Encoder:
    """What `find` finds, or without a name the one that serves. Raises CannotSwitch."""
    row = find(named) if named else Encoder.objects.active()
    if row is None:
        raise CannotSwitch(gettext_noop("No encoder serves yet: name one with --encoder, or run manage.py prepare."))
    return row


def called(row: Encoder) -> str:
    """What `find` finds it by."""
    is_alone = not Encoder.objects.filter(name=row.name).exclude(pk=row.pk).exists()
    return row.name if is_alone else str(row.pk)


# --- fill and pause -------------------------------------------------------------------------------------------------


def fill(row: Encoder) -> None:
    """Let workers embed with it, whatever there is and whatever comes."""
    others = Encoder.objects.exclude(work=Encoder.Work.RETIRE)
    if not others.filter(pk=row.pk).update(work=Encoder.Work.FILL, error=""):
        raise CannotSwitch(
            gettext_noop("%(encoder)s is being retired. Start anew when that is done.") % {"encoder": row}
        )


def pause(row: Encoder) -> None:
    """Workers leave it alone within a slice; what is made is kept, and what serves goes on answering searches."""
    filling = Encoder.objects.filter(pk=row.pk).exclude(work=Encoder.Work.RETIRE)
    if not filling.update(work=Encoder.Work.PAUSED):
        raise CannotSwitch(gettext_noop("%(encoder)s is being retired, and cannot be paused.") % {"encoder": row})


def embed_all(row: Encoder, progress: Progress | None = None) -> Tally:
    """Embed all that is pending by an encoder; before each slice, what searches wait for. Raises EncoderUnavailable."""
    whole = Tally()
    while True:
        if not row.is_active:
            _embed_for_searches()
        onward = partial(_show_sum, progress, whole) if progress else None
        done = pipeline.embed_pending(row, seconds=SLICE_SECONDS, progress=onward)
        if not done.total:
            return whole
        whole = whole + done


def _show_sum(progress: Progress, before: Tally, done: Tally) -> None:
    progress(before + done)


def _embed_for_searches() -> None:
    """By the encoder that serves, which is not even loaded where nothing is pending."""
    serving = Encoder.objects.embedding()
    if serving and Asset.objects.kept().filter(status=Asset.Status.PENDING).exists():
        with suppress(EncoderUnavailable, LookupError):  # perhaps why another is brought in
            pipeline.embed_pending(serving)


def make_ready(row: Encoder) -> None:
    """Once all is embedded, build what searches by it will need. Raises BuildFailed."""
    if pipeline.pending_count(row):
        return
    if calibration.is_due(row):
        calibration.calibrate(row)
    if index.is_due(row):
        index.build(row)


# --- let serve ------------------------------------------------------------------------------------------------------


def activate(row: Encoder) -> None:
    """Let it serve where searches lose nothing by that. Raises CannotSwitch."""
    try:
        if hindrance := _hindrance(row):
            not_yet = gettext_noop("%(encoder)s cannot serve yet.")
            raise CannotSwitch(f"{not_yet % {'encoder': row}} {hindrance}")
        row.activate()
    except Encoder.DoesNotExist as error:
        raise CannotSwitch(str(error)) from None


def _hindrance(row: Encoder) -> str:
    if row.work == Encoder.Work.RETIRE:
        return gettext_noop("It is being retired.")
    if pending := pipeline.pending_count(row):
        lacking = gettext_noop("Assets without an embedding by it: %(count)s. Run: manage.py embed --encoder %(name)s")
        return lacking % {"count": f"{pending:,}", "name": called(row)}
    if is_index_to_come(row):
        unindexed = gettext_noop(
            "There is no index of its vectors yet, and every search would compare all of them. A worker builds one "
            "unless %(encoder)s is paused; to build it at once: manage.py activate --build-index %(name)s"
        )
        return unindexed % {"encoder": row, "name": called(row)}
    try:
        row.load()
    except (EncoderUnavailable, LookupError) as error:
        return str(error)
    return ""


def is_index_to_come(row: Encoder) -> bool:
    """One would pay and there is none; not for some time after a build has failed, for exact search is a way, too."""
    return IndexBuild.objects.serving(row) is None and index.is_due(row)


# --- retire ---------------------------------------------------------------------------------------------------------


def retirable(row: Encoder) -> Standing:
    """What there is to be deleted. Raises CannotSwitch for what serves, and for what another is made from."""
    if row.is_active:
        serving = gettext_noop("%(encoder)s serves searches. Let another serve first: manage.py activate NAME")
        raise CannotSwitch(serving % {"encoder": row})
    if headed := ", ".join(str(head.encoder) for head in row.heads.select_related("encoder")):
        needed = gettext_noop("%(heads)s cannot do without %(encoder)s. Retire that first.")
        raise CannotSwitch(needed % {"heads": headed, "encoder": row})
    return standing(row)


def begin_retiring(row: Encoder) -> None:
    """From now on nothing is embedded by it, it cannot serve, and workers delete it. Raises CannotSwitch."""
    with transaction.atomic():
        if locked := Encoder.objects.select_for_update().filter(pk=row.pk).first():
            retirable(locked)
        Encoder.objects.filter(pk=row.pk).update(work=Encoder.Work.RETIRE)


def retire(row: Encoder, *, seconds: float = float("inf"), progress: Callable[[int], object] | None = None) -> bool:
    """Delete what an encoder made and then its row, until time is up; whether nothing is left of it.

    `progress` is told how many embeddings were deleted. Interrupted, it goes on where it stopped when called again.
    Raises CannotSwitch.
    """
    stop_at = time.monotonic() + seconds
    begin_retiring(row)
    _let_searches_end()
    _drop_index(row)
    while deleted := pipeline.forget(row, _DELETED_AT_ONCE):
        if progress:
            progress(deleted)
        if time.monotonic() > stop_at:
            return False
    Encoder.objects.filter(pk=row.pk).delete()
    return True


def _let_searches_end() -> None:
    """Those that may have begun by this encoder, before another took over."""
    serving = Encoder.objects.active()
    if serving and serving.activated:
        time.sleep(max(0.0, (serving.activated + _GRACE - timezone.now()).total_seconds()))


def _drop_index(row: Encoder) -> None:
    """First, so that no vacuum has to clean an index that is about to go."""
    try:
        if Encoder.objects.filter(pk=row.pk).exists():  # somebody else may be at it, too
            index.drop_beside(row)
            index.build(row, kind=kinds.EXACT)
    except BuildFailed as error:
        raise CannotSwitch(str(error)) from None
