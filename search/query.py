"""The only reader of vectors: find_similar(...) -> Answer."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Self

import numpy as np
from django.core.files import File
from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Cast
from numpy.typing import NDArray
from pgvector.django import CosineDistance, HalfVectorField

from gallery import sandbox
from gallery.errors import Code, Refused
from gallery.images import open_rendition
from gallery.models import Asset, AssetQuerySet
from gallery.uploads import spooled
from search import vectors
from search.encoders import EncoderUnavailable, ImageEncoder
from search.models import Embedding, Encoder, IndexBuild
from search.vectors import FloatArray

logger = logging.getLogger(__name__)

DEFAULT_K, MAX_K = 10, 200
#: How many neighbours an index's recall is measured over. Of more than that it finds a smaller share.
MEASURED_K = 10

#: Up to so many assets that pass the filters, ranking them all takes less time (5 ms) than looking through an index
#: for those that pass.
_FILTERED_EXACT_ROWS = 10_000


#: The smallest there is: one pixel.
_SOME_PICTURE = bytes.fromhex(
    "474946383961 0100 0100 80 00 00 808080 ffffff 2c 0000 0000 0100 0100 00 02 02 44 01 00 3b"
)


@dataclass(frozen=True)
class Through:
    """An index to search through, and how much of it."""

    build: IndexBuild
    probes: int


@dataclass(frozen=True)
class How:
    """How an answer was found."""

    exact: bool
    index: str | None = None
    probes: int | None = None
    recall: float | None = None


@dataclass(frozen=True)
class Hit:
    rank: int
    similarity: float
    distance: float
    asset: Asset


@dataclass(frozen=True)
class Answer:
    encoder: str
    search: How
    results: list[Hit]
    took_ms: dict[str, float] = field(default_factory=dict)

    def after_encoding(self, encode_ms: float) -> Self:
        return replace(self, took_ms={"encode": encode_ms, **self.took_ms})


def active_encoder() -> Encoder:
    """The encoder that serves. Raises Refused where none was set up."""
    row = Encoder.objects.active()
    if row is None:
        raise Refused(Code.ENCODER_UNAVAILABLE, "No encoder is set up. Run `manage.py prepare`.")
    return row


def like_pictures(
    files: Sequence[File[bytes]],
    *,
    k: int = DEFAULT_K,
    among: AssetQuerySet | None = None,
    together: bool = False,
) -> list[Answer]:
    """What looks like pictures from outside: an answer each, or one for all of them `together`. Raises Refused."""
    row, started = active_encoder(), time.perf_counter()
    encoded = encode_pictures(files, row)
    encode_ms = (time.perf_counter() - started) * 1000
    queries = [combined(encoded)] if together else list(encoded)
    return [find_similar(vector, row, k=k, among=among).after_encoding(encode_ms) for vector in queries]


def like_asset(asset: Asset, *, k: int = DEFAULT_K, among: AssetQuerySet | None = None) -> Answer:
    """What looks like a stored asset, itself left out. Raises Refused."""
    row = active_encoder()
    return find_similar(vector_of(asset, row), row, k=k, among=among, but=asset.pk).after_encoding(0.0)


def encode_pictures(files: Sequence[File[bytes]], row: Encoder) -> FloatArray:
    """Unit vectors of pictures from outside, (n, dimensions) float32. Raises Refused."""
    encoder = _loaded(row)
    return vectors.unit(encoder.encode(np.stack([_prepared(file, encoder, of=len(files)) for file in files])))


def warm_up() -> None:
    """Go the way of a first search ahead of it: start the decoders, load the encoder."""
    try:
        if row := Encoder.objects.active():
            encode_pictures([ContentFile(_SOME_PICTURE, "warm-up.gif")], row)
    except Refused as refused:
        logger.warning("Pictures cannot be searched with. %s", refused)
    finally:
        connection.close()  # the thread that warms up ends here


def _loaded(row: Encoder) -> ImageEncoder:
    try:
        return row.load()
    except EncoderUnavailable as error:
        raise Refused(Code.ENCODER_UNAVAILABLE, str(error)) from error


def _prepared(file: File[bytes], encoder: ImageEncoder, *, of: int) -> NDArray[np.uint8]:
    """Through the same rendition as a stored picture goes, so that the same bytes give the same vector."""
    try:
        with spooled(file) as (path, _):
            preview = sandbox.render_file(path).preview
    except Refused as refused:
        if of == 1:
            raise
        raise Refused(refused.code, f"{file.name}: {refused.detail}") from None
    return encoder.prepare(open_rendition(preview, shorter_side_px=encoder.decode_side_px))


def vector_of(asset: Asset, row: Encoder) -> FloatArray:
    """The stored vector of an asset, (dimensions,) float32. Raises Refused where there is none yet."""
    own = Embedding.objects.embedded().filter(asset=asset, encoder=row).values_list("vector", flat=True).first()
    if own is None:
        why = "could not be read" if asset.status == Asset.Status.FAILED else "is still being analysed; try again soon"
        raise Refused(Code.NOT_SEARCHABLE, f"“{asset.title}” {why}.")
    return np.asarray(own, dtype=np.float32)


def combined(unit_vectors: FloatArray) -> FloatArray:
    """The direction between several: the mean of (n, d) unit vectors, scaled to unit length, (d,) float32."""
    between: FloatArray = vectors.unit(unit_vectors.mean(axis=0, keepdims=True))[0]
    return between


def find_similar(
    vector: FloatArray,
    row: Encoder,
    *,
    k: int = DEFAULT_K,
    among: AssetQuerySet | None = None,
    but: int | None = None,
) -> Answer:
    """The k assets nearest to a (dimensions,) unit vector by cosine, nearest first.

    `among` limits the answer to assets that pass a filter (None: every asset), `but` leaves one asset out. Whenever
    k such assets exist, k come back.
    """
    started = time.perf_counter()
    wanted = k + (but is not None)
    how, found = _search(vector, row, wanted, among)
    found = [(asset_id, distance) for asset_id, distance in found if asset_id != but][:k]
    return Answer(row.name, how, _hits(found), {"search": (time.perf_counter() - started) * 1000})


def _search(
    vector: FloatArray, row: Encoder, k: int, among: AssetQuerySet | None
) -> tuple[How, list[tuple[int, float]]]:
    build = IndexBuild.objects.serving(row)
    if build and build.probes and not _is_selective(among):
        found = nearest(row, vector, k, through=Through(build, build.probes), among=among)
        if len(found) == k or len(found) == build.rows:
            recall = build.recall if k <= MEASURED_K + 1 else None  # one more where an asset is left out
            return How(exact=False, index=build.kind, probes=build.probes, recall=recall), found
    return How(exact=True), nearest(row, vector, k, among=among)


def _is_selective(among: AssetQuerySet | None) -> bool:
    return among is not None and among.order_by()[: _FILTERED_EXACT_ROWS + 1].count() <= _FILTERED_EXACT_ROWS


def nearest(
    row: Encoder,
    vector: FloatArray,
    k: int,
    *,
    through: Through | None = None,
    among: AssetQuerySet | None = None,
) -> list[tuple[int, float]]:
    """(asset id, cosine distance) of the k nearest, nearest first; exact unless `through` names an index."""
    embedded = Embedding.objects.embedded().filter(encoder=row)
    if among is not None:
        embedded = embedded.filter(asset__in=among.order_by())
    if through:
        embedded = embedded.exclude(asset=-through.build.pk)  # the condition that lets the planner use this build
    stored = Cast("vector", HalfVectorField(dimensions=row.dimensions))
    ranked = embedded.annotate(distance=CosineDistance(stored, Value(vectors.to_text(vector)))).order_by("distance")
    with transaction.atomic():
        if through:
            _set_scan(through.probes, iterate=among is not None)
        found = list(ranked.values_list("asset_id", "distance")[:k])
    return sorted(found, key=itemgetter(1))  # an iterated scan comes in almost, not quite, the right order


def _set_scan(probes: int, *, iterate: bool) -> None:
    """How ivfflat scans, until the transaction ends. Iterating goes on to further lists while filters reject rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('ivfflat.probes', %s, true), set_config('ivfflat.iterative_scan', %s, true)",
            [str(probes), "relaxed_order" if iterate else "off"],
        )


def _hits(found: Sequence[tuple[int, float]]) -> list[Hit]:
    assets = Asset.objects.for_display().in_bulk([asset_id for asset_id, _ in found])
    known = [(assets[asset_id], distance) for asset_id, distance in found if asset_id in assets]
    return [
        Hit(rank, similarity=1 - distance, distance=distance, asset=asset)
        for rank, (asset, distance) in enumerate(known, start=1)
    ]
