"""What an asset is, and how assets are grouped."""

import mimetypes
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import Any, NamedTuple, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector, SearchVectorField
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MinLengthValidator
from django.db import DEFAULT_DB_ALIAS, connection, models, transaction
from django.db.models.functions import Cast, Coalesce, Lower, Now, Sign
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gallery import import_models  # noqa: F401 (the app's models that stand apart)
from gallery.formats import SUFFIXES, SUFFIXES_OF
from gallery.metadata import MOST_KEYWORD, MOST_NAME
from gallery.signals import assets_leaving

Viewer = AbstractBaseUser | AnonymousUser

#: What separates the words of a file name; Postgres takes "red-shoe_2.jpg" for one word.
_SEPARATORS = re.compile(r"[^\w]+|_+")
#: Tagged assets that a query names one by one. It takes 4 ms with so many, and Postgres then knows what to expect.
_MOST_NAMED = 5_000


class CollectionQuerySet(models.QuerySet["Collection"]):
    def with_cover(self, user: Viewer) -> models.QuerySet[Any]:
        """With the id of the asset to show for it as `shown_cover`: the chosen one while it is there, or the newest."""
        own = Asset.objects.visible_to(user).filter(collection=models.OuterRef("pk")).order_by("-pk").values("pk")[:1]
        chosen = Asset.objects.visible_to(user).filter(collection=models.OuterRef("pk"), pk=models.OuterRef("cover"))
        return self.annotate(shown_cover=Coalesce(models.Subquery(chosen.values("pk")), models.Subquery(own)))

    def sizes(self, user: Viewer) -> dict[int | None, "Size"]:
        """How much they hold, by id; without those that hold nothing."""
        held = Asset.objects.visible_to(user).filter(collection__in=self.order_by().values("pk")).order_by()
        counted = held.values_list("collection").annotate(models.Count("pk"), models.Sum("size_bytes"))
        return {collection_id: Size(assets, size_bytes) for collection_id, assets, size_bytes in counted}


class Size(NamedTuple):
    assets: int = 0
    size_bytes: int = 0


class Collection(models.Model):
    name = models.CharField(max_length=200)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="collections")
    notes = models.TextField(max_length=5_000, blank=True)
    cover = models.ForeignKey(
        "Asset", models.SET_NULL, related_name="+", null=True, blank=True, help_text="Without one, the newest."
    )
    created = models.DateTimeField(auto_now_add=True)

    objects = CollectionQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="collection_name_unique")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("gallery:collection", args=[self.pk])

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

    def offered(self, text: str) -> Self:
        """Those in use whose name holds the text: first those that begin with it, the most used first."""
        begins = models.Case(models.When(name__istartswith=text, then=0), default=1)
        # all at once: looked up tag by tag, what holds an "e" took four times as long
        uses = models.Count("assets", filter=models.Q(assets__trashed=None))
        found = self.filter(name__icontains=text).annotate(uses=uses, begins=begins).filter(uses__gt=0)
        return found.order_by("begins", "-uses", Lower("name"))

    def changeable_by(self, user: Viewer) -> Self:
        """All for staff; for members those on their own assets alone: what others use is not theirs to rename."""
        if not user.is_authenticated:
            return self.none()
        uses = Asset.tags.through.objects.filter(tag=models.OuterRef("pk"))
        of_others = models.Exists(uses.exclude(asset__owner=user.pk))
        return self if getattr(user, "is_staff", False) else self.exclude(of_others)

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


def uses_of_tags() -> models.QuerySet[Any]:
    """Each tag on each asset that is kept."""
    uses: models.QuerySet[Any] = Asset.tags.through.objects.filter(asset__trashed=None)
    return uses


class Tag(models.Model):
    name = models.CharField(max_length=100)

    objects = TagQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="tag_name_unique")]

    def __str__(self) -> str:
        return self.name


class AssetQuerySet(models.QuerySet["Asset"]):
    def readable_by(self, user: Viewer) -> Self:
        """What lies in the trash included: for what never reaches a page, or says that it is there."""
        return self if user.is_authenticated or settings.PUBLIC_READ else self.none()

    def visible_to(self, user: Viewer) -> Self:
        return self.readable_by(user).kept()

    def shown_to(self, user: Viewer) -> Self:
        """What is visible, and of the trash what the user can restore."""
        return self.readable_by(user).filter(models.Q(trashed=None) | _in_trash_of(user))

    def editable_by(self, user: Viewer) -> Self:
        return self.filter(_owned_or_managed_by(user))

    def kept(self) -> Self:
        return self.filter(trashed=None)

    def among(self, asset_ids: Iterable[int]) -> Self:
        """Those of some ids, of which there may be very many."""
        return self.filter(is_among(asset_ids))

    def in_trash_of(self, user: Viewer) -> Self:
        """Their own; for staff everyone's."""
        return self.filter(_in_trash_of(user))

    def doomed(self) -> Self:
        """To be deleted for good now: its time in the trash is up, or someone emptied the trash."""
        return self.filter(trashed__isnull=False, delete_after__lte=Now())

    def for_display(self) -> Self:
        """With all that a page or the API shows of an asset, in a fixed number of queries."""
        return self.select_related("owner", "collection").prefetch_related("tags")

    def counts_by_status(self) -> dict[str, int]:
        """Of what is kept."""
        counted = dict(self.kept().order_by().values_list("status").annotate(models.Count("pk")))
        return {status: counted.get(status, 0) for status in Asset.Status.values}

    def delete(self) -> tuple[int, dict[str, int]]:
        """With all that refers to them.

        Their vectors are taken out first, or this and whoever stores one would wait for each other. Then they are
        locked: what begins to refer to one while Django looks for all that does (a worker claims it) would make the
        database refuse.
        """
        with transaction.atomic():
            if leaving := list(self.kept().order_by("pk").values_list("pk", flat=True)):
                assets_leaving.send(Asset, asset_ids=leaving)
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
        return self.alias(wider=WIDER).filter(wider=Asset.SIGNS[orientation])

    def arranged(self) -> Self:
        """Of one collection, in the order that people gave it: by `place`, and newest first where they gave none."""
        return self.annotate(place=_PLACE).order_by("place", "-pk")

    def matching(self, text: str) -> Self:
        """Assets whose title, file name or tags hold every word of `text`, or words that begin so."""
        words = [*dict.fromkeys(word for word in _SEPARATORS.split(text) if word)]
        if not words:
            return self.none() if text.strip() else self
        return self.filter(*_holding(words))


def _owned_or_managed_by(user: Viewer) -> models.Q:
    """As `owns_or_manages`, of rows."""
    return models.Q() if getattr(user, "is_staff", False) else models.Q(owner=user.pk)


def _in_trash_of(user: Viewer) -> models.Q:
    return models.Q(trashed__isnull=False, delete_after__gt=Now()) & _owned_or_managed_by(user)


#: 1 where the width is the larger, -1 where the height is. In an index, Postgres counts how often each occurs; of
#: `width > height` it would guess a third of all assets, of `width = height` a two-hundredth.
WIDER = Sign(models.F("width") - models.F("height"))
#: What assets are put in order by, beside fields.
TAKEN_OR_STORED = Coalesce("taken", "created")
TITLE_LOWERED = Lower("title")
PIXELS = Cast("width", models.BigIntegerField()) * Cast("height", models.BigIntegerField())


#: Within its collection. Who was given none there stands by its age, newest first, however it came and left.
_PLACE = models.Case(
    models.When(placed_in=models.F("collection"), then=models.F("given_place")),
    default=models.Value(-1.0) * Cast("id", models.FloatField()),
    output_field=models.FloatField(),
)


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
            yield in_text | models.Q(is_among(tagged[word]))
        else:
            texts = Asset.objects.filter(in_text).values("pk")
            yield models.Q(pk__in=texts.union(uses[word].values("asset_id")))


def is_among(ids: Iterable[int], column: str = "pk") -> models.Func:
    """As an array, which Postgres reads several times as fast as the numbers that `pk__in` lists."""
    array = models.Value(list(ids), output_field=ArrayField(models.BigIntegerField()))
    joined = {"template": "%(expressions)s)", "arg_joiner": " = ANY("}
    return models.Func(models.F(column), array, output_field=models.BooleanField(), **joined)


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
        PENDING = "pending", _("Pending")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")

    class Orientation(models.TextChoices):
        LANDSCAPE = "landscape", _("Landscape")
        PORTRAIT = "portrait", _("Portrait")
        SQUARE = "square", _("Square")

    #: What WIDER is for each.
    SIGNS = {Orientation.PORTRAIT: -1, Orientation.SQUARE: 0, Orientation.LANDSCAPE: 1}

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="assets")
    collection = models.ForeignKey(Collection, models.SET_NULL, related_name="assets", null=True, blank=True)
    placed_in = models.BigIntegerField(
        null=True, editable=False, help_text="The collection in which it has the place below; in another it has none."
    )
    given_place = models.FloatField(null=True, editable=False, help_text="Less is earlier. gallery.arranging gives it.")
    tags = models.ManyToManyField(Tag, related_name="assets", blank=True)
    title = models.CharField(max_length=300)
    filename = models.CharField("file name", max_length=255, help_text="As uploaded.")
    created = models.DateTimeField(auto_now_add=True)

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

    trashed = models.DateTimeField("in the trash since", null=True, editable=False)
    trashed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, related_name="+", null=True, editable=False
    )
    delete_after = models.DateTimeField("deleted for good after", null=True, editable=False)

    words = models.GeneratedField(
        expression=SearchVector(_spaced("title"), _spaced("filename"), config="simple"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = AssetQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sha256"], name="asset_sha256_unique"),
            models.CheckConstraint(
                condition=models.Q(trashed=None, delete_after=None)
                | models.Q(trashed__isnull=False, delete_after__isnull=False),
                name="asset_trashed_until",
            ),
        ]
        indexes = [
            GinIndex(fields=["words"], name="asset_words"),
            # with `trashed`, so that counting what is kept reads no rows
            models.Index(fields=["status", "-id"], include=["trashed"], name="asset_status_newest"),
            models.Index(fields=["collection", "-id"], include=["trashed"], name="asset_collection_newest"),
            models.Index(fields=["-trashed", "-id"], condition=models.Q(trashed__isnull=False), name="asset_trash"),
            models.Index(models.F("collection"), _PLACE, name="asset_place"),
            models.Index(fields=["width", "height", "id"], name="asset_dimensions"),  # ids are read from it alone
            models.Index(WIDER, name="asset_orientation"),
            models.Index(fields=["created", "id"], name="asset_by_created"),
            models.Index(TAKEN_OR_STORED, "id", name="asset_by_taken"),
            models.Index(TITLE_LOWERED, "id", name="asset_by_title"),
            models.Index(fields=["size_bytes", "id"], name="asset_by_size"),
            models.Index(PIXELS, "id", name="asset_by_pixels"),
        ]

    def __str__(self) -> str:
        return self.title

    @cached_property
    def tag_list(self) -> "list[Tag]":
        """As they were when first asked for."""
        return list(self.tags.all())

    @cached_property
    def uploader(self) -> str:
        """The name of the first owner, who may be gone by now."""
        handed_over = self.changes.filter(kind=Change.Kind.OWNER).order_by("pk")
        former: str | None = handed_over.values_list("before__name", flat=True).first()
        return former or self.owner.get_username()

    @property
    def mismatch(self) -> str:
        """What to know where the file is named for another kind of content than it has; else empty."""
        suffix = os.path.splitext(self.filename)[1].lower()  # noqa: PTH122 (a page asks it of sixty assets)
        is_known = suffix in SUFFIXES or suffix in mimetypes.types_map  # what else follows a dot is no claim
        if not is_known or suffix in SUFFIXES_OF.get(self.format, ()):
            return ""
        told = gettext("The file is named %(suffix)s, but its content is %(format)s.")
        return told % {"suffix": suffix, "format": self.format}

    def get_absolute_url(self) -> str:
        return reverse("gallery:asset", args=[self.pk])

    #: Long edges of the JPEGs that are made of an original for a download.
    SIZES_PX = (2000, 1000, 500)

    @property
    def smaller_sizes_px(self) -> list[int]:
        return [size for size in self.SIZES_PX if size < max(self.width, self.height)]

    def delete(self, using: Any = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:  # noqa: FBT001, FBT002
        """As AssetQuerySet has it."""
        with transaction.atomic():
            if not self.trashed:
                assets_leaving.send(Asset, asset_ids=[self.pk])
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


class Change(models.Model):
    """What someone did to an asset. `gallery.history` writes them; that it was uploaded, its own row tells."""

    class Kind(models.TextChoices):
        TITLE = "title", _("Title")
        TAGS = "tags", _("Tags")
        COLLECTION = "collection", _("Collection")
        TRASHED = "trashed", _("Moved to the trash")
        RESTORED = "restored", _("Restored")
        PLACE = "place", _("Moved within its collection")
        OWNER = "owner", _("Given another owner")

    asset = models.ForeignKey(Asset, models.CASCADE, related_name="changes", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, related_name="+", null=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    #: Shared by what was changed at one stroke, and undone at one.
    act = models.UUIDField(db_index=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    #: A title; the names of tags, removed and added; {"id", "name"} of a collection or an owner; a place in a
    #: collection, {"collection", "place"}. None where there was none.
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["asset", "-id"], name="change_of_asset")]

    def __str__(self) -> str:
        return f"{self.asset}: {self.get_kind_display()}"


class TagChange(models.Model):
    """What someone did to a tag: what it takes to undo that, beside the changes of its assets by the same act."""

    act = models.UUIDField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, related_name="+", null=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    tag_id = models.BigIntegerField()  # it may be there no more
    before = models.CharField(max_length=100)
    #: Its new name, or that of the tag it was merged into.
    after = models.CharField(max_length=100, blank=True)
    #: What named it beside assets: rules of searches, say. As Django's serializers tell of rows.
    named_by = models.JSONField(default=list, encoder=DjangoJSONEncoder)
    is_undone = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.before}: {self.after}"
