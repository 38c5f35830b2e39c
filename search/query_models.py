"""Pictures from outside that were searched with, and searches that people saved.

Such a picture is kept for a day, so that the address of a search finds it again; one of a saved search as long as that.
"""

import secrets
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone

from gallery.models import rendition_name

#: How long a picture from outside can be searched with by its id.
LIFETIME = timedelta(days=1)
#: What the id of a query picture looks like: the letter tells it from an asset's, which is a number.
KEY_PATTERN = r"q[-\w]{20}"


def new_key() -> str:
    """120 bits that nobody can guess: who has the id may see the picture."""
    return f"q{secrets.token_urlsafe(15)}"


def in_a_day() -> datetime:
    return timezone.now() + LIFETIME


class QueryPictureQuerySet(models.QuerySet["QueryPicture"]):
    def saved(self) -> Self:
        """Those of saved searches."""
        uses = SavedSearch.pictures.through.objects.filter(querypicture=models.OuterRef("pk"))
        return self.filter(models.Exists(uses))

    def alive(self) -> Self:
        return self.filter(models.Q(expires__gt=timezone.now()) | models.Q(pk__in=self.saved().values("pk")))

    def expired(self) -> Self:
        return self.filter(expires__lte=timezone.now()).exclude(pk__in=self.saved().values("pk"))

    def of_strangers(self) -> Self:
        return self.filter(owner=None).exclude(pk__in=self.saved().values("pk"))


class QueryPicture(models.Model):
    """Its preview alone is kept, which is all that an encoder would see of the file."""

    key = models.CharField(primary_key=True, max_length=21, default=new_key, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        related_name="query_pictures",
        null=True,
        help_text="Empty: somebody who was not signed in.",
    )
    name = models.CharField(max_length=255)
    sha256 = models.CharField("SHA-256", max_length=64, help_text="Of the file it came as.")
    preview = models.FileField(upload_to=rendition_name, max_length=200)
    width = models.PositiveIntegerField("width (px)", help_text="Of the file, upright.")
    height = models.PositiveIntegerField("height (px)", help_text="Of the file, upright.")
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(default=in_a_day, db_index=True)

    objects = QueryPictureQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["owner", "sha256"], name="querypicture_owner_sha256")]

    def __str__(self) -> str:
        return self.name


class SavedSearch(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_searches")
    name = models.CharField(max_length=200)
    query = models.TextField(help_text="As its address has it.")
    pictures = models.ManyToManyField(QueryPicture, related_name="saved_searches", blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "saved searches"
        constraints = [models.UniqueConstraint("owner", Lower("name"), name="saved_search_name_unique")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"{reverse('search:search')}?{self.query}"
