"""The admin of what search keeps: encoders and vectors, indexes, how well they find, rules; and more on assets."""

from search.admin import (
    assets,
    embeddings,
    encoders,
    evaluations,
    index_builds,
    measurements,
    preferences,
    rules,
    tasks,
)

__all__ = [
    "assets", "embeddings", "encoders", "evaluations", "index_builds", "measurements", "preferences", "rules",
    "tasks",
]  # fmt: skip
