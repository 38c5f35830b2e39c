"""What a search gives back."""

from dataclasses import dataclass, field, replace
from typing import Self

from gallery.models import Asset


@dataclass(frozen=True)
class How:
    """How an answer was found."""

    exact: bool
    metric: str = "cosine"
    index: str | None = None
    probes: int | None = None
    ef_search: int | None = None
    candidates: int | None = None
    #: Share of the true nearest that this way finds, as measured; None where it finds all, being exact.
    recall: float | None = None
    #: What became of the filters: "ranked" every asset that passes, or "iterated" through the index until k passed.
    filters: str | None = None


@dataclass(frozen=True)
class Hit:
    rank: int
    similarity: float
    distance: float
    asset: Asset
    #: Share of random pairs of this gallery that are further apart.
    closer_than: float | None = None
    #: The rule that moved it: "pin" or "boost".
    rule: str | None = None
    #: Near-identical assets that it stands for, itself not counted.
    alike: int = 0


@dataclass(frozen=True)
class Answer:
    encoder: str
    search: How
    results: list[Hit]
    took_ms: dict[str, float] = field(default_factory=dict)

    def after_encoding(self, encode_ms: float) -> Self:
        return replace(self, took_ms={"encode": encode_ms, **self.took_ms})
