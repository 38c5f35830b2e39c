"""The admin of encoders, embeddings, evaluations, indexes, measurements, rules, and what is added to that of assets."""

from search.admin import assets, embeddings, encoders, evaluations, index_builds, measurements, rules

__all__ = ["assets", "embeddings", "encoders", "evaluations", "index_builds", "measurements", "rules"]
