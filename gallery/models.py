"""What an asset is, and how assets are grouped."""

import json
import mimetypes
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import PurePath
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector, SearchVectorField
from django.core.validators import MinLengthValidator
from django.db import DEFAULT_DB_ALIAS, connection, models, transaction
from django.db.models.functions import Coalesce, Lower, Now, Sign
from django.urls import reverse
from django.utils import timezone

from gallery.images import SUFFIXES, SUFFIXES_OF
from gallery.metadata import MOST_KEYWORD, MOST_NAME

Viewer = AbstractBaseUser | AnonymousUser

#: What separates the words of a file name; Postgres takes "red-shoe_2.jpg" for one word.
_SEPARATORS = re.compile(r"[^\w]+|_+")
#: Tagged assets that a query names one by one. It takes 4 ms with so many, and Postgres then knows what to expect.
_MOST_NAMED = 5_000


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


_TAGS_OF = """
    SELECT link.asset_id, tag.id, tag.name
    FROM gallery_asset_tags AS link JOIN gallery_tag AS tag ON tag.id = link.tag_id
    WHERE link.asset_id = ANY(%s) ORDER BY tag.name
"""


class TagQuerySet(models.QuerySet["Tag"]):
    def named(self, names: list[str]) -> list["Tag"]:
        """The tags of those names, whatever their case; made where there are none."""
        self.bulk_create([Tag(name=name) for name in names], ignore_conflicts=True)
        # lowered by the database, here and below, as its constraint is: it and Python disagree on some letters
        return list(self.alias(key=Lower("name")).filter(key__in=[Lower(models.Value(name)) for name in names]))

    def keep_with(self, assets: Sequence["Asset"]) -> None:
        """Fetch the `tag_list` of each; prefetch_related("tags") takes two milliseconds for ten assets."""
        tags_of: dict[int, list[Tag]] = {asset.pk: [] for asset in assets}
        with connection.cursor() as cursor:
            cursor.execute(_TAGS_OF, [list(tags_of)])
            for asset_id, *values in cursor.fetchall():
                tags_of[asset_id].append(Tag.from_db(DEFAULT_DB_ALIAS, ["id", "name"], values))
        for asset in assets:
            asset.tag_list = tags_of[asset.pk]

    def ids_named(self, names: Iterable[str]) -> dict[str, int]:
        """The ids of those that there are, by the names asked for, whatever their case."""
        lowered = self.alias(key=Lower("name"))
        found = _in_one_query({name: lowered.filter(key=Lower(models.Value(name))) for name in names}, "pk")
        return {name: tag_id for name, [tag_id] in found.items()}

    def ids_beginning(self, words: Iterable[str]) -> dict[str, list[int]]:
        """The ids of those that begin with each of some words, whatever their case."""
        lowered = self.alias(key=Lower("name"))
        return _in_one_query({word: lowered.filter(key__startswith=Lower(models.Value(word))) for word in words}, "pk")


def _in_one_query(
    asked: Mapping[str, models.QuerySet[Any]], column: str, *, most: int | None = None
) -> dict[str, list[int]]:
    """What each of some queries finds in a column, `most` of each; without those that find nothing."""
    each = [
        query.order_by().annotate(asked=models.Value(key)).values_list("asked", column)[:most]
        for key, query in asked.items()
    ]
    found: dict[str, list[int]] = {}
    for key, value in each[0].union(*each[1:], all=True) if each else []:
        found.setdefault(key, []).append(value)
    return found


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

    def delete(self) -> tuple[int, dict[str, int]]:
        """With all that refers to them.

        Locked first: what begins to refer to one while Django looks for all that does (a worker claims it) would make
        the database refuse.
        """
        with transaction.atomic():
            doomed = Asset.objects.select_for_update().filter(pk__in=self.order_by().values("pk"))
            list(doomed.order_by("pk").values_list("pk"))
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]  # not for templates
    delete.queryset_only = True  # type: ignore[attr-defined]  # no method of the manager

    def tagged_all(self, names: list[str]) -> Self:
        ids = Tag.objects.ids_named(names)
        found = self if len(ids) == len(set(names)) else self.none()
        for tag_id in set(ids.values()):
            found = found.filter(_has_tag([tag_id]))
        return found

    def tagged_any(self, names: list[str]) -> Self:
        return self.filter(_has_tag(Tag.objects.ids_named(names).values()))

    def tagged_none(self, names: list[str]) -> Self:
        return self.filter(~_has_tag(Tag.objects.ids_named(names).values()))

    def oriented(self, orientation: "Asset.Orientation") -> Self:
        signs = {Asset.Orientation.PORTRAIT: -1, Asset.Orientation.SQUARE: 0, Asset.Orientation.LANDSCAPE: 1}
        return self.alias(wider=_WIDER).filter(wider=signs[orientation])

    def matching(self, text: str) -> Self:
        """Assets whose title, file name or tags hold every word of `text`, or words that begin so."""
        words = [*dict.fromkeys(word for word in _SEPARATORS.split(text) if word)]
        if not words:
            return self.none() if text.strip() else self
        return self.filter(*_holding(words))


#: 1 where the width is the larger, -1 where the height is. In an index, Postgres counts how often each occurs; of
#: `width > height` it would guess a third of all assets, of `width = height` a two-hundredth.
_WIDER = Sign(models.F("width") - models.F("height"))


def _has_tag(tag_ids: Iterable[int]) -> models.Exists:
    """By id, so that Postgres knows how often each is used."""
    return models.Exists(Asset.tags.through.objects.filter(asset=models.OuterRef("pk"), tag__in=list(tag_ids)))


def _holding(words: list[str]) -> Iterator[models.Q]:
    """A condition a word. Each is one that Postgres can estimate, and find by index.

    It can do neither with "in the title, or in a subquery": that it takes for half of all assets, and reads them all.
    """
    tags = Tag.objects.ids_beginning(words)
    uses = {word: Asset.tags.through.objects.filter(tag__in=ids) for word, ids in tags.items()}
    tagged = _in_one_query(uses, "asset_id", most=_MOST_NAMED + 1)
    for word in words:
        in_text = models.Q(words=SearchQuery(f"'{word}':*", search_type="raw", config="simple"))
        if word not in tagged:
            yield in_text
        elif len(tagged[word]) <= _MOST_NAMED:
            yield in_text | models.Q(_is_among(tagged[word]))
        else:
            texts = Asset.objects.filter(in_text).values("pk")
            yield models.Q(pk__in=texts.union(uses[word].values("asset_id")))


def _is_among(ids: list[int]) -> models.Func:
    """As an array, which Postgres reads several times as fast as the numbers that `pk__in` lists."""
    array = models.Value(ids, output_field=ArrayField(models.BigIntegerField()))
    joined = {"template": "%(expressions)s)", "arg_joiner": " = ANY("}
    return models.Func(models.F("pk"), array, output_field=models.BooleanField(), **joined)


def owns_or_manages(user: Viewer, owner_id: int | None) -> bool:
    return bool(user.is_authenticated and (user.pk == owner_id or getattr(user, "is_staff", False)))


def may_download_originals(user: Viewer) -> bool:
    """Of assets that the user sees. Whatever is written in them goes along: places, names, numbers of cameras."""
    return bool(user.is_authenticated or settings.PUBLIC_ORIGINALS)


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

    class Orientation(models.TextChoices):
        LANDSCAPE = "landscape", "Landscape"
        PORTRAIT = "portrait", "Portrait"
        SQUARE = "square", "Square"

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
    perceptual_hash = models.BigIntegerField(
        null=True, editable=False, help_text="Of its preview: 64 bits, of which copies of a picture share nearly all."
    )
    source_url = models.TextField("source", blank=True, help_text="The page or the address it was fetched from.")

    caption = models.TextField(blank=True, help_text="Here and below: as the file says.")
    keywords = ArrayField(models.CharField(max_length=MOST_KEYWORD), default=list, blank=True)
    camera = models.CharField(max_length=MOST_NAME, blank=True)
    lens = models.CharField(max_length=MOST_NAME, blank=True)
    taken = models.DateTimeField(null=True, blank=True, db_index=True)
    latitude = models.FloatField("latitude (degrees)", null=True, blank=True)
    longitude = models.FloatField("longitude (degrees)", null=True, blank=True)

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
            models.Index(fields=["width", "height", "id"], name="asset_dimensions"),  # ids are read from it alone
            models.Index(_WIDER, name="asset_orientation"),
            models.Index(fields=["size_bytes"], name="asset_size_bytes"),
        ]

    def __str__(self) -> str:
        return self.title

    @cached_property
    def tag_list(self) -> "list[Tag]":
        """As they were when first asked for."""
        return list(self.tags.all())

    @property
    def mismatch(self) -> str:
        """What to know where the file is named for another kind of content than it has; else empty."""
        suffix = os.path.splitext(self.filename)[1].lower()  # noqa: PTH122 (a page asks it of sixty assets)
        is_known = suffix in SUFFIXES or suffix in mimetypes.types_map  # what else follows a dot is no claim
        if not is_known or suffix in SUFFIXES_OF.get(self.format, ()):
            return ""
        return f"The file is named {suffix}, but its content is {self.format}."

    def get_absolute_url(self) -> str:
        return reverse("gallery:asset", args=[self.pk])

    def delete(self, using: Any = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:  # noqa: FBT001, FBT002
        """As AssetQuerySet has it."""
        with transaction.atomic():
            list(Asset.objects.select_for_update().filter(pk=self.pk).values_list("pk"))
            return super().delete(using, keep_parents)

    delete.alters_data = True  # type: ignore[attr-defined]

    def may_be_edited_by(self, user: Viewer) -> bool:
        return owns_or_manages(user, self.owner_id)

    def location_for(self, user: Viewer) -> tuple[float, float] | None:
        """Latitude and longitude, for its owner and for staff alone: it may be where somebody lives."""
        if self.latitude is None or self.longitude is None or not self.may_be_edited_by(user):
            return None
        return self.latitude, self.longitude


#: How long an import is its worker's alone. Every outcome renews it, and the slowest takes half of it.
_LEASE = timedelta(minutes=2)


class ImportQuerySet(models.QuerySet["Import"]):
    def visible_to(self, user: Viewer) -> Self:
        if not user.is_authenticated:
            return self.none()
        return self if getattr(user, "is_staff", False) else self.filter(owner=user.pk)

    def for_display(self) -> Self:
        return self.select_related("owner", "collection").defer("sources")

    def under_way(self) -> Self:
        return self.filter(state__in=Import.UNDER_WAY)

    def idle(self) -> Self:
        """Under way, and no worker's."""
        free = models.Q(leased_until=None) | models.Q(leased_until__lt=Now())
        return self.under_way().filter(free)

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
            )
        )


class Import(models.Model):
    """Very many pictures that come in by themselves. gallery.ingest.background does it."""

    class Kind(models.TextChoices):
        ZIP = "zip", "ZIP file"
        URLS = "urls", "URLs"
        FOLDER = "folder", "Folder"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Failed"

    UNDER_WAY = (State.WAITING, State.RUNNING)

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="imports")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=300, help_text="A file's, a folder's, or the first URL.")
    collection = models.ForeignKey(Collection, models.SET_NULL, related_name="+", null=True, blank=True)
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
    done_before = models.PositiveIntegerField(default=0, help_text="When it last started.")

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
            models.Index(fields=["id"], name="import_under_way", condition=models.Q(state__in=["waiting", "running"])),
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
    def done(self) -> int:
        return self.stored + self.duplicates + self.refused

    @property
    def per_second(self) -> float | None:
        """Since it last started; None before that can be told."""
        if not self.started or self.done <= self.done_before:
            return None
        took = (self.finished or timezone.now()) - self.started
        return (self.done - self.done_before) / max(took.total_seconds(), 1e-3)

    @property
    def ends(self) -> datetime | None:
        """When it may be done; None before that can be told."""
        rate = self.per_second
        if not self.is_under_way or self.total is None or not rate:
            return None
        return timezone.now() + timedelta(seconds=(self.total - self.done) / rate)

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
