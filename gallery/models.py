"""What an asset is, and how assets are grouped."""

import re
import uuid
from pathlib import PurePath
from typing import Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector, SearchVectorField
from django.core.validators import MinLengthValidator
from django.db import models
from django.db.models.functions import Lower
from django.urls import reverse

Viewer = AbstractBaseUser | AnonymousUser

#: What separates the words of a file name; Postgres takes "red-shoe_2.jpg" for one word.
_SEPARATORS = re.compile(r"[^\w]+|_+")


class Collection(models.Model):
    name = models.CharField(max_length=200)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="collections")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="collection_name_unique")]

    def __str__(self) -> str:
        return self.name

    def may_be_edited_by(self, user: Viewer) -> bool:
        return owns_or_manages(user, self.owner_id)


class TagQuerySet(models.QuerySet["Tag"]):
    def named(self, names: list[str]) -> list["Tag"]:
        """The tags of those names, whatever their case; made where there are none."""
        self.bulk_create([Tag(name=name) for name in names], ignore_conflicts=True)
        # lowered by the database, as its constraint is: it and Python disagree on some letters
        return list(self.annotate(key=Lower("name")).filter(key__in=[Lower(models.Value(name)) for name in names]))


class Tag(models.Model):
    name = models.CharField(max_length=100)

    objects = TagQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="tag_name_unique")]

    def __str__(self) -> str:
        return self.name


class AssetQuerySet(models.QuerySet["Asset"]):
    def visible_to(self, user: Viewer) -> Self:
        return self if user.is_authenticated or settings.PUBLIC_READ else self.none()

    def for_display(self) -> Self:
        """With all that a page or the API shows of an asset, in a fixed number of queries."""
        return self.select_related("owner", "collection").prefetch_related("tags")

    def counts_by_status(self) -> dict[str, int]:
        counted = dict(self.order_by().values_list("status").annotate(models.Count("pk")))
        return {status: counted.get(status, 0) for status in Asset.Status.values}

    def matching(self, text: str) -> Self:
        """Assets whose title, file name or tags hold every word of `text`, or words that begin so."""
        words = [word for word in _SEPARATORS.split(text) if word]
        if not words:
            return self.none() if text.strip() else self
        found = self
        for word in words:
            begins = SearchQuery(f"'{word}':*", search_type="raw", config="simple")
            tagged = Asset.tags.through.objects.filter(tag__name__istartswith=word).values("asset_id")
            found = found.filter(models.Q(words=begins) | models.Q(pk__in=tagged))
        return found


def owns_or_manages(user: Viewer, owner_id: int | None) -> bool:
    return bool(user.is_authenticated and (user.pk == owner_id or getattr(user, "is_staff", False)))


def _generated_name(folder: str, suffix: str) -> str:
    name = uuid.uuid4().hex
    return f"{folder}/{name[:2]}/{name[2:4]}/{name}{suffix}"


def original_name(asset: "Asset", filename: str) -> str:
    return _generated_name("originals", "")


def rendition_name(asset: "Asset", filename: str) -> str:
    return _generated_name("renditions", PurePath(filename).suffix)


def _spaced(field: str) -> models.Func:
    """The field with spaces for what separates its words."""
    return models.Func(
        models.F(field),
        models.Value(r"[\W_]+"),
        models.Value(" "),
        models.Value("g"),
        function="regexp_replace",
    )


class Asset(models.Model):
    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        READY = "ready", "Ready"
        FAILED = "failed", "Failed"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="assets")
    collection = models.ForeignKey(Collection, models.SET_NULL, related_name="assets", null=True, blank=True)
    tags = models.ManyToManyField(Tag, related_name="assets", blank=True)
    title = models.CharField(max_length=300)
    filename = models.CharField("file name", max_length=255, help_text="As uploaded.")
    created = models.DateTimeField(auto_now_add=True, db_index=True)

    original = models.FileField(upload_to=original_name, max_length=200)
    preview = models.FileField(upload_to=rendition_name, max_length=200)
    thumbnail = models.FileField(upload_to=rendition_name, max_length=200)
    sha256 = models.CharField("SHA-256", max_length=64, validators=[MinLengthValidator(64)])
    format = models.CharField(max_length=10, help_text="As its content says, not its name.", db_index=True)
    width = models.PositiveIntegerField("width (px)", help_text="Upright.")
    height = models.PositiveIntegerField("height (px)", help_text="Upright.")
    size_bytes = models.PositiveBigIntegerField("size (bytes)")

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    error = models.TextField(blank=True, help_text="Why it cannot be searched.")

    words = models.GeneratedField(
        expression=SearchVector(_spaced("title"), _spaced("filename"), config="simple"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = AssetQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sha256"], name="asset_sha256_unique")]
        indexes = [
            GinIndex(fields=["words"], name="asset_words"),
            models.Index(fields=["status", "-id"], name="asset_status_newest"),
            models.Index(fields=["collection", "-id"], name="asset_collection_newest"),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("gallery:asset", args=[self.pk])

    def may_be_edited_by(self, user: Viewer) -> bool:
        return owns_or_manages(user, self.owner_id)
