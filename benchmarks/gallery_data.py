"""A gallery of any number of assets: rows with titles, dates, tags and collections, that share the files of a few."""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from benchmarks import search_postgres
from benchmarks.search_data import draw, make_law
from gallery.models import Asset, Collection, Tag
from gallery.uploads import store_upload
from search import encoders
from search.models import Encoder
from tests.conftest import drawn, encoded

#: Proportions that cameras and croppers make, from a tall banner to a panorama.
_SIZES = [(1200, 800), (800, 1200), (1000, 1000), (1600, 900), (900, 1600), (1024, 768), (768, 1024), (1800, 700)]
_WORDS = [
    "red",
    "blue",
    "green",
    "harbour",
    "winter",
    "market",
    "shoe",
    "leather",
    "portrait",
    "mountain",
    "lamp",
    "paper",
    "glass",
    "river",
    "night",
    "garden",
]
_TAGS = 60
_COLLECTIONS = 25

#: Some 6 years of uploads, in their order; two of three pictures know when they were taken, up to 5 years before.
_DESCRIBED = """
    UPDATE gallery_asset AS asset SET
        title = vocabulary[1 + asset.id * 7919 %% cardinality(vocabulary)] || ' '
            || vocabulary[1 + asset.id / 16 %% cardinality(vocabulary)] || ' ' || asset.id,
        filename = 'IMG_' || asset.id || '.jpg',
        created = timestamptz '2026-01-01' - (%(rows)s - asset.id) * interval '6 years' / %(rows)s,
        taken = CASE WHEN asset.id %% 3 > 0 THEN
            timestamptz '2026-01-01' - (%(rows)s - asset.id) * interval '6 years' / %(rows)s
            - (asset.id * 7919 %% 1826) * interval '1 day' END,
        collection_id = CASE WHEN asset.id %% 3 > 0 THEN collections[1 + asset.id / 40 %% cardinality(collections)] END,
        format = shots.format, width = shots.width, height = shots.height,
        size_bytes = shots.size_bytes + asset.id * 7919 %% 5000000,
        original = shots.original, preview = shots.preview, thumbnail = shots.thumbnail, status = 'ready'
    FROM (SELECT row_number() OVER (ORDER BY id) - 1 AS number, * FROM gallery_asset WHERE id > %(rows)s) AS shots,
        (SELECT %(words)s::text[] AS vocabulary, %(collections)s::bigint[] AS collections) AS given
    WHERE asset.id <= %(rows)s AND number = asset.id * 7919 %% %(shots)s
"""
#: Three tags each, the first of the list far more often than the last.
_TAGGED = """
    INSERT INTO gallery_asset_tags (asset_id, tag_id)
    SELECT DISTINCT asset.id, tags[1 + floor(cardinality(tags) * power((asset.id * prime %% 1009) / 1009.0, 3))::int]
    FROM gallery_asset AS asset, unnest(ARRAY[7919, 104729, 1299709]::bigint[]) AS prime,
        (SELECT %(tags)s::bigint[] AS tags) AS given
"""


def fill(rows: int, photos: Sequence[bytes] = ()) -> None:
    """`rows` assets that can be searched, and beside them those whose files they share. The gallery must be new."""
    encoder = Encoder.objects.for_spec(encoders.spec("descriptor"))
    encoder.activate()
    search_postgres.fill(encoder, draw(make_law(encoder.dimensions), rows, seed=1))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM gallery_asset_tags")
        cursor.execute("SELECT setval('gallery_asset_id_seq', %s)", [rows])
    owner = User.objects.get(username="benchmark")
    pictures = photos or [encoded(drawn(seed, _SIZES[seed % len(_SIZES)])) for seed in range(3 * len(_SIZES))]
    for number, picture in enumerate(pictures):
        store_upload(SimpleUploadedFile(f"{number}.jpg", picture), owner)
    collections = [Collection.objects.create(name=f"Shoot {n}", owner=owner).pk for n in range(_COLLECTIONS)]
    tags = [tag.pk for tag in Tag.objects.named([f"subject {n}" for n in range(_TAGS)])]
    shots = Asset.objects.filter(pk__gt=rows).count()
    with connection.cursor() as cursor:
        given = {"rows": rows, "words": _WORDS, "collections": collections, "shots": shots}
        cursor.execute(_DESCRIBED, given)
        cursor.execute(_TAGGED, {"tags": tags})
        cursor.execute("VACUUM FULL ANALYZE gallery_asset")
        cursor.execute("VACUUM ANALYZE")
