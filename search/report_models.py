"""Reports: many pictures searched with at once, and what was found of each. They live for a day."""

from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from gallery.models import Viewer, owns_or_manages
from search.query_models import QueryPicture
from search.verdicts import Verdict, verdict

#: As long as a picture that was uploaded to search with is kept.
LIFETIME = timedelta(days=1)


class ReportQuerySet(models.QuerySet["Report"]):
    def visible_to(self, user: Viewer) -> Self:
        """One's own, as long as they live; to staff, everybody's."""
        alive = self.filter(created__gt=timezone.now() - LIFETIME)
        if not user.is_authenticated:
            return alive.none()
        return alive if getattr(user, "is_staff", False) else alive.filter(owner=user.pk)

    def expired(self) -> Self:
        return self.filter(created__lte=timezone.now() - LIFETIME)

    def for_lists(self) -> Self:
        return self.annotate(entry_count=Count("entries")).select_related("owner").order_by("-pk")


class Report(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="reports")
    created = models.DateTimeField(auto_now_add=True, db_index=True)
    level = models.FloatField(help_text="Share of random pairs that a near match is closer than, where none is chosen.")

    objects = ReportQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{timezone.localtime(self.created):%Y-%m-%d %H:%M}"

    def get_absolute_url(self) -> str:
        return reverse("search:report", args=[self.pk])

    def may_be_edited_by(self, user: Viewer) -> bool:
        return owns_or_manages(user, self.owner_id)

    @property
    def expires(self) -> Any:
        return self.created + LIFETIME


class Entry(models.Model):
    """One picture of a report: what was found of it, or why it was refused."""

    class Match(models.TextChoices):
        """What is there of the picture itself."""

        IDENTICAL = "identical", _("Identical")
        SAME = "same", _("Same picture")

    report = models.ForeignKey(Report, models.CASCADE, related_name="entries")
    place = models.PositiveIntegerField(help_text="Among the pictures as they were given; answers come in any order.")
    name = models.CharField(max_length=300)
    url = models.TextField(blank=True, help_text="Where it was fetched from.")
    picture = models.ForeignKey(
        QueryPicture, models.SET_NULL, null=True, related_name="+", help_text="To search on with."
    )
    thumbnail = models.BinaryField(null=True, help_text="JPEG.")
    width = models.PositiveIntegerField("width (px)", default=0)
    height = models.PositiveIntegerField("height (px)", default=0)
    size_bytes = models.PositiveBigIntegerField("size (bytes)", default=0)
    match = models.CharField(max_length=10, choices=Match.choices, blank=True)
    similarity = models.FloatField(null=True, help_text="Of the best hit.")
    closer_than = models.FloatField(null=True, help_text="Share of random pairs that are further apart than these two.")
    hits = models.JSONField(default=list, help_text="Best first.")
    took_ms = models.FloatField(default=0)
    code = models.CharField(max_length=30, blank=True, help_text="Of the refusal.")
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ("place", "pk")

    def __str__(self) -> str:
        return self.name

    def verdict(self, level: float) -> Verdict:
        return verdict(self.code, self.match, self.closer_than, self.similarity, level)
