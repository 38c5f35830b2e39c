"""What a search must know before it begins: encoder, index, and whether rules are at work. One round trip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from gallery.errors import Code, Refused
from search import wire
from search.models import Encoder, IndexBuild


@dataclass(frozen=True)
class Serving:
    row: Encoder
    build: IndexBuild | None
    has_rules: bool


_FIELDS = Encoder._meta.concrete_fields  # noqa: SLF001 (public, its documentation says)
_ENCODER = ", ".join(f"encoder.{field.column}" for field in _FIELDS)
#: By hand: through the ORM these three questions take longer than the search.
_SERVING = f"""
    SELECT build.id, build.kind, build.rows, build.parameters, build.tuning,
           EXISTS (SELECT FROM search_rule WHERE is_enabled), {_ENCODER}
    FROM search_encoder AS encoder
    LEFT JOIN search_indexbuild AS build ON build.encoder_id = encoder.id AND build.state = 'ready'
"""


def active() -> Serving:
    """Of the encoder that serves. Raises Refused where none was set up."""
    found = wire.rows(f"{_SERVING} WHERE encoder.is_active")
    if not found:
        raise Refused(Code.ENCODER_UNAVAILABLE, "No encoder is set up. Run `manage.py prepare`.")
    return _serving(found[0])


def of(row: Encoder) -> Serving:
    [found] = wire.rows(f"{_SERVING} WHERE encoder.id = %s", [row.pk])
    return _serving(found)


def _serving(found: Sequence[Any]) -> Serving:
    build_id, kind, rows, parameters, tuning, has_rules, *encoder = found
    row = Encoder.from_db(DEFAULT_DB_ALIAS, [field.attname for field in _FIELDS], encoder)
    if tuning is None:
        return Serving(row, None, has_rules)
    build = IndexBuild(
        pk=build_id, encoder=row, kind=kind, state=IndexBuild.State.READY,
        rows=rows, parameters=parameters, tuning=tuning,
    )  # fmt: skip
    return Serving(row, build, has_rules)
