"""The admin of encoders, embeddings, indexes, measurements and rules, and what search adds to that of assets."""

from search.admin import assets, embeddings, encoders, index_builds, measurements, rules

__all__ = ["assets", "embeddings", "encoders", "index_builds", "measurements", "rules"]
