"""Encoders, the vectors they made, and the indexes built over those."""

from datetime import datetime
from typing import Self

from django.db import models, transaction
from django.db.models import OuterRef, Q
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import GreaterThan, LessThan
from pgvector.django import HalfVectorField

from gallery.models import Asset
from search import encoders
from search.encoders import EncoderSpec, EncoderUnavailable, ImageEncoder

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


class Encoder(models.Model):
    """An encoder at a revision. Vectors of two rows are never compared."""

    name = models.CharField(max_length=100)
    revision = models.CharField(max_length=100, help_text="Of the weights.")
    dimensions = models.PositiveIntegerField()
    preprocessing = models.PositiveIntegerField(help_text="Version of how a picture is made ready.")
    is_active = models.BooleanField("serves searches", default=False)
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

    def load(self) -> ImageEncoder:
        """What makes this row's vectors. Raises EncoderUnavailable."""
        spec = encoders.spec(self.name)
        if (spec.revision, spec.dimensions, spec.preprocessing) != (
            self.revision,
            self.dimensions,
            self.preprocessing,
        ):
            raise EncoderUnavailable(
                f"The vectors were made by another version of {self.name} than this one.",
                f"Make them anew with: manage.py embed --encoder {self.name}",
            )
        return encoders.load(self.name)

    def activate(self) -> None:
        """Let this encoder serve, and say of every asset what it is to this one, in one transaction."""
        with transaction.atomic():
            Encoder.objects.select_for_update().filter(is_active=True).exclude(pk=self.pk).update(is_active=False)
            Encoder.objects.filter(pk=self.pk).update(is_active=True)
            own = Embedding.objects.filter(asset=OuterRef("pk"), encoder=self)
            Asset.objects.update(
                status=models.Case(
                    models.When(models.Exists(own.exclude(error="")), then=models.Value(Asset.Status.FAILED)),
                    models.When(models.Exists(own.embedded()), then=models.Value(Asset.Status.READY)),
                    default=models.Value(Asset.Status.PENDING),
                ),
                error=Coalesce(models.Subquery(own.values("error")[:1]), models.Value("")),
            )
        self.refresh_from_db()


class EmbeddingQuerySet(models.QuerySet["Embedding"]):
    def embedded(self) -> Self:
        return self.filter(vector__isnull=False)

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
        ]

    def __str__(self) -> str:
        return f"{self.asset} by {self.encoder}"


class IndexBuildQuerySet(models.QuerySet["IndexBuild"]):
    def serving(self, encoder: Encoder) -> "IndexBuild | None":
        return self.filter(encoder=encoder, state=IndexBuild.State.READY).first()

    def failed_since(self, encoder: Encoder, moment: datetime) -> Self:
        return self.filter(encoder=encoder, state=IndexBuild.State.FAILED, finished__gt=moment)


class IndexBuild(models.Model):
    """One build of a vector index, measured before it serves."""

    class State(models.TextChoices):
        BUILDING = "building", "Building"
        READY = "ready", "Serving"
        REPLACED = "replaced", "Replaced"
        FAILED = "failed", "Failed"

    encoder = models.ForeignKey(Encoder, models.CASCADE, related_name="index_builds")
    kind = models.CharField(max_length=20, default="ivfflat")
    state = models.CharField(max_length=10, choices=State.choices, default=State.BUILDING)
    rows = models.PositiveBigIntegerField(help_text="Embeddings there were when it was built.")
    lists = models.PositiveIntegerField()
    probes = models.PositiveIntegerField(null=True, help_text="Lists searched: the fewest that reach the target.")
    recall = models.FloatField(null=True, help_text="Share of the true ten nearest that it finds.")
    started = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    objects = IndexBuildQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["encoder"], condition=Q(state="ready"), name="index_build_one_serving")
        ]
        ordering = ["-started"]

    def __str__(self) -> str:
        return f"{self.kind} of {self.encoder}, {self.started:%Y-%m-%d %H:%M}"

    @property
    def index_name(self) -> str:
        return f"embedding_{self.kind}_{self.pk}"
