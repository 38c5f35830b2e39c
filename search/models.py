"""Encoders, the vectors they made, the indexes built over those and how well they find."""

from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import connection, models, transaction
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import GreaterThan, LessThan
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from pgvector.django import HalfVectorField

from gallery.models import Asset, Collection, Tag, Viewer
from search import encoders, heads, kinds, report_models  # noqa: F401 (the app's models that stand apart)
from search.encoders import EncoderSpec, EncoderUnavailable, ImageEncoder
from search.query_models import QueryPicture, SavedSearch  # noqa: F401 (so that Django knows them)
from search.tuned import Tuning
from search.vectors import FloatArray

#: Times that embedding a picture is tried before it counts as failed.
MAX_ATTEMPTS = 3


class EncoderQuerySet(models.QuerySet["Encoder"]):
    def for_spec(self, spec: EncoderSpec) -> "Encoder":
        """The row that stands for the spec, made where there is none."""
        return self.get_or_create(
            name=spec.name,
            revision=spec.revision,
            dimensions=spec.dimensions,
            preprocessing=spec.preprocessing,
        )[0]

    def active(self) -> "Encoder | None":
        return self.filter(is_active=True).first()

    def embedding(self) -> "Encoder | None":
        """The one that serves, unless somebody has paused it."""
        return self.filter(is_active=True, work=Encoder.Work.FILL).first()

    def filling(self) -> Self:
        """What workers embed with beside the one that serves, the first to be finished first."""
        return self.filter(is_active=False, work=Encoder.Work.FILL).order_by("pk")

    def retiring(self) -> Self:
        return self.filter(work=Encoder.Work.RETIRE).order_by("pk")

    def with_counts(self) -> Self:
        """With `asset_count`, `embedded_count`, `failed_count`, and the build that serves in `serving_builds`.

        All of an encoder's embeddings are counted by one index, and the few without a vector by another: to look at
        each row for its vector is to read the whole table.
        """
        own = Embedding.objects.filter(encoder=OuterRef("pk"))
        assets = Asset.objects.kept().order_by().annotate(every=models.Value(1)).values("every")
        serving = IndexBuild.objects.filter(state=IndexBuild.State.READY)
        return self.annotate(
            asset_count=_or_none(assets.annotate(count=Count("pk"))),
            failed_count=_counted(own.failed()),
            embedded_count=_counted(own) - _counted(own.filter(vector=None)),
        ).prefetch_related(models.Prefetch("index_builds", serving, to_attr="serving_builds"))


def _counted(own: models.QuerySet["Embedding"]) -> Coalesce:
    return _or_none(own.order_by().values("encoder").annotate(count=Count("pk")))


def _or_none(counted: models.QuerySet[Any, Any]) -> Coalesce:
    """None at all makes no group, and so no count."""
    return Coalesce(Subquery(counted.values("count")), 0)


class Encoder(models.Model):
    """An encoder at a revision. Vectors of two rows are never compared."""

    class Work(models.TextChoices):
        """What workers do with it."""

        PAUSED = "paused", _("Nothing")
        FILL = "fill", _("Embed what has no vector by it yet")
        RETIRE = "retire", _("Delete it and all it made")

    name = models.CharField(max_length=100)
    revision = models.CharField(max_length=100, help_text="Of the weights.")
    dimensions = models.PositiveIntegerField()
    preprocessing = models.PositiveIntegerField(help_text="Version of how a picture is made ready.")
    is_active = models.BooleanField("serves searches", default=False)
    activated = models.DateTimeField(null=True, editable=False, help_text="When it last began to serve.")
    work = models.CharField(max_length=10, choices=Work.choices, default=Work.PAUSED)
    dtype = models.CharField(max_length=20, blank=True, help_text="What its arithmetic ran in when it last embedded.")
    images_per_s = models.FloatField("images/s", null=True, help_text="As last measured while it embedded.")
    error = models.TextField(blank=True, help_text="Why workers could not embed with it the last time they tried.")
    index_kind = models.CharField(
        max_length=20, blank=True, choices=kinds.CHOICES, help_text="Chosen by command; empty: INDEX_KIND decides."
    )
    created = models.DateTimeField(auto_now_add=True)

    objects = EncoderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name", "revision", "dimensions", "preprocessing"], name="encoder_identity_unique"
            ),
            models.UniqueConstraint(fields=["is_active"], condition=Q(is_active=True), name="encoder_one_active"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_head(self) -> bool:
        """Whether it is another encoder with a projection that was learned here."""
        return HEAD_SIGN in self.name

    def load(self) -> ImageEncoder:
        """What makes this row's vectors. Raises EncoderUnavailable."""
        if self.has_head:
            return _with_head(self.pk)
        spec = encoders.spec(self.name)
        if (spec.revision, spec.dimensions, spec.preprocessing) != (
            self.revision,
            self.dimensions,
            self.preprocessing,
        ):
            named = {"name": self.name}
            raise EncoderUnavailable(
                gettext_noop("The vectors were made by another version of %(name)s than this one.") % named,
                gettext_noop("Make them anew with: manage.py embed --encoder %(name)s") % named,
            )
        return encoders.load(self.name)

    def activate(self) -> None:
        """Let this encoder serve, and say of every asset what it is to this one, in one transaction.

        What served goes on getting what is uploaded, so that going back to it loses nothing. Raises DoesNotExist
        where it is being retired.
        """
        with transaction.atomic():
            rows = {row.pk: row for row in Encoder.objects.select_for_update().order_by("pk")}
            if self.pk not in rows or rows[self.pk].work == Encoder.Work.RETIRE:
                raise Encoder.DoesNotExist(gettext_noop("%(encoder)s is being retired.") % {"encoder": self})
            replaced = Encoder.objects.filter(is_active=True).exclude(pk=self.pk)
            replaced.update(is_active=False, work=Encoder.Work.FILL)
            work = rows[self.pk].work if rows[self.pk].is_active else Encoder.Work.FILL
            Encoder.objects.filter(pk=self.pk).update(is_active=True, work=work, activated=Now())
            self._say_of_assets()
        self.refresh_from_db()

    def _say_of_assets(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_SAY_OF_ASSETS.format(those=""), {"encoder": self.pk})

    def say_of(self, asset_ids: list[int]) -> None:
        """Say of some assets what they are to this encoder, which serves."""
        those = _SAY_OF_ASSETS.format(those="WHERE asset.id = ANY(%(assets)s)")
        with connection.cursor() as cursor:
            cursor.execute(those, {"encoder": self.pk, "assets": asset_ids})


#: In the name of an encoder with a head, between the name of what it is made from and its own.
HEAD_SIGN = "~"


class Head(models.Model):
    """A projection learned from the gallery's labels, on top of another encoder's vectors (see heads.py)."""

    encoder = models.OneToOneField(Encoder, models.CASCADE, primary_key=True, related_name="head")
    base = models.ForeignKey(Encoder, models.PROTECT, related_name="heads")
    matrix = models.BinaryField(help_text="float32, (dimensions of the base, dimensions), by rows.")
    learned = models.JSONField(default=dict, help_text="From what, how, and what it gained on pictures held out.")
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.encoder)

    @property
    def projection(self) -> FloatArray:
        """(dimensions of the base, dimensions) float32."""
        return np.frombuffer(bytes(self.matrix), np.float32).reshape(self.base.dimensions, self.encoder.dimensions)


@lru_cache(maxsize=4)
def _with_head(encoder_id: int) -> ImageEncoder:
    """One for all who ask, as with other encoders; a head's projection never changes."""
    head = Head.objects.select_related("encoder", "base").get(pk=encoder_id)
    return heads.Headed(head.base.load(), head.projection)


#: What an asset is to an encoder. Of those of which something else was said: most of a gallery is ready by either
#: encoder, and to write an asset anew takes tens of times as long as to look at it. The few embeddings without a
#: vector have an index; to look at all the others for theirs would be to read the whole table.
_SAY_OF_ASSETS = """
    WITH told AS (
        SELECT asset.id, coalesce(bare.error, '') AS error, CASE
            WHEN tried.asset_id IS NULL THEN 'pending'
            WHEN bare.asset_id IS NULL THEN 'ready'
            WHEN bare.error = '' THEN 'pending'
            ELSE 'failed' END AS status
        FROM gallery_asset AS asset
        LEFT JOIN search_embedding AS tried ON tried.asset_id = asset.id AND tried.encoder_id = %(encoder)s
        LEFT JOIN search_embedding AS bare
            ON bare.asset_id = asset.id AND bare.encoder_id = %(encoder)s AND bare.vector IS NULL
        {those}
    )
    UPDATE gallery_asset AS asset SET status = told.status, error = told.error FROM told
    WHERE told.id = asset.id AND (told.status, told.error) <> (asset.status, asset.error)
"""


class _BeforeColon(models.Func):
    function, template = "split_part", "%(function)s(%(expressions)s, ': ', 1)"
    output_field = models.TextField()


class EmbeddingQuerySet(models.QuerySet["Embedding"]):
    def embedded(self) -> Self:
        return self.filter(vector__isnull=False)

    def failed(self) -> Self:
        return self.filter(vector=None).exclude(error="")

    def visible_to(self, user: Viewer) -> Self:
        """Of one's own assets; staff see those of all."""
        if not user.is_authenticated:
            return self.none()
        return self if getattr(user, "is_staff", False) else self.filter(asset__owner=user.pk)

    def with_reason(self) -> "models.QuerySet[Any]":
        """With why it failed as `reason`: the error up to its colon, behind which it tells of one picture."""
        return self.annotate(reason=_BeforeColon("error"))

    def given_up(self) -> Self:
        """Tried as often as allowed, by a process that never came back to say how it went."""
        return self.filter(vector=None, error="", attempts__gte=MAX_ATTEMPTS, claimed_until__lt=Now())

    def abandoned(self) -> Self:
        """Claimed by a process that has not finished in time."""
        return self.filter(vector=None, error="", attempts__lt=MAX_ATTEMPTS, claimed_until__lt=Now())


class Norm(models.Func):
    """Length of a halfvec, a double (pgvector's l2_norm)."""

    function = "l2_norm"
    output_field = models.FloatField()


class Embedding(models.Model):
    """An asset's vector by one encoder; while `vector` is empty, a claim to make it."""

    asset = models.ForeignKey(Asset, models.CASCADE, related_name="embeddings")
    encoder = models.ForeignKey(Encoder, models.CASCADE, related_name="embeddings")
    vector = HalfVectorField(null=True, editable=False)  # no fixed length: each encoder has its own
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_until = models.DateTimeField()
    error = models.TextField(blank=True)
    embedded_at = models.DateTimeField(null=True, editable=False)

    objects = EmbeddingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["asset", "encoder"], name="embedding_unique"),
            # A zero vector would vanish from a cosine index without a word; half precision keeps 3 digits.
            models.CheckConstraint(
                condition=Q(vector=None) | GreaterThan(Norm("vector"), 0.99) & LessThan(Norm("vector"), 1.01),
                name="embedding_unit_length",
            ),
            models.CheckConstraint(condition=Q(vector=None) | Q(error=""), name="embedding_vector_or_error"),
        ]
        indexes = [
            models.Index(fields=["encoder", "claimed_until"], condition=Q(vector=None), name="embedding_unfinished"),
            # for how many were made lately; rows come about in the order of time, so that it is small and cheap to keep
            BrinIndex(fields=["embedded_at"], autosummarize=True, name="embedding_made"),
        ]

    def __str__(self) -> str:
        return f"{self.asset} by {self.encoder}"


class Shelved(models.Model):
    """What an asset in the trash was to an encoder, until it comes back; see shelf.py."""

    asset = models.ForeignKey(Asset, models.CASCADE, related_name="shelved", db_index=False)
    encoder = models.ForeignKey(Encoder, models.CASCADE, related_name="shelved")
    vector = HalfVectorField(null=True)
    attempts = models.PositiveSmallIntegerField()
    error = models.TextField()
    embedded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["asset", "encoder"], name="shelved_unique")]

    def __str__(self) -> str:
        return f"{self.asset} by {self.encoder}"


class IndexBuildQuerySet(models.QuerySet["IndexBuild"]):
    def serving(self, encoder: Encoder) -> "IndexBuild | None":
        return self.filter(encoder=encoder, state=IndexBuild.State.READY).first()

    def beside(self) -> Self:
        return self.filter(state=IndexBuild.State.BESIDE)

    def paused(self) -> Self:
        return self.filter(state=IndexBuild.State.PAUSED)

    def failed_in_a_row(self, encoder: Encoder, kind: str) -> Self:
        """Builds of a kind that failed since one of them served, the last first; not those ended by something else."""
        own = self.filter(encoder=encoder, kind=kind, is_to_compare=False).order_by("-pk")
        served = own.filter(state__in=[IndexBuild.State.READY, IndexBuild.State.REPLACED]).values("pk")[:1]
        failed = own.filter(state=IndexBuild.State.FAILED, pk__gt=Coalesce(models.Subquery(served), 0))
        return failed.exclude(error__in=[IndexBuild.INTERRUPTED, IndexBuild.PAUSED])

    def coded(self, encoder: Encoder) -> Self:
        """Builds that find candidates by codes, and need those of new vectors."""
        alive = [IndexBuild.State.BUILDING, IndexBuild.State.READY, IndexBuild.State.BESIDE]
        return self.filter(encoder=encoder, state__in=alive, projection__isnull=False).select_related("encoder")


class IndexBuild(models.Model):
    """One build of a vector index, measured before it serves."""

    class State(models.TextChoices):
        BUILDING = "building", _("Building")
        READY = "ready", _("Serving")
        BESIDE = "beside", _("Kept to compare")
        REPLACED = "replaced", _("Replaced")
        PAUSED = "paused", _("Paused")
        FAILED = "failed", _("Failed")

    encoder = models.ForeignKey(Encoder, models.CASCADE, related_name="index_builds")
    kind = models.CharField(max_length=20, default=kinds.DEFAULT, choices=kinds.CHOICES)
    state = models.CharField(max_length=10, choices=State.choices, default=State.BUILDING)
    is_to_compare = models.BooleanField("to compare", default=False, help_text="Was never meant to serve.")
    rows = models.PositiveBigIntegerField(help_text="Embeddings there were when it was built.")
    parameters = models.JSONField(default=dict, help_text="What it was built with.")
    tuning = models.JSONField(null=True, help_text="What it is searched with, and what that was measured to cost.")
    recall = models.FloatField(null=True, help_text="Share of the true ten nearest that it finds, as last measured.")
    started = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    INTERRUPTED = gettext_noop("The build was interrupted.")
    CANCELLED = gettext_noop("The build was cancelled.")
    PAUSED = gettext_noop("The build was paused.")

    objects = IndexBuildQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["encoder"], condition=Q(state="ready"), name="index_build_one_serving"),
            models.UniqueConstraint(
                fields=["encoder", "kind"], condition=Q(state="beside"), name="index_build_one_beside"
            ),
        ]
        ordering = ["-started"]

    def __str__(self) -> str:
        return f"{self.kind} of {self.encoder}, {self.started:%Y-%m-%d %H:%M}"

    @property
    def index_name(self) -> str:
        return f"embedding_{self.kind}_{self.pk}"

    @property
    def tuned(self) -> Tuning | None:
        return Tuning.from_json(self.tuning) if self.tuning else None

    @property
    def summary(self) -> dict[str, int]:
        """What it was built with, one number each."""
        return {name: sum(one) if isinstance(one, list) else one for name, one in self.parameters.items()}

    @cached_property
    def last_check(self) -> "Measurement | None":
        return self.measurements.filter(purpose=Measurement.Purpose.CHECK).first()

    @property
    def plan(self) -> "kinds.Plan":
        """What its kind needs to know of it."""
        return kinds.Plan(
            self.pk, self.encoder_id, self.encoder.dimensions, self.index_name, self.rows, self.parameters
        )


class Projection(models.Model):
    """How a build makes a compact code of a vector. From when it is stored, new embeddings get their codes."""

    build = models.OneToOneField(IndexBuild, models.CASCADE, primary_key=True)
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"Projection of {self.build}"


class VarBitField(models.Field[Any, Any]):
    """Bits, of any number; pgvector's own field has a fixed one."""

    def db_type(self, connection: Any) -> str:
        return "varbit"


class Code(models.Model):
    """The compact code of an asset's vector in one build, by which candidates are found.

    The vector stands beside it, so that ranking the candidates takes no second look-up for each.
    """

    build = models.ForeignKey(IndexBuild, models.CASCADE, related_name="codes", db_index=False)
    asset = models.ForeignKey(Asset, models.CASCADE, related_name="codes", db_index=False)
    reduced = HalfVectorField(null=True)
    bits = VarBitField(null=True)
    part = models.PositiveSmallIntegerField(help_text="The group of vectors that it is in.")
    vector = HalfVectorField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["asset", "build"], name="code_unique")]

    def __str__(self) -> str:
        return f"{self.asset} in {self.build}"


class Measurement(models.Model):
    """How well an index found, and how fast, at some moment."""

    class Purpose(models.TextChoices):
        TUNING = "tuning", _("Tuning")  # one of the settings tried
        CHECK = "check", _("Check")  # the setting that serves

    encoder = models.ForeignKey(Encoder, models.CASCADE, related_name="measurements")
    build = models.ForeignKey(IndexBuild, models.CASCADE, related_name="measurements")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    taken = models.DateTimeField(auto_now_add=True)
    rows = models.PositiveBigIntegerField(help_text="Embeddings there were.")
    kind = models.CharField(max_length=20, choices=kinds.CHOICES)
    parameters = models.JSONField(help_text="What the index was built and searched with.")
    recall = models.FloatField(help_text="Share of the true ten nearest found, over sampled stored vectors.")
    recall_recent = models.FloatField(null=True, help_text="The same over recent queries.")
    recall_filtered = models.FloatField(null=True, help_text="The same under filters, the worst of several.")
    p50_ms = models.FloatField("p50 (ms)", help_text="Half of the searches took no longer.")

    class Meta:
        ordering = ["-taken"]
        indexes = [models.Index(fields=["build", "purpose", "-taken"], name="measurement_latest")]

    def __str__(self) -> str:
        return f"{self.kind}, {self.taken:%Y-%m-%d %H:%M}"


class Evaluation(models.Model):
    """What one way to search came to on a labelled problem, kept so that two dates can be compared."""

    taken = models.DateTimeField(auto_now_add=True)
    problem = models.CharField(max_length=300, help_text="The folder's name, or how the gallery was labelled.")
    encoder = models.CharField(max_length=100)
    revision = models.CharField(max_length=100)
    metric = models.CharField(max_length=20)
    index = models.CharField(max_length=20, help_text="The kind of index, or exact.")
    protocol = models.CharField(max_length=30)
    queries = models.PositiveBigIntegerField()
    database = models.PositiveBigIntegerField("pictures")
    metrics = models.JSONField(help_text="Means over queries, by measure.")
    intervals = models.JSONField(help_text="95 % bootstrap intervals of these.")
    classes = models.JSONField(help_text="The means of each class.")
    notes = models.JSONField(default=list)

    class Meta:
        ordering = ["-taken", "-pk"]

    def __str__(self) -> str:
        index = "" if self.index == kinds.EXACT else f", {self.index}"
        how = f"{self.encoder} {self.revision[:12]}, {self.metric}{index}, {self.protocol}"
        return f"{self.problem} by {how}, {self.taken:%Y-%m-%d %H:%M}"


class PreferenceQuerySet(models.QuerySet["Preference"]):
    def between(self, one: str, other: str) -> Self:
        first, second = sorted([one, other])
        return self.filter(first=first, second=second)

    def tallies(self) -> "models.QuerySet[Any, Any]":
        """Of each pair that was compared, how often either was the better: pairs with most marks first."""
        return (
            self.order_by()
            .values("first", "second")
            .annotate(
                first_count=Count("pk", filter=Q(better=F("first"))),
                second_count=Count("pk", filter=Q(better=F("second"))),
                alike_count=Count("pk", filter=Q(better="")),
                marks=Count("pk"),
                blind_marks=Count("pk", filter=Q(is_blind=True)),
                people=Count("user", distinct=True),
            )
            .order_by("-marks", "first", "second")
        )


class Preference(models.Model):
    """Which of two ways to search somebody found the better for a picture.

    By what they are, not by row: it tells of them long after one was retired, and of no other that has its name.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="preferences")
    query_sha256 = models.CharField("query", max_length=64, help_text="SHA-256 of the picture searched with.")
    first = models.CharField(max_length=200, help_text="An encoder, its version, and a kind of index.")
    second = models.CharField(max_length=200, help_text="The other, in the order of their letters.")
    better = models.CharField(max_length=200, blank=True, help_text="One of the two; empty where both are alike.")
    is_blind = models.BooleanField("blind", help_text="Marked before it was told which was which.")
    marked = models.DateTimeField(auto_now=True)

    objects = PreferenceQuerySet.as_manager()

    class Meta:
        ordering = ["-marked"]
        constraints = [
            models.UniqueConstraint(fields=["user", "query_sha256", "first", "second"], name="preference_once"),
            models.CheckConstraint(condition=~Q(first=F("second")), name="preference_of_two"),
            models.CheckConstraint(
                condition=Q(better="") | Q(better=F("first")) | Q(better=F("second")), name="preference_of_these"
            ),
        ]
        indexes = [models.Index(fields=["first", "second"], name="preference_pair")]

    def __str__(self) -> str:
        return f"{self.first} or {self.second}: {self.better or 'alike'}"


class RecentQuery(models.Model):
    """The vector of a picture that was searched with: what an index must be good at. Nothing of the picture."""

    encoder = models.ForeignKey(Encoder, models.CASCADE, related_name="recent_queries")
    vector = HalfVectorField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["encoder", "-id"], name="recent_query_newest")]

    def __str__(self) -> str:
        return f"{self.encoder}, {self.created:%Y-%m-%d %H:%M:%S}"


class Calibration(models.Model):
    """How far random pairs of the gallery are apart: what a distance is worth here."""

    encoder = models.ForeignKey(Encoder, models.CASCADE, related_name="calibrations")
    metric = models.CharField(max_length=20)
    rows = models.PositiveBigIntegerField(help_text="Embeddings there were.")
    taken = models.DateTimeField(auto_now=True)
    distances = models.JSONField(help_text="Quantiles of the distance of random pairs, ascending.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["encoder", "metric"], name="calibration_unique")]

    def __str__(self) -> str:
        return f"{self.metric} by {self.encoder}"


class RuleQuerySet(models.QuerySet["Rule"]):
    def enabled(self) -> Self:
        return self.filter(is_enabled=True)


class Rule(models.Model):
    """What is done to hits that bear a tag or lie in a collection, after the vectors have spoken."""

    class Action(models.TextChoices):
        PIN = "pin", _("Pin: above all others")
        BOOST = "boost", _("Boost: add to the similarity")
        HIDE = "hide", _("Hide: leave out")

    action = models.CharField(max_length=10, choices=Action.choices)
    tag = models.ForeignKey(Tag, models.CASCADE, null=True, blank=True, related_name="rules")
    collection = models.ForeignKey(Collection, models.CASCADE, null=True, blank=True, related_name="rules")
    amount = models.FloatField(
        default=0.0, help_text="For a boost: what is added to the similarity, -1 to 1; below 0 it lowers."
    )
    is_enabled = models.BooleanField(default=True)
    note = models.CharField(max_length=200, blank=True, help_text="Why, for whoever looks later.")
    created = models.DateTimeField(auto_now_add=True)

    objects = RuleQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(tag=None, collection__isnull=False) | Q(tag__isnull=False, collection=None),
                name="rule_tag_or_collection",
                violation_error_message=_("Choose either a tag or a collection."),
            ),
            models.CheckConstraint(
                condition=Q(amount__gte=-1, amount__lte=1),
                name="rule_amount_within_one",
                violation_error_message=_("The amount must be from -1 to 1."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} ({self.tag or self.collection})"
