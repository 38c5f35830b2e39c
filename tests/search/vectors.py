"""Assets that have vectors and no files, and what plain numpy finds among them."""

import numpy as np

from gallery.models import Asset
from search import pipeline


def random_vectors(count, dimensions, *, seed=0, clusters=8, spread=0.6, elsewhere=0):
    """Unit vectors in loose clusters, float32; other clusters `elsewhere`."""
    centres = np.random.default_rng(elsewhere).normal(size=(clusters, dimensions))
    random = np.random.default_rng([elsewhere, seed])
    made = centres[random.integers(0, clusters, count)] + spread * random.normal(size=(count, dimensions))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def filled_with(made, row, user):
    """An asset for each vector; every tenth is a PNG. Widths count up."""
    first = Asset.objects.count()
    assets = Asset.objects.bulk_create(
        Asset(
            owner=user, title=f"asset {i}", filename=f"{i}.jpg", sha256=f"{i:064x}", width=i + 1, height=1,
            size_bytes=1, format="PNG" if i % 10 == 0 else "JPEG",
        )
        for i in range(first, first + len(made))
    )  # fmt: skip
    pipeline.claim([asset.pk for asset in assets], row)
    for start in range(0, len(made), 500):
        batch = zip(assets[start : start + 500], made[start : start + 500], strict=True)
        pipeline.store(row, {asset.pk: vector for asset, vector in batch})
    return assets


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
