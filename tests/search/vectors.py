"""Assets that have vectors and no files, and what plain numpy finds among them."""

import numpy as np
from django.db import connection

from gallery.models import Asset
from search import pipeline


def random_vectors(count, dimensions, *, seed=0, clusters=8, spread=0.6, elsewhere=0):
    """Unit vectors in loose clusters, float32; other clusters `elsewhere`."""
    centres = np.random.default_rng(elsewhere).normal(size=(clusters, dimensions))
    random = np.random.default_rng([elsewhere, seed])
    made = centres[random.integers(0, clusters, count)] + spread * random.normal(size=(count, dimensions))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


#: As objects they would take several times as long.
_ASSETS = """
    INSERT INTO gallery_asset (owner_id, title, filename, created, original, preview, thumbnail, sha256, format, width,
        height, size_bytes, source_url, caption, keywords, camera, lens, status, error)
    SELECT %s, 'asset ' || i, i || '.jpg', now(), '', '', '', lpad(to_hex(i), 64, '0'),
        CASE WHEN i %% 10 = 0 THEN 'PNG' ELSE 'JPEG' END, i + 1, 1, 1, '', '', '{}', '', '', 'pending', ''
    FROM generate_series(%s::bigint, %s) i ORDER BY i RETURNING id
"""


def filled_with(made, row, user):
    """An asset for each vector; every tenth is a PNG. Widths count up."""
    first = Asset.objects.count()
    with connection.cursor() as cursor:
        cursor.execute(_ASSETS, [user.pk, first, first + len(made) - 1])
        ids = [asset_id for (asset_id,) in cursor.fetchall()]
    pipeline.claim(ids, row)
    for start in range(0, len(made), 500):
        pipeline.store(row, dict(zip(ids[start : start + 500], made[start : start + 500], strict=True)))
    return list(Asset.objects.filter(pk__in=ids).order_by("pk"))


def distances(metric, stored, vector):
    """Of (n, d) vectors, in the half precision that is stored, from a (d,) vector: by definition, in float64."""
    rows, query = stored.astype(np.float16).astype(np.float64), vector.astype(np.float16).astype(np.float64)
    if metric == "l1":
        return np.abs(rows - query).sum(axis=1)
    if metric == "l2":
        return np.sqrt(((rows - query) ** 2).sum(axis=1))
    if metric == "inner_product":
        return -(rows * query).sum(axis=1)
    lengths = np.sqrt((rows**2).sum(axis=1) * (query**2).sum())
    return 1 - (rows * query).sum(axis=1) / lengths
