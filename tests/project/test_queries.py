"""No page asks the database more than a dozen times, however much there is to show."""

import uuid

import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gallery import trash
from gallery.history import Act
from gallery.import_models import Import, Refusal
from gallery.models import Asset, Change, Collection, Tag
from search import pipeline, report_making
from search.models import SavedSearch
from tests import rows
from tests.routes import addresses, addresses_of_admin

pytestmark = pytest.mark.django_db

MOST, MANY = 12, 30
#: What a bare address does not show.
STATES = [
    "/?asset={asset_id}&k=50",
    "/?query={key}&crop=0,0,0.5,1&plus={asset_id}&tag=many-1&k=50",
    "/gallery/?q=many&tag=many-1&sort=title",
    "/gallery/?collection={collection_id}",
    "/compare/?asset={asset_id}&k=50",
]


@pytest.fixture
def things(staff, asset, encoder):
    """By the names that routes have for them: one of many each."""
    tags = Tag.objects.named([f"many-{number}" for number in range(MANY)])
    collections = [Collection.objects.create(name=f"many {number}", owner=staff) for number in range(MANY)]
    assets = [asset(seed, owner=staff, title=f"many {seed}") for seed in range(2 * MANY)]
    for each in assets:
        each.tags.set(tags[:10])
    Asset.objects.filter(pk__in=[each.pk for each in assets]).update(collection=collections[0])
    pipeline.embed([each.pk for each in assets], encoder)
    acts = [uuid.uuid4() for _ in range(MANY)]
    Change.objects.bulk_create(
        Change(asset=assets[0], user=staff, act=act, kind="title", before="a", after="b") for act in acts
    )
    imports = [Import.objects.create(owner=staff, kind="urls", name=f"many {number}") for number in range(MANY)]
    Refusal.objects.bulk_create(
        Refusal(run=imports[0], position=place, source="a.jpg", code="corrupt", detail="It is damaged.")
        for place in range(2 * MANY)
    )
    report = report_making.begin(staff)
    pictures = [*(each.original for each in assets[:MANY]), ContentFile(b"no picture", "broken.jpg")]
    entry, *_ = report_making.add(report, report_making.of_files(pictures, staff, keep=True))
    saved = [
        SavedSearch.objects.create(name=f"many {number}", owner=staff, query=f"query={entry.picture_id}")
        for number in range(MANY)
    ]
    trash.move_to_trash(Asset.objects.filter(pk__in=[each.pk for each in assets[MANY:]]), Act(staff))
    return {
        "asset_id": assets[0].pk, "collection_id": collections[0].pk, "tag_id": tags[0].pk, "act_id": acts[0],
        "import_id": imports[0].pk, "encoder_id": encoder.pk, "build_id": 0, "report_id": report.pk,
        "entry_id": entry.pk, "key": entry.picture_id, "search_id": saved[0].pk, "name": 32 * "a",
    }  # fmt: skip


@pytest.fixture
def pages(things, staff):
    rows.second_encoder("beside")
    made = rows.make(staff, "many-1", classes=MANY, measurements=MANY)
    assert [label for label, key in made.items() if key is None] == []
    return [*addresses(things), *(state.format(**things) for state in STATES), *addresses_of_admin(made)]


def test_every_page_takes_a_dozen_queries_at_most(things, pages, staff_client):
    took = {}
    for address in pages:
        with CaptureQueriesContext(connection) as captured:
            answer = staff_client.get(address)
        if answer.status_code == 200 and "text/html" in answer["Content-Type"]:
            took[address] = len(captured)
    assert {"/", "/gallery/", "/work/", "/trash/", f"/assets/{things['asset_id']}/", "/admin/auth/user/"} <= set(took)
    assert {address.format(**things) for address in STATES} <= set(took)
    assert {address: count for address, count in took.items() if count > MOST} == {}
