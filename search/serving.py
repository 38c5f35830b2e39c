"""What a search must know before it begins: the index that serves, and whether rules are at work. One round trip."""

from dataclasses import dataclass

from search import wire
from search.models import Encoder, IndexBuild


@dataclass(frozen=True)
class Serving:
    row: Encoder
    build: IndexBuild | None
    has_rules: bool


#: By hand: through the ORM these two questions take longer than the search.
_SERVING = """
    SELECT build.id, build.kind, build.rows, build.parameters, build.tuning,
           EXISTS (SELECT FROM search_rule WHERE is_enabled)
    FROM (VALUES (%s)) AS one (encoder_id)
    LEFT JOIN search_indexbuild AS build ON build.encoder_id = one.encoder_id AND build.state = 'ready'
"""


def of(row: Encoder) -> Serving:
    [(build_id, kind, rows, parameters, tuning, has_rules)] = wire.rows(_SERVING, [row.pk])
    if tuning is None:
        return Serving(row, None, has_rules)
    build = IndexBuild(
        pk=build_id, encoder=row, kind=kind, state=IndexBuild.State.READY,
        rows=rows, parameters=parameters, tuning=tuning,
    )  # fmt: skip
    return Serving(row, build, has_rules)
