"""Two ways to search, side by side: encoders, or kinds of index of one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any

from django.db.models import Exists, OuterRef, Prefetch
from django.utils.crypto import salted_hmac

from gallery.errors import Refused
from search import kinds, query
from search.answers import Answer, Hit
from search.models import Embedding, Encoder, IndexBuild
from search.pictures import Picture
from search.query import Part, Wanted
from search.serving import Serving


@dataclass(frozen=True)
class Side:
    """An encoder, and the index to search through; None: every vector is compared."""

    encoder: Encoder
    build: IndexBuild | None
    #: What people know it by just now: the encoder's name, with its number where several have that name, and the kind.
    name: str

    @property
    def identity(self) -> str:
        """The same for ever, and of nothing else."""
        row = self.encoder
        return f"{row.name} {row.revision[:12]}/{row.preprocessing}, {self.kind}"

    @property
    def kind(self) -> str:
        return self.build.kind if self.build else kinds.EXACT

    @property
    def key(self) -> str:
        """Stands in addresses. The same after the index was built anew, which may happen any time."""
        return f"{self.encoder.pk}-{self.kind}"

    def answer(self, picture: Picture, k: int) -> Answer:
        """By the vectors alone, as the rules would move the same assets on both sides. Raises Refused."""
        [answer] = query.like_each([Part(picture)], Wanted(k=k), at=Serving(self.encoder, self.build, has_rules=False))
        return answer


def sides() -> list[Side]:
    """All there are: of the encoder that serves first, of each the index that serves it first."""
    searchable = IndexBuild.objects.filter(
        state__in=[IndexBuild.State.READY, IndexBuild.State.BESIDE], tuning__isnull=False
    )
    rows = (
        Encoder.objects.with_counts()
        .filter(Exists(Embedding.objects.embedded().filter(encoder=OuterRef("pk"))))
        .exclude(work=Encoder.Work.RETIRE)
        .order_by("-is_active", "name", "-pk")
        .prefetch_related(Prefetch("index_builds", searchable.order_by("-state", "kind"), to_attr="searchable_builds"))
    )
    names = [row.name for row in rows]
    return [*chain.from_iterable(_sides_of(row, is_alone=names.count(row.name) == 1) for row in rows)]


def _sides_of(row: Any, *, is_alone: bool) -> Iterator[Side]:
    called = row.name if is_alone else f"{row.name} {row.pk}"
    if row.embedded_count + row.failed_count < row.asset_count:
        called += f" ({row.embedded_count / row.asset_count:.0%} embedded)"
    builds: list[IndexBuild] = row.searchable_builds
    one_of_each = {build.kind: build for build in reversed(builds)}  # the serving one, where both are of one kind
    for build in sorted(one_of_each.values(), key=builds.index):
        build.encoder = row
        yield Side(row, build, f"{called}, {build.kind}")
    yield Side(row, None, f"{called}, {kinds.EXACT}")


@dataclass(frozen=True)
class Column:
    """What one side found, or why it found nothing."""

    side: Side
    answer: Answer | None = None
    refused: Refused | None = None

    @property
    def is_as_named(self) -> bool:
        """Whether the index was searched through; so deep that it was not tuned for it, exact search answers."""
        return self.answer is not None and (self.answer.search.index or kinds.EXACT) == self.side.kind

    @cached_property
    def ranks(self) -> dict[int, int]:
        """By asset id."""
        return {hit.asset.pk: hit.rank for hit in self.answer.results} if self.answer else {}


@dataclass(frozen=True)
class Compared:
    """A hit, and its rank on the other side."""

    hit: Hit
    rank_there: int | None


@dataclass(frozen=True)
class Comparison:
    left: Column
    right: Column

    @property
    def columns(self) -> list[tuple[Column, list[Compared]]]:
        return [(self.left, _compared(self.left, self.right)), (self.right, _compared(self.right, self.left))]

    @property
    def refused(self) -> Refused | None:
        """Why neither found anything; what one alone is refused stands in its place."""
        return self.left.refused if self.left.refused and self.right.refused else None

    @property
    def is_whole(self) -> bool:
        return not (self.left.refused or self.right.refused)

    @property
    def can_be_judged(self) -> bool:
        """Whether each side is what it is called."""
        return self.left.is_as_named and self.right.is_as_named

    @property
    def most(self) -> int:
        """The k of overlap@k: what was asked for, or all there is."""
        return max(len(self.left.ranks), len(self.right.ranks))

    @property
    def overlap(self) -> int:
        """How many of these both found."""
        return len(self.left.ranks.keys() & self.right.ranks.keys())

    @property
    def share(self) -> float:
        """overlap@k, 0 to 1; 1 where there was nothing to find."""
        return self.overlap / self.most if self.most else 1.0


def _compared(own: Column, other: Column) -> list[Compared]:
    hits: Sequence[Hit] = own.answer.results if own.answer else []
    return [Compared(hit, other.ranks.get(hit.asset.pk)) for hit in hits]


def compare(picture: Picture, k: int, left: Side, right: Side) -> Comparison:
    return Comparison(_column(left, picture, k), _column(right, picture, k))


def _column(side: Side, picture: Picture, k: int) -> Column:
    try:
        return Column(side, answer=side.answer(picture, k))
    except Refused as refused:
        return Column(side, refused=refused)


def shuffled(left: Side, right: Side, *, by: str) -> tuple[Side, Side]:
    """The two in an order that nobody can foresee, and that is the same whenever it is asked for."""
    first, second = sorted([left, right], key=attrgetter("key"))
    drawn = salted_hmac("search.comparing", f"{by} {first.key} {second.key}")
    return (first, second) if drawn.digest()[0] % 2 else (second, first)
