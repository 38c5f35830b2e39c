"""What people did to assets: recorded in the transaction that does it, so that it can be told and undone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import connection
from psycopg.types.json import Jsonb

from gallery.models import Change

#: Rows a statement; each has seven parameters of the 65,535 there may be.
_AT_ONCE = 5000
_RECORD_ALIKE = """
    INSERT INTO gallery_change (asset_id, user_id, act, kind, before, after)
    SELECT asset_id, %s::bigint, %s::uuid, %s::text, %s::jsonb, %s::jsonb FROM unnest(%s::bigint[]) AS asset_id
"""


@dataclass(frozen=True)
class Act:
    """One stroke of somebody's, over any number of assets."""

    user: User
    id: UUID = field(default_factory=uuid4)
    #: Assets that are otherwise for it.
    changed: set[int] = field(default_factory=set)

    def record(self, kind: Change.Kind, changes: Mapping[int, tuple[Any, Any]]) -> None:
        """What each asset was and is now, by its id."""
        self.changed.update(changes)
        Change.objects.bulk_create(
            [
                Change(asset_id=asset_id, user=self.user, act=self.id, kind=kind, before=before, after=after)
                for asset_id, (before, after) in changes.items()
            ],
            batch_size=_AT_ONCE,
        )

    def record_alike(self, kind: Change.Kind, asset_ids: Collection[int], before: Any, after: Any) -> None:
        """As `record`, of assets that were one thing and are another: one statement for any number of them."""
        if asset_ids:
            self.changed.update(asset_ids)
            with connection.cursor() as cursor:
                told: list[Any] = [self.user.pk, self.id, kind.value, Jsonb(before), Jsonb(after), list(asset_ids)]
                cursor.execute(_RECORD_ALIKE, told)
