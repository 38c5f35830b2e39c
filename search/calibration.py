"""What a distance is worth in this gallery: the share of random pairs of its pictures that are further apart.

A raw similarity says little by itself: by the built-in encoder half of all pairs are above 0.64 among photographs of
groceries, and above 0.45 once clothing is among them.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal

import numpy as np
from django.core.cache import cache
from django.utils.translation import gettext
from numpy.typing import NDArray

from search import stored, vectors
from search.answers import Hit
from search.metrics import METRICS, Metric, pairwise
from search.models import Calibration, Encoder
from search.vectors import FloatArray

#: Vectors whose pairs are looked at: two million pairs, 200 of them nearer than "closer than 99.99 %".
SAMPLE_ROWS = 2000
#: Of fewer vectors there are too few pairs to speak of: 50 have 1,225.
MIN_ROWS = 50
#: Shares of pairs whose distances are kept: twenty a decade from a millionth to a tenth, where hits lie, then
#: hundredths. Between two the share is interpolated. A change to these, or to SAMPLE_ROWS, takes a migration that
#: deletes every Calibration: rows hold the distances alone.
LEVELS: NDArray[np.float64] = np.concatenate([[0], np.logspace(-6, -1, 101)[:-1], np.linspace(0.1, 1, 91)])
#: Compared with all others at a time: by L1 that takes 50 MB for 2,000 vectors of 768, and 12 GB at once.
_BLOCK_ROWS = 8
#: Seconds. It changes as galleries do, by and by.
_CACHED_S = 60
#: Growth or decline since, after which it is done again.
_OUTGROWN = 2


def is_due(row: Encoder) -> bool:
    """There should be a calibration by each metric and is none, or the gallery has doubled or halved since."""
    rows, taken = stored.count(row), list(row.calibrations.values_list("rows", flat=True))
    if rows < MIN_ROWS:
        return bool(taken)
    return len(taken) < len(METRICS) or any(rows >= _OUTGROWN * then or then >= _OUTGROWN * rows for then in taken)


def calibrate(row: Encoder) -> None:
    """Measure by every metric how far random pairs of the gallery are apart; forget it where there are too few."""
    _, sampled = stored.sample(row, SAMPLE_ROWS)
    if len(sampled) < MIN_ROWS:
        row.calibrations.all().delete()
        return
    rows = stored.count(row) if len(sampled) == SAMPLE_ROWS else len(sampled)
    for metric in METRICS.values():
        distances = quantiles(pair_distances(metric, vectors.unit(sampled)))
        Calibration.objects.update_or_create(
            encoder=row, metric=metric.name, defaults={"rows": rows, "distances": distances.tolist()}
        )


def pair_distances(metric: Metric, unit_vectors: FloatArray) -> NDArray[np.float32]:
    """Distance of each of the n (n - 1) / 2 distinct pairs of (n, d) unit vectors, (pairs,) float32."""
    blocks = [
        pairwise(metric, unit_vectors[start : start + _BLOCK_ROWS], unit_vectors[start:])
        for start in range(0, len(unit_vectors), _BLOCK_ROWS)
    ]
    return np.concatenate([block[np.triu(np.ones(block.shape, dtype=bool), k=1)] for block in blocks])


def quantiles(distances: NDArray[np.float32]) -> NDArray[np.float64]:
    """The distances at LEVELS, ascending, (levels,) float64, of (pairs,) distances.

    Such that n of N pairs are at or below the n-th smallest (type 4 of Hyndman and Fan, 1996): numpy's default would
    have n - 1 of N - 1, and so claim a little more than was counted.
    """
    return np.quantile(distances.astype(np.float64), LEVELS, method="interpolated_inverted_cdf")


def closer_than(distance: float, calibration: Calibration) -> float:
    """Share of random pairs that are further apart, in [0, 1); at most what is seen with one pair alone as near."""
    nearer = float(np.interp(distance, calibration.distances, LEVELS))  # of equal distances, the highest level
    return min(1 - nearer, 1 - 1 / _pairs(calibration.rows))


def _pairs(rows: int) -> int:
    """How many were looked at in a gallery of so many embeddings."""
    return math.comb(min(rows, SAMPLE_ROWS), 2)


def calibrated(hits: Sequence[Hit], row: Encoder, metric: Metric) -> list[Hit]:
    """The hits, with `closer_than` where the gallery is calibrated for the metric."""
    kept = cache.get_or_set(
        f"search.calibrated.{row.pk}.{metric.name}",
        lambda: row.calibrations.filter(metric=metric.name).values_list("rows", "distances").first(),
        _CACHED_S,
    )
    if kept is None:
        return list(hits)
    calibration = Calibration(rows=kept[0], distances=np.array(kept[1]))
    return [replace(hit, closer_than=closer_than(hit.distance, calibration)) for hit in hits]


def in_words(share: float) -> str:
    """A share of random pairs that are further apart, for people: rounded down, so that it never says 100 %."""
    percent = 100 * Decimal(str(share))
    step = Decimal("0.01") if percent > Decimal("99.9") else Decimal("0.1")
    figure = f"{percent.quantize(step, ROUND_FLOOR).normalize():f}"
    return gettext("closer than %(percent)s %% of random pairs") % {"percent": figure}
