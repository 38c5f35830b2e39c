"""Walking through the gallery in its orders, and what stands beside the pages."""

from datetime import UTC, datetime
from random import Random

import pytest
from django.db import connection
from django.http import Http404, QueryDict
from django.urls import reverse
from django.utils import timezone

from gallery.browsing import ORDERS, PAGE_SIZE, Browsing
from gallery.facets import counts
from gallery.models import Asset, Collection, Tag

pytestmark = pytest.mark.django_db
GALLERY, COUNTS = reverse("gallery:gallery"), reverse("gallery:counts")
HTMX = {"HX-Request": "true"}
COUNT = 2 * PAGE_SIZE + 7

#: What each order is by, in Python.
KEYS = {
    "newest": lambda asset: (asset.created, asset.pk),
    "taken": lambda asset: (asset.taken or asset.created, asset.pk),
    "title": lambda asset: (asset.title.lower(), asset.pk),
    "largest": lambda asset: (asset.size_bytes, asset.pk),
    "most-pixels": lambda asset: (asset.width * asset.height, asset.pk),
}
BACK = {
    "oldest": "newest",
    "taken-first": "taken",
    "title-back": "title",
    "smallest": "largest",
    "fewest-pixels": "most-pixels",
}


@pytest.fixture
def many(user):
    """Rows without files, many of which have the same of everything that they can be put in order by."""
    random = Random(1)
    made = Asset.objects.bulk_create(
        Asset(
            owner=user, title=random.choice(["a b", "B", "c", "Ä"]), filename=f"{number}.jpg", sha256=f"{number:064}",
            format="JPEG", width=random.choice([300, 400, 70_000]), height=random.choice([300, 70_000]),
            size_bytes=random.choice([1, 2**40]), taken=random.choice([None, datetime(2020, 5, 1, tzinfo=UTC)]),
            status="ready",
        )
        for number in range(COUNT)
    )  # fmt: skip
    for asset in made:
        asset.created = datetime(2024, random.choice([1, 2, 3]), 15, tzinfo=UTC)
    Asset.objects.bulk_update(made, ["created"])
    return [*Asset.objects.all()]


def browsing(query, user):
    return Browsing.of(QueryDict(query), user)


def walked(name, user, place, step):
    """Ids page by page, along the links of the pages."""
    page, ids = browsing(f"sort={name}", user).page(QueryDict(place)), []
    while True:
        ids.append([asset.pk for asset in page.assets])
        query = getattr(page, step)
        if not query:
            return ids
        page = browsing(query, user).page(QueryDict(query))


@pytest.mark.parametrize("name", ORDERS)
def test_pages_of_an_order_hold_all_once_and_in_order(user, many, name):
    key = KEYS[BACK.get(name, name)]
    is_descending = name in KEYS if name != "title" else False
    expected = [asset.pk for asset in sorted(many, key=key, reverse=is_descending or name == "title-back")]
    pages = walked(name, user, "", "later")
    assert [pk for page in pages for pk in page] == expected
    assert [len(page) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 7]


@pytest.mark.parametrize("name", ORDERS)
def test_pages_before_hold_what_stands_before(user, many, name):
    forth = [pk for page in walked(name, user, "", "later") for pk in page]
    back = walked(name, user, f"before={forth[-1]}", "earlier")
    assert [pk for page in reversed(back) for pk in page] == forth[:-1]


@pytest.mark.parametrize("name", ORDERS)
def test_order_is_read_from_an_index(user, many, name):
    shown = browsing(f"sort={name}", user)
    beyond = shown._beyond(shown.assets(), shown._place(str(many[50].pk)))
    with connection.cursor() as cursor:  # of so few rows, Postgres would sort them all
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; ANALYZE gallery_asset")
    plan = shown._in_order(beyond).explain()
    assert "asset_by_" in plan
    assert "Sort" not in plan


def test_deleted_asset_still_has_a_place(user, many):
    shown = browsing("", user)
    page = shown.page(QueryDict())
    last = page.assets[-1]
    Asset.objects.filter(pk=last.pk).update(trashed=timezone.now(), delete_after=timezone.now())
    following = browsing(page.later, user).page(QueryDict(page.later))
    assert len(following.assets) == PAGE_SIZE
    assert last.pk not in [asset.pk for asset in following.assets]


def test_months_begin_where_they_change_and_go_on_over_pages(user, many):
    shown = browsing("", user)
    first = shown.page(QueryDict())
    second = browsing(first.later, user).page(QueryDict(first.later))
    begun = [(tile.month.month, tile.begins) for tile in (*first.tiles, *second.tiles) if tile.begins]
    assert [month for month, _ in begun] == [3, 2, 1][: len(begun)]
    assert not second.tiles[0].begins or second.tiles[0].month != first.tiles[-1].month


@pytest.mark.parametrize(("name", "month"), [("newest", 2), ("oldest", 2), ("newest", 7), ("oldest", 12)])
def test_month_is_jumped_to(user, many, name, month):
    query = QueryDict(f"sort={name}&month=2024-{month:02}")
    page = Browsing.of(query, user).page(query)
    if name == "oldest" and month == 12:
        assert page.assets == []
        return
    assert page.assets[0].created.month == min(month, 3)
    assert bool(page.earlier) == (month == 2)


def test_month_is_no_place_in_an_order_without_dates(user, many):
    with pytest.raises(Http404):
        browsing("sort=title", user).page(QueryDict("month=2024-01"))


def test_order_that_there_is_not_is_the_usual_one(user_client, many):
    assert user_client.get(f"{GALLERY}?sort=none").context["browsing"].order_name == "newest"


def test_order_is_carried_on_by_pages_chips_and_assets(user_client, many):
    shown = user_client.get(f"{GALLERY}?sort=title&format=JPEG")
    assert shown.context["page"].later.startswith("format=JPEG&sort=title&after=")
    assert shown.context["chips"][0].without == "?sort=title"
    one = user_client.get(f"{shown.context['page'].assets[1].get_absolute_url()}?sort=title")
    assert one.context["newer"] == shown.context["page"].assets[0].pk
    assert one.context["older"] == shown.context["page"].assets[2].pk


# --- facets ---------------------------------------------------------------------------------------------------


@pytest.fixture
def various(user):
    """Four assets, each of its own."""
    shoes = Collection.objects.create(name="Shoes", owner=user)
    red, old = Tag.objects.create(name="red"), Tag.objects.create(name="old")
    rows = [
        ("JPEG", 400, 300, shoes, [red]),
        ("JPEG", 300, 400, shoes, [red, old]),
        ("PNG", 300, 300, shoes, []),
        ("PNG", 400, 300, None, [old]),
    ]
    for number, (kind, width, height, collection, tags) in enumerate(rows):
        asset = Asset.objects.create(
            owner=user, title=f"{number}", filename=f"{number}.x", sha256=f"{number:064}", format=kind, width=width,
            height=height, size_bytes=1, collection=collection,
        )  # fmt: skip
        asset.tags.set(tags)


def told(query, user):
    """Counts by facet and label."""
    found = counts(browsing(query, user))
    return {"total": found.total, **{facet.name: {v.label: v.count for v in facet.values} for facet in found.facets}}


def test_facets_count_what_each_value_leaves(user, various):
    assert told("", user) == {
        "total": 4,
        "collection": {"Shoes": 3},
        "tag": {"old": 2, "red": 2},
        "format": {"JPEG": 2, "PNG": 2},
        "orientation": {"Landscape": 2, "Portrait": 1, "Square": 1},
        "status": {"Pending": 4},
    }


def test_facet_leaves_its_own_choice_out_of_account_and_all_others_in(user, various):
    found = told("format=PNG&tag=old", user)
    assert found["total"] == 1
    assert found["format"] == {"JPEG": 1, "PNG": 1}
    assert found["orientation"] == {"Landscape": 1}
    assert found["tag"] == {"old": 1}


def test_facet_keeps_what_is_chosen_where_nothing_has_it(user, various):
    found = told("q=nothing&format=PNG&tag=red,unknown", user)
    assert (found["format"], found["tag"]) == ({"PNG": 0}, {"red": 0, "unknown": 0})


def test_facet_is_of_use_where_a_value_divides_what_there_is(user, various):
    def useful(query):
        return {facet.name for facet in counts(browsing(query, user)).facets if facet.is_of_use}

    assert useful("") == {"collection", "tag", "format", "orientation"}  # one collection, and what lies in none
    assert useful("q=3") == set()
    assert useful("tag=red") == {"tag", "orientation"}  # all that is red is a JPEG and a shoe
    assert useful("format=PNG") == {"collection", "tag", "format", "orientation"}


def test_facets_count_nothing_for_a_filter_that_cannot_be_understood(user, various):
    assert told("created_from=nonsense", user) == {"total": 0}


def test_months_are_counted_in_the_order_s_direction(user, many):
    years = counts(browsing("", user)).years
    assert [year.number for year in years] == [2024]
    assert [month.first.month for month in years[0].months] == [3, 2, 1]
    assert years[0].count == COUNT
    assert years[0].months[0].query == "month=2024-03"
    assert [month.first.month for month in counts(browsing("sort=oldest", user)).years[0].months] == [1, 2, 3]
    assert counts(browsing("sort=title", user)).years == []


def test_counts_come_as_a_fragment_and_as_a_page(user_client, various):
    fragment, page = user_client.get(COUNTS, headers=HTMX), user_client.get(COUNTS)
    assert b"<html" not in fragment.content
    assert b'hx-swap-oob="true"' in fragment.content
    assert b"<html" in page.content
    assert b'value="JPEG"' in page.content


@pytest.mark.parametrize(
    "query", ["", "q=a&tag=red&status=ready&collection=1", "sort=title&q=a&tag=red&any_tag=red&format=PNG"]
)
def test_pages_take_few_queries_whatever_is_asked(user_client, many, encoder, django_assert_max_num_queries, query):
    for address in (f"{GALLERY}?{query}&after={many[70].pk}", f"{COUNTS}?{query}"):
        with django_assert_max_num_queries(12):
            user_client.get(address)


# --- the look -------------------------------------------------------------------------------------------------


def test_look_is_kept_in_cookies(user_client, various):
    answered = user_client.post(
        reverse("gallery:look"), {"layout": "squares", "density": "dense", "next": f"{GALLERY}?q=1"}
    )
    assert answered["Location"] == f"{GALLERY}?q=1"
    page = user_client.get(GALLERY).content
    assert b'data-layout="squares"' in page
    assert b'data-density="dense"' in page


def test_look_that_there_is_not_is_the_usual_one_and_leads_nowhere_else(user_client, various):
    answered = user_client.post(reverse("gallery:look"), {"layout": "x", "next": "https://elsewhere.example/"})
    assert answered["Location"] == GALLERY
    assert user_client.get(GALLERY).context["look"] == {"layout": "rows", "density": "compact"}
