"""Vectors of what lies in the trash: taken out of the tables that are searched, and put back as they were.

A search must never find them, and must find k others. Asked of each candidate, that would make every search slower; a
vector that is not there costs nothing, is in no index, no sample and no count, and cannot be forgotten by any reader.
Kept on the shelf, it is back within a millisecond, without being made again.

Both ways hold the locks that keep others from the same rows until the transaction ends, in the order in which the
pipeline takes them: of encoders, against vectors being stored; of assets, against assets being claimed.
"""

from django.db import connection

from gallery.models import Asset
from search import codes, stored
from search.models import Code, Encoder, Shelved

#: A claim without a result is let go of: whoever holds it finds it gone, and drops what it made.
_TAKE_OUT = """
    WITH taken AS (DELETE FROM search_embedding WHERE asset_id = ANY(%s) RETURNING *)
    INSERT INTO search_shelved (asset_id, encoder_id, vector, attempts, error, embedded_at)
    SELECT asset_id, encoder_id, vector, attempts, error, embedded_at FROM taken
    WHERE vector IS NOT NULL OR error <> ''
"""
_PUT_BACK = """
    WITH taken AS (DELETE FROM search_shelved WHERE asset_id = ANY(%s) RETURNING *)
    INSERT INTO search_embedding (asset_id, encoder_id, vector, attempts, error, embedded_at, claimed_until)
    SELECT asset_id, encoder_id, vector, attempts, error, embedded_at, now() FROM taken
"""


def take_out(asset_ids: list[int]) -> None:
    """Of assets on their way to the trash, in the caller's transaction."""
    _lock(asset_ids)
    _execute(_TAKE_OUT, asset_ids)
    Code.objects.filter(asset__in=asset_ids).delete()


def put_back(asset_ids: list[int]) -> None:
    """Of assets on their way back, in the caller's transaction. What has no vector by now is pending."""
    encoders = _lock(asset_ids)
    used = set(Shelved.objects.filter(asset__in=asset_ids).values_list("encoder", flat=True).distinct())
    _execute(_PUT_BACK, asset_ids)
    for row in encoders:
        if row.pk in used:
            codes.add(row, stored.of(asset_ids, row))
        if row.is_active:
            row.say_of(asset_ids)


def _lock(asset_ids: list[int]) -> list[Encoder]:
    encoders = list(Encoder.objects.select_for_update(of=("self",), no_key=True).order_by("pk"))
    list(Asset.objects.select_for_update(of=("self",)).among(asset_ids).order_by("pk").values_list("pk"))
    return encoders


def _execute(statement: str, asset_ids: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [asset_ids])
