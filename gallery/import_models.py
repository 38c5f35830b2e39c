"""Very many pictures that come in by themselves, and what was not taken of them."""

import json
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Coalesce, Now
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from gallery.models import Viewer

#: How long an import is its worker's alone. Every outcome renews it, and the slowest takes half of it.
_LEASE = timedelta(minutes=2)
#: Seconds that an import's pace is measured over, and at least: enough for large pictures, few enough to be of now.
_PACE_S, _PACE_LEAST_S = 180, 5


class ImportQuerySet(models.QuerySet["Import"]):
    def visible_to(self, user: "Viewer") -> Self:
        if not user.is_authenticated:
            return self.none()
        return self if getattr(user, "is_staff", False) else self.filter(owner=user.pk)

    def for_display(self) -> Self:
        return self.select_related("owner", "collection").defer("sources")

    def under_way(self) -> Self:
        return self.filter(state__in=Import.UNDER_WAY)

    def open(self) -> Self:
        """Not at their end: under way, or paused."""
        return self.filter(state__in=Import.OPEN)

    def idle(self) -> Self:
        """Under way, and no worker's."""
        free = models.Q(leased_until=None) | models.Q(leased_until__lt=Now())
        return self.under_way().filter(free)

    def _marked(self, import_id: int) -> list[list[float]]:
        """The marks by which its pace is known, without those too old, with one for now."""
        row = self.defer("sources").filter(pk=import_id).first()
        now = time.time()
        return [*[mark for mark in row.marks if mark[0] > now - _PACE_S], [now, row.done]] if row else []

    def claim(self, import_id: int, turn: int) -> bool:
        """Whether the turn was this worker's to take. Each is taken once, however often it was queued."""
        claimed = self.idle().filter(pk=import_id, turn=turn)
        return bool(
            claimed.update(
                turn=turn + 1,
                attempts=models.F("attempts") + 1,
                leased_until=Now() + _LEASE,
                state=Import.State.RUNNING,
                started=Coalesce("started", Now()),
                marks=self._marked(import_id),
            )
        )


class Import(models.Model):
    """Very many pictures that come in by themselves. gallery.ingest.background does it."""

    class Kind(models.TextChoices):
        ZIP = "zip", _("ZIP file")
        URLS = "urls", _("URLs")
        FOLDER = "folder", _("Folder")
        SAMPLE = "sample", _("Sample gallery")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        DONE = "done", _("Done")
        CANCELLED = "cancelled", _("Cancelled")
        FAILED = "failed", _("Failed")

    UNDER_WAY = (State.WAITING, State.RUNNING)
    OPEN = (*UNDER_WAY, State.PAUSED)

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="imports")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=300, help_text="A file's, a folder's, or the first URL.")
    collection = models.ForeignKey("Collection", models.SET_NULL, related_name="+", null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    sources = models.TextField(blank=True, help_text="URLs, or paths in a folder, as JSON: it holds any file name.")

    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    error = models.TextField(blank=True, help_text="Why it failed as a whole.")
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)

    total = models.PositiveIntegerField(null=True, blank=True, help_text="Empty until they are counted.")
    stored = models.PositiveIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    marks = models.JSONField(default=list, help_text="How many were done when: seconds and number, of recent minutes.")

    position = models.PositiveIntegerField(default=0, help_text="All before it are done.")
    done_ahead = ArrayField(models.PositiveIntegerField(), default=list, help_text="Done from the position on.")
    turn = models.PositiveIntegerField(default=0, help_text="Counts the workers that took it.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Turns in a row that brought nothing.")
    leased_until = models.DateTimeField(null=True, blank=True)

    objects = ImportQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["owner", "-id"], name="import_owner_newest"),
            models.Index(
                fields=["id"], name="import_open", condition=models.Q(state__in=["waiting", "running", "paused"])
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("gallery:import", args=[self.pk])

    @property
    def source_list(self) -> list[str]:
        listed: list[str] = json.loads(self.sources or "[]")
        return listed

    @property
    def is_under_way(self) -> bool:
        return self.state in self.UNDER_WAY

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def done(self) -> int:
        return self.stored + self.duplicates + self.refused

    @property
    def per_second(self) -> float | None:
        """Over the last minutes that it was worked at; None before that can be told."""
        if not self.marks or self.state == self.State.PAUSED:
            return None
        since, done_then = self.marks[0]
        took = (self.finished or timezone.now()).timestamp() - since
        is_known = self.done > done_then and (took > _PACE_LEAST_S or self.finished)
        return (self.done - done_then) / max(took, 1e-3) if is_known else None

    @property
    def time_left(self) -> timedelta | None:
        """None before that can be told."""
        rate = self.per_second
        if not self.is_under_way or self.total is None or not rate:
            return None
        return timedelta(seconds=(self.total - self.done) / rate)

    @property
    def ends(self) -> datetime | None:
        """When it may be done; None before that can be told."""
        left = self.time_left
        return None if left is None else timezone.now() + left

    def renew_lease(self) -> None:
        self.leased_until = Now() + _LEASE


class Refusal(models.Model):
    """One source of an import that was not taken."""

    run = models.ForeignKey(Import, models.CASCADE, related_name="refusals")
    position = models.PositiveIntegerField()
    source = models.TextField()
    code = models.CharField(max_length=30)
    detail = models.TextField()
    may_pass = models.BooleanField(default=False, help_text="It was no fault of its own.")
    again = models.BooleanField(default=False, help_text="It is to be tried again.")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["run", "position"], name="refusal_once")]

    def __str__(self) -> str:
        return f"{self.source}: {self.detail}"
