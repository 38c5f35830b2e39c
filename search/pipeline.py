"""The only writer of Embedding: claim, decode, encode, store.

The row is the truth: an asset without a finished embedding for an encoder is pending, whatever a queue says. A claim
counts the attempt before the work, so that a picture that kills its process is not tried for ever. A vector travels
with its asset's id from the claim to the row; nothing is ever matched by position with what was left out.
"""

import faulthandler
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_noop as _
from numpy.typing import NDArray

from gallery.images import open_rendition
from gallery.models import Asset
from gallery.storage import StorageUnavailable
from search import codes, copying, vectors
from search.encoders import ImageEncoder
from search.models import MAX_ATTEMPTS, Code, Embedding, EmbeddingQuerySet, Encoder

logger = logging.getLogger(__name__)

#: A batch of DINOv2-base takes 3 s on two slow cores, one of DINOv2-giant half a minute. Whoever waits for a batch says
#: this often that it lives; after a lease without a word, it has died.
LEASE, _RENEW_S = timedelta(seconds=30), 10
#: What a batch takes that will never end: a picture may hang in a decoder or an encoder, where no exception reaches.
#: Less than the timeout of interactive tasks.
_HANGS_S = 100
_STDERR = 2
#: Batches decoded ahead of the one that is being encoded.
_AHEAD = 2
_DECODE_THREADS = 2
#: Batches in hand at a time at most: those decoded ahead, two with the encoder, and one on its way to the rows.
_IN_HAND = _AHEAD + 3
#: Assets looked at by one statement for what is pending: some milliseconds.
_PAGE = 2000
#: Of fewer pictures, beginning and ending take most of the time, and their rate says little.
_RATED_LEAST = 20

#: The asset that this process's last run by an encoder came to, by the encoder's id, where time ended it: to look past
#: a million assets takes a second, too long for each slice. In what order assets are claimed depends on it, no more.
_reached: dict[int, int] = {}

#: Why an embedding failed: pages count those that have the same before the colon.
NOT_READ = _("The preview cannot be read")
NOT_DECODED = _("The preview cannot be decoded")
ENCODER_FAILED = _("The encoder failed")
NEVER_FINISHED = _("Embedding was tried %(times)s times and never finished")
_DIED = _("the process died or ran out of time each time.")
GAVE_UP = f"{NEVER_FINISHED % {'times': MAX_ATTEMPTS}}: {_DIED}"


@dataclass(frozen=True)
class Prepared:
    """A claimed asset, decoded or not."""

    asset_id: int
    pixels: NDArray[np.uint8] | None = None
    error: str = ""
    setback: str = ""


@dataclass(frozen=True)
class Encoded:
    """What became of a batch: vectors, or the reasons why there is none, by asset id.

    A failure lies in the picture and is for good. A setback may lie elsewhere (a disk that is not mounted, a device
    that was lost) and is tried again, as often as MAX_ATTEMPTS allows.
    """

    vectors: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    setbacks: dict[int, str] = field(default_factory=dict)


@dataclass
class Tally:
    ready: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.ready + self.failed

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.ready + other.ready, self.failed + other.failed)


Progress = Callable[[Tally], None]


def embed(asset_ids: Sequence[int], row: Encoder) -> Tally:
    """Embed those of the assets that are pending and that nobody else is at. Raises StorageUnavailable."""
    encoder, tally = row.load(), Tally()
    claimed = claim(asset_ids, row)
    with _put_off_by_outages([claimed], row), _stages() as (decoders, encoding), _watched():
        batch = encoding.submit(_encode_batch, encoder, _prepare(claimed, encoder, decoders))
        made = _awaited(batch, [claimed], row)
    _write(row, made, tally)
    return tally


def embed_pending(row: Encoder, *, seconds: float = float("inf"), progress: Progress | None = None) -> Tally:
    """Embed all that is pending, until none is left or time is up. Raises StorageUnavailable.

    Interrupted by a person, it lets go of what it had claimed: whoever goes on need not wait for the lease to end.
    """
    encoder, tally, started = row.load(), Tally(), time.monotonic()
    give_up(row)
    in_hand: deque[list[int]] = deque(maxlen=_IN_HAND)
    try:
        with _put_off_by_outages(in_hand, row):
            _embed_untried(row, encoder, tally, _Run(started + seconds, in_hand, progress))
    except KeyboardInterrupt:
        release([asset_id for batch in in_hand for asset_id in batch], row)
        raise
    _embed_abandoned(row, tally, started + seconds)
    _note(row, encoder, tally, time.monotonic() - started)
    return tally


@contextmanager
def _put_off_by_outages(in_hand: Iterable[list[int]], row: Encoder) -> Iterator[None]:
    """That files cannot be reached is no fault of a picture, and counts as no attempt at it."""
    try:
        yield
    except StorageUnavailable:
        asset_ids = [asset_id for claimed in in_hand for asset_id in claimed]
        release(asset_ids, row)
        tried_before = Embedding.objects.filter(asset__in=asset_ids, encoder=row, vector=None, error="")
        tried_before.update(attempts=F("attempts") - 1)
        raise


@dataclass(frozen=True)
class _Run:
    stop_at: float
    in_hand: deque[list[int]]
    progress: Progress | None


def _embed_untried(row: Encoder, encoder: ImageEncoder, tally: Tally, run: _Run) -> None:
    """Three stages work at once: threads decode the next batches, one encodes, and this one claims and stores."""
    claims = _claims(row, encoder.batch_size)
    decoded: deque[tuple[list[int], list[Future[Prepared]]]] = deque()
    encoded: deque[Future[Encoded]] = deque()
    with _stages() as (decoders, encoding), _watched() as patience:
        while True:
            with patience():
                while len(decoded) < _AHEAD and time.monotonic() < run.stop_at and (claimed := next(claims, None)):
                    run.in_hand.append(claimed)
                    decoded.append((claimed, _prepare(claimed, encoder, decoders)))
                if decoded:
                    asset_ids, batch = decoded.popleft()
                    renew(asset_ids, row)
                    encoded.append(encoding.submit(_encode_batch, encoder, batch))
            if not encoded:
                break
            if len(encoded) > 1 or not decoded:  # the encoder is never without a batch while one is stored
                made = _awaited(encoded.popleft(), run.in_hand, row)
                with patience():
                    _write(row, made, tally)
                if run.progress:
                    run.progress(tally)


@contextmanager
def _stages() -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor]]:
    """Who decodes and who encodes. After an error neither is waited for: each picture may take as long to meet it."""
    decoders, encoding = ThreadPoolExecutor(_DECODE_THREADS), ThreadPoolExecutor(1)
    try:
        yield decoders, encoding
    finally:
        for stage in (decoders, encoding):
            stage.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _watched() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """End this process if it hangs over a batch, but have patience where it waits for the database.

    By faulthandler, whose thread needs no interpreter: what hangs may hold its lock. It tells where it hung.
    """
    _wind()
    try:
        yield _patience
    finally:
        faulthandler.cancel_dump_traceback_later()


def _wind() -> None:
    faulthandler.dump_traceback_later(_HANGS_S, exit=True, file=_STDERR)


@contextmanager
def _patience() -> Iterator[None]:
    """A lock or a server that is stopped may be waited for at length. Only who has the interpreter's lock can wind."""
    is_over = threading.Event()

    def wind() -> None:
        while not is_over.wait(_RENEW_S):
            _wind()

    winding = threading.Thread(target=wind, daemon=True)
    winding.start()
    try:
        yield
    finally:
        is_over.set()
        winding.join()  # or it might wind what is no longer watched
        _wind()


def _awaited(batch: Future[Encoded], in_hand: Iterable[list[int]], row: Encoder) -> Encoded:
    """Wait for a batch, and hold what is in hand for as long."""
    while not wait([batch], timeout=_RENEW_S).done:
        renew([asset_id for claimed in in_hand for asset_id in claimed], row)
    return batch.result()


def _note(row: Encoder, encoder: ImageEncoder, tally: Tally, seconds: float) -> None:
    """What was learned of the encoder on the way."""
    learned: dict[str, Any] = {"dtype": encoder.dtype} if row.dtype != encoder.dtype else {}
    if tally.ready >= _RATED_LEAST:
        learned["images_per_s"] = tally.ready / seconds
    if learned:
        Encoder.objects.filter(pk=row.pk).update(**learned)


def _embed_abandoned(row: Encoder, tally: Tally, stop_at: float) -> None:
    """What died with its batch, one by one from claim to row: one that kills us now takes no other along.

    Those first that were tried least, or one that hangs would be waited for before others are looked at.
    """
    abandoned = Embedding.objects.abandoned().filter(encoder=row).order_by("attempts", "asset")
    for asset_id in list(abandoned.values_list("asset_id", flat=True)):
        if time.monotonic() > stop_at:
            return
        alone = embed([asset_id], row)
        tally.ready += alone.ready
        tally.failed += alone.failed


def _claims(row: Encoder, batch_size: int) -> Iterator[list[int]]:
    """Batches of claimed assets that were never tried; no more once the encoder is being retired.

    First from where the last run was stopped; then from the beginning, for what came to be pending behind that.
    """
    for start in sorted({_reached.get(row.pk, 0), 0}, reverse=True):
        after = start
        while wanted := _untried(row, after, batch_size):
            claimed = claim(wanted, row)
            _reached[row.pk] = after = wanted[-1]
            if claimed:
                yield claimed
    _reached.pop(row.pk, None)


#: By pages and not by a join: for long, statistics do not know a new encoder and promise that it has no rows, and a
#: join then goes through all of them for each asset; seconds for each batch once there are 10,000. To add 0 keeps the
#: planner from reading all of the encoder's rows for a page.
_UNTRIED = """
    WITH page AS MATERIALIZED (
        SELECT id FROM gallery_asset WHERE id > %(after)s AND trashed IS NULL
            AND EXISTS (SELECT FROM search_encoder WHERE id = %(encoder)s AND work <> 'retire')
        ORDER BY id LIMIT %(page)s
    )
    SELECT max(id), ARRAY(
        SELECT id FROM page EXCEPT
        SELECT asset_id FROM search_embedding WHERE encoder_id + 0 = %(encoder)s
            AND asset_id > %(after)s AND asset_id <= (SELECT max(id) FROM page)
        ORDER BY id
    ) FROM page
"""


def _untried(row: Encoder, after: int, most: int) -> list[int]:
    """The first assets with a higher id than `after` that were never tried."""
    found: list[int] = []
    with connection.cursor() as cursor:
        while len(found) < most:
            cursor.execute(_UNTRIED, {"after": after, "encoder": row.pk, "page": _PAGE})
            after, some = cursor.fetchone()
            if after is None:
                break
            found += some
    return found[:most]


def pending_count(row: Encoder) -> int:
    counted: Any = Encoder.objects.with_counts().get(pk=row.pk)
    return int(counted.asset_count - counted.embedded_count - counted.failed_count)


_CLAIM = """
    INSERT INTO search_embedding AS mine (asset_id, encoder_id, attempts, claimed_until, error)
    SELECT id, %(encoder)s, 1, now() + %(lease)s, '' FROM gallery_asset WHERE id = ANY(%(assets)s) AND trashed IS NULL
        AND EXISTS (SELECT FROM search_encoder WHERE id = %(encoder)s AND work <> 'retire')
        ORDER BY id FOR KEY SHARE  -- an asset deleted just now is left out, no error
    ON CONFLICT (asset_id, encoder_id) DO UPDATE
        SET attempts = mine.attempts + 1, claimed_until = now() + %(lease)s
        WHERE mine.vector IS NULL AND mine.error = '' AND mine.claimed_until < now() AND mine.attempts < %(most)s
    RETURNING asset_id
"""


def claim(asset_ids: Sequence[int], row: Encoder) -> list[int]:
    """Those of the assets that are now ours to embed; one statement, so no two processes get the same.

    None for an encoder that is being retired.
    """
    parameters: dict[str, Any] = {
        "encoder": row.pk,
        "lease": LEASE,
        "assets": list(asset_ids),
        "most": MAX_ATTEMPTS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, parameters)
        return [asset_id for (asset_id,) in cursor.fetchall()]


def renew(asset_ids: Sequence[int], row: Encoder) -> None:
    """Hold claims for another lease: these have waited for their turn."""
    unfinished = Embedding.objects.filter(asset__in=asset_ids, encoder=row, vector=None)
    unfinished.update(claimed_until=Now() + LEASE)


def release(asset_ids: Sequence[int], row: Encoder) -> None:
    """Let go of claims as if they had not been made; those tried before keep their attempts and their lease."""
    Embedding.objects.filter(asset__in=asset_ids, encoder=row, vector=None, error="", attempts=1).delete()


def _prepare(asset_ids: Sequence[int], encoder: ImageEncoder, pool: ThreadPoolExecutor) -> list[Future[Prepared]]:
    assets = Asset.objects.only("preview").in_bulk(list(asset_ids))
    return [pool.submit(_decode, asset, encoder) for asset in assets.values()]


def _decode(asset: Asset, encoder: ImageEncoder) -> Prepared:
    try:
        with asset.preview.open("rb") as stored:
            data = stored.read()
    except StorageUnavailable:
        raise
    except OSError as error:
        return Prepared(asset.pk, setback=f"{NOT_READ}: {error}")
    try:
        return Prepared(asset.pk, encoder.prepare(open_rendition(data, shorter_side_px=encoder.decode_side_px)))
    except Exception as error:  # one bad file must not stop the others; the reason goes into its row
        logger.warning("Asset %s cannot be decoded: %s", asset.pk, error)
        return Prepared(asset.pk, error=f"{NOT_DECODED}: {error}")


def _encode_batch(encoder: ImageEncoder, futures: Sequence[Future[Prepared]]) -> Encoded:
    batch = [future.result() for future in futures]
    made = _encode(encoder, [(item.asset_id, item.pixels) for item in batch if item.pixels is not None])
    made.failures.update({item.asset_id: item.error for item in batch if item.error})
    made.setbacks.update({item.asset_id: item.setback for item in batch if item.setback})
    return made


def _encode(encoder: ImageEncoder, readable: Sequence[tuple[int, NDArray[np.uint8]]]) -> Encoded:
    if not readable:
        return Encoded()
    try:
        made = vectors.unit(encoder.encode(np.stack([pixels for _, pixels in readable])))
        return Encoded({asset_id: vector for (asset_id, _), vector in zip(readable, made, strict=True)})
    except Exception as error:
        if len(readable) == 1:
            logger.exception("Asset %s cannot be encoded", readable[0][0])
            return Encoded(setbacks={readable[0][0]: f"{ENCODER_FAILED}: {error}"})
    return _encode_singly(encoder, readable)  # the others must not fail with the one


def _encode_singly(encoder: ImageEncoder, readable: Sequence[tuple[int, NDArray[np.uint8]]]) -> Encoded:
    """Where others of the batch come out well, the encoder is, and a picture it will not take has failed for good."""
    alone = [_encode(encoder, [item]) for item in readable]
    made = {asset_id: vector for one in alone for asset_id, vector in one.vectors.items()}
    refused = {asset_id: reason for one in alone for asset_id, reason in one.setbacks.items()}
    return Encoded(made, failures=refused) if made else Encoded(setbacks=refused)


def _write(row: Encoder, batch: Encoded, tally: Tally) -> None:
    tally.ready += store(row, batch.vectors)
    tally.failed += fail(row, batch.failures)
    tally.failed += fail(row, batch.setbacks, Embedding.objects.filter(attempts__gte=MAX_ATTEMPTS))


#: Vectors on the way to their rows. A table of the connection's own, empty again when the transaction ends.
_TRANSIT = """
    CREATE TEMPORARY TABLE IF NOT EXISTS search_transit (asset_id bigint, vector halfvec) ON COMMIT DELETE ROWS
"""
#: LIMIT and + 0 keep the planner from reading all of the encoder's rows to find a batch's: without, it takes a table
#: that was just filled for thousands of rows, or a new encoder for one without any.
_STORE = """
    WITH arrived AS (DELETE FROM search_transit RETURNING asset_id, vector)
    UPDATE search_embedding AS mine SET vector = made.vector, embedded_at = now(), error = ''
    FROM (SELECT * FROM arrived LIMIT %(count)s) AS made
    WHERE mine.asset_id = made.asset_id AND mine.encoder_id + 0 = %(encoder)s
    RETURNING mine.asset_id
"""


def store(row: Encoder, embedded: dict[int, NDArray[np.float32]]) -> int:
    """Write vectors by asset id; how many. One whose asset or claim is gone meanwhile is dropped."""
    if not embedded:
        return 0
    with transaction.atomic(), connection.cursor() as cursor:
        _lock_encoder(row)
        cursor.execute(_TRANSIT)
        _copy(embedded)
        cursor.execute(_STORE, {"count": len(embedded), "encoder": row.pk})
        stored = [asset_id for (asset_id,) in cursor.fetchall()]
        codes.add(row, {asset_id: embedded[asset_id] for asset_id in stored})
        if row.is_active:
            Asset.objects.filter(pk__in=stored).update(status=Asset.Status.READY, error="")
    return len(stored)


def _copy(embedded: dict[int, NDArray[np.float32]]) -> None:
    columns = {
        "asset_id": copying.integers(np.array(list(embedded)), len(embedded)),
        "vector": copying.halfvecs(np.stack(list(embedded.values()))),
    }
    copying.write("search_transit", columns)


def fail(row: Encoder, failures: dict[int, str], among: EmbeddingQuerySet | None = None) -> int:
    """Write reasons by asset id, for those `among` that have no vector; how many."""
    return sum(_fail(row, asset_id, reason, among) for asset_id, reason in failures.items())


def _fail(row: Encoder, asset_id: int, reason: str, among: EmbeddingQuerySet | None) -> int:
    candidates = Embedding.objects.all() if among is None else among
    with transaction.atomic():
        _lock_encoder(row)
        failed = candidates.filter(asset=asset_id, encoder=row, vector=None).update(error=reason)
        if failed and row.is_active:
            Asset.objects.filter(pk=asset_id).update(status=Asset.Status.FAILED, error=reason)
    return failed


def _lock_encoder(row: Encoder) -> None:
    """Know for the rest of the transaction whether the encoder serves: activating waits for this lock.

    One that was retired meanwhile does not, and no claim by it is left to be written.
    """
    locked = Encoder.objects.select_for_update(of=("self",), no_key=True).filter(pk=row.pk).first()
    row.is_active = locked is not None and locked.is_active


def give_up(row: Encoder) -> int:
    """Fail what was tried as often as allowed without an answer."""
    lost = Embedding.objects.given_up().filter(encoder=row).values_list("asset_id", flat=True)
    return fail(row, dict.fromkeys(lost, GAVE_UP), Embedding.objects.given_up())


def retry(assets: Sequence[int], row: Encoder) -> int:
    """Forget what is known of the assets' embeddings, so that they are made again."""
    with transaction.atomic():
        _lock_encoder(row)
        Embedding.objects.filter(asset__in=assets, encoder=row).delete()
        Code.objects.filter(asset__in=assets, build__encoder=row).delete()
        return Asset.objects.filter(pk__in=assets).update(status=Asset.Status.PENDING, error="") if row.is_active else 0


def forget(row: Encoder, most: int) -> int:
    """Delete up to so many of an encoder's embeddings, whatever became of them, and their codes; how many."""
    some = Embedding.objects.filter(encoder=row).values_list("asset_id", flat=True)
    assets = list(some[:most])
    with transaction.atomic():
        Code.objects.filter(asset__in=assets, build__encoder=row).delete()
        Embedding.objects.filter(asset__in=assets, encoder=row).delete()
    return len(assets)
