import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.http import QueryDict
from django.urls import reverse
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from gallery.api import FiltersSerializer, assets_asked_for
from gallery.filters import AssetFilter
from gallery.models import Asset, Collection, Tag

ASSETS = "/api/v1/assets/"
GALLERY = reverse("gallery:gallery")

#: name: format, width, height, size in bytes, day, tags
STORED = {
    "wide": ("JPEG", 800, 400, 1_000, (2024, 3, 30), ["Red", "shoe"]),
    "tall": ("JPEG", 400, 800, 5_000, (2024, 3, 31), ["red", "hat"]),
    "even": ("PNG", 500, 500, 9_000, (2024, 4, 1), []),
}


@pytest.fixture
def stored(user, stranger):
    """Rows without files: enough to be filtered."""
    tags = {tag.name.lower(): tag for tag in Tag.objects.named(["Red", "shoe", "hat"])}
    for number, (title, (kind, width, height, size_bytes, day, names)) in enumerate(STORED.items()):
        asset = Asset.objects.create(
            title=title, filename=f"{number}.x", owner=stranger if title == "even" else user, sha256=f"{number:064}",
            format=kind, width=width, height=height, size_bytes=size_bytes,
        )  # fmt: skip
        asset.tags.set(tags[name.lower()] for name in names)
        Asset.objects.filter(pk=asset.pk).update(created=datetime(*day, 12, tzinfo=UTC))


def passing(data):
    return [*AssetFilter(data, Asset.objects.order_by("pk")).matching().values_list("title", flat=True)]


# --- what each lets pass --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", "wide tall even"),
        ("tag=red", "wide tall"),
        ("tag=RED&tag=shoe", "wide"),
        ("tag=red,shoe", "wide"),
        ("tag= red ,, shoe ,", "wide"),
        ("tag=red&tag=Red", "wide tall"),
        ("tag=red&tag=unknown", ""),
        ("any_tag=shoe&any_tag=hat", "wide tall"),
        ("any_tag=red,shoe", "wide tall"),
        ("any_tag=shoe,unknown", "wide"),
        ("any_tag=unknown", ""),
        ("not_tag=shoe", "tall even"),
        ("not_tag=shoe,hat", "even"),
        ("not_tag=unknown", "wide tall even"),
        ("tag=red&not_tag=hat", "wide"),
        ("tag=,", "wide tall even"),
        ("format=PNG", "even"),
        ("orientation=landscape", "wide"),
        ("orientation=portrait", "tall"),
        ("orientation=square", "even"),
        ("min_width=500", "wide even"),
        ("max_width=500", "tall even"),
        ("min_height=500&max_height=799", "even"),
        ("min_width=99999999999999999999", ""),
        ("max_width=99999999999999999999", "wide tall even"),
        ("max_width=0", ""),
        ("min_size_bytes=5000", "tall even"),
        ("max_size_bytes=5000", "wide tall"),
        ("created_from=2024-03-31", "tall even"),
        ("created_to=2024-03-31", "wide tall"),
        ("created_from=2024-03-31&created_to=2024-03-31", "tall"),
        ("created_from=1900-01-01&created_to=2999-12-31", "wide tall even"),
        ("owner=ann", "wide tall"),
        ("owner=bob", "even"),
        ("q=ev", "even"),
        ("q=red+wid", "wide"),
        ("status=pending", "wide tall even"),
        ("status=ready", ""),
        ("tag=red&orientation=portrait&max_size_bytes=5000&owner=ann&q=ta&created_to=2024-03-31", "tall"),
        ("tag=red&orientation=portrait&max_size_bytes=4999", ""),
    ],
)
def test_filter_passes_what_it_says(stored, asked, expected):
    assert passing(QueryDict(asked)) == expected.split()


def test_collection_passes_what_is_in_it(stored, user):
    spring = Collection.objects.create(name="Spring", owner=user)
    Asset.objects.filter(title="tall").update(collection=spring)
    assert passing({"collection": spring.pk}) == ["tall"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "wide tall even"),
        ({"tag": "red"}, "wide tall"),
        ({"tag": ["red", "shoe"]}, "wide"),
        ({"tag": ["red,shoe"]}, "wide"),
        ({"tag": None, "format": ""}, "wide tall even"),
        ({"tag": []}, "wide tall even"),
        ({"tag": {"red": 1}}, ""),
        ({"not_tag": "a\0b"}, ""),
        ({"not_tag": "\ud800"}, ""),
        ({"q": "\ud800"}, ""),
        ({"owner": "\ud800"}, ""),
        ({"min_width": 500, "max_height": 400}, "wide"),
        ({"min_width": True}, ""),
        ({"min_width": 1e400}, ""),
        ({"created_from": 2024}, ""),
        ({"image": object(), "k": 3, "not_tag": ["red"]}, "even"),
    ],
)
def test_filter_reads_what_json_holds(stored, data, expected):
    assert passing(data) == expected.split()


def test_asset_passes_once_however_many_of_its_tags_are_asked_for(stored):
    assert passing({"any_tag": ["red", "shoe", "hat"]}) == ["wide", "tall"]


@pytest.mark.parametrize(
    ("moment", "passes"),
    [
        (datetime(2024, 3, 30, 22, 59, 59, tzinfo=UTC), False),
        (datetime(2024, 3, 30, 23, tzinfo=UTC), True),
        (datetime(2024, 3, 31, 21, 59, 59, 999_999, tzinfo=UTC), True),  # the day has 23 hours
        (datetime(2024, 3, 31, 22, tzinfo=UTC), False),
    ],
)
def test_day_is_the_whole_day_where_the_site_is(stored, settings, moment, passes):
    settings.TIME_ZONE = "Europe/Berlin"
    Asset.objects.update(created=moment)
    assert bool(passing({"created_from": "2024-03-31", "created_to": "2024-03-31"})) == passes


# --- what cannot be understood --------------------------------------------------------------------------------

WRONG = {
    "collection": ("x", "There is no such collection."),
    "tag": ("x" * 101, "Ensure this value has at most 100 characters (it has 101)."),
    "any_tag": ("red," + "x" * 101, "Ensure this value has at most 100 characters (it has 101)."),
    "not_tag": (",".join(map(str, range(51))), "Give at most 50 tags."),
    "format": ("EXE", "Select a valid choice. EXE is not one of the available choices."),
    "orientation": ("round", "Select a valid choice. round is not one of the available choices."),
    "min_width": ("many", "Enter a whole number."),
    "max_width": ("-1", "Ensure this value is greater than or equal to 0."),
    "min_height": ("1.5", "Enter a whole number."),
    "max_height": ("9" * 5000, "Enter a whole number."),
    "min_size_bytes": ("1 MB", "Enter a whole number."),
    "max_size_bytes": ("1e3", "Enter a whole number."),
    "created_from": ("31.3.2024", "Give a day as YYYY-MM-DD."),
    "created_to": ("0001-01-01", "Ensure this value is greater than or equal to 1900-01-01."),
    "owner": ("nobody", "Nobody of that name owns an asset."),
    "status": ("odd", "Select a valid choice. odd is not one of the available choices."),
    "q": ("x" * 201, "Ensure this value has at most 200 characters (it has 201)."),
}


def test_every_filter_can_be_misunderstood():
    assert {*WRONG} == {*AssetFilter.base_filters}


@pytest.mark.parametrize("name", WRONG)
def test_filter_that_cannot_be_understood_lets_nothing_pass_and_says_why(stored, name):
    value, told = WRONG[name]
    chosen = AssetFilter(QueryDict(mutable=True) | {name: value}, Asset.objects.all())
    assert chosen.is_narrowing
    assert [*chosen.matching()] == []
    assert chosen.errors == {name: [told]}


@pytest.mark.parametrize("name", WRONG)
def test_api_refuses_by_the_name_of_the_filter(api, stored, name):
    value, told = WRONG[name]
    answer = api.get(ASSETS, {name: value})
    assert (answer.status_code, answer.json()) == (400, {"code": "invalid", "detail": f"{name}: {told}"})


@pytest.mark.parametrize("name", ["q", "tag", "owner"])
def test_half_a_character_cannot_be_understood(db, name):
    assert [*AssetFilter({name: "\ud800"}).errors] == [name]


def test_owner_is_no_way_to_find_out_user_names(stored, staff):
    assert AssetFilter({"owner": staff.username}, Asset.objects.all()).errors == AssetFilter({"owner": "x"}).errors


# --- what it costs --------------------------------------------------------------------------------------------

EVERYTHING = (
    "q=red+wid&tag=red&tag=shoe&any_tag=shoe,hat&not_tag=hat&format=JPEG&orientation=landscape&min_width=1"
    "&max_width=9000&min_height=1&max_height=9000&min_size_bytes=1&max_size_bytes=9000&created_from=2024-01-01"
    "&created_to=2024-12-31&owner=ann&status=pending"
)


def test_all_filters_together_take_few_queries(stored, django_assert_num_queries):
    with django_assert_num_queries(7):  # the owner, three times tags, tags and assets of the text, the assets
        assert passing(QueryDict(EVERYTHING)) == ["wide"]


def test_pages_take_few_queries_with_all_filters(user_client, stored, encoder, django_assert_max_num_queries):
    address = f"{GALLERY}?{EVERYTHING}"
    with django_assert_max_num_queries(16):
        assert len(user_client.get(address).context["page"].assets) == 1


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ("q=shoe", "asset_words"),
        ("tag=red", "gallery_asset_tags_tag_id"),
        ("min_width=600", "asset_dimensions"),
        ("min_size_bytes=6000", "asset_by_size"),
        ("orientation=square", "asset_orientation"),
        ("format=PNG", "gallery_asset_format"),
        ("owner=ann", "gallery_asset_owner"),
        ("created_from=2024-04-01", "asset_by_created"),
    ],
)
def test_filter_can_be_answered_by_an_index(stored, asked, index):
    with connection.cursor() as cursor:  # in a table of three rows, Postgres would read them all
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; ANALYZE gallery_asset")
    assert index in AssetFilter(QueryDict(asked), Asset.objects.all()).matching().values("pk").explain()


@pytest.mark.parametrize("most", [0, 1, 2])
@pytest.mark.parametrize("text", ["red", "re sho", "wide", "hat ta", "unknown"])
def test_text_finds_the_same_whether_the_tagged_are_few_or_many(stored, monkeypatch, most, text):
    expected = passing({"q": text})
    monkeypatch.setattr("gallery.models._MOST_NAMED", most)
    assert passing({"q": text}) == expected


# --- addresses and pages --------------------------------------------------------------------------------------


def test_query_asks_for_the_same_again(stored):
    chosen = AssetFilter(QueryDict("tag=red,shoe&any_tag=a&any_tag=&format=&min_width=1&page_size=3"))
    assert chosen.query() == "tag=red&tag=shoe&any_tag=a&min_width=1"
    assert chosen.query(without=["tag", "min_width"]) == "any_tag=a"
    assert chosen.query(without=[("tag", "red"), ("any_tag", "a")]) == "tag=shoe&min_width=1"
    assert AssetFilter(QueryDict(chosen.query())).asked == chosen.asked


def test_gallery_says_what_is_filtered_and_leads_out_of_each(user_client, stored):
    asked = "tag=red,shoe&orientation=landscape&min_width=1000&max_size_bytes=2097152&created_from=2024-03-31"
    chips = user_client.get(f"{GALLERY}?{asked}&status=ready&owner=ann").context["chips"]
    assert [(chip.label, chip.value.replace("\xa0", " ")) for chip in chips] == [
        ("Tags", "red"),
        ("Tags", "shoe"),
        ("Orientation", "Landscape"),
        ("Width from", "1,000 px"),
        ("File size to", "2.0 MB"),
        ("Uploaded from", "31 March 2024"),
        ("Owner", "ann"),
        ("Status", "Ready"),
    ]
    assert chips[0].without.startswith("?tag=shoe&orientation=landscape&")
    assert chips[2].without.startswith("?tag=red&tag=shoe&min_width=1000&")


def test_gallery_words_a_refusal_for_people(user_client, stored):
    response = user_client.get(f"{GALLERY}?min_size_bytes={'9' * 5000}&created_from=soon")
    assert "Uploaded from: Give a day as YYYY-MM-DD." in response.content.decode()
    assert response.context["page"].assets == []


@pytest.mark.parametrize(
    ("asked", "is_open"), [("", False), ("q=a&tag=b&format=PNG&collection=1", False), ("owner=ann", True)]
)
def test_more_filters_are_open_where_one_is_set(user_client, stored, asked, is_open):
    page = user_client.get(f"{GALLERY}?{asked}").content.decode()
    assert ('<details class="more-filters" open>' in page) == is_open


def test_gallery_keeps_what_was_asked_for_in_its_fields(user_client, stored):
    page = user_client.get(f"{GALLERY}?tag=red&tag=shoe&min_size_bytes=777&max_width=9&created_to=2024-04-01")
    form = page.content.decode()
    assert re.search(r'name="tag"\s+value="red"', form)
    assert re.search(r'name="tag"\s+value="shoe"', form)
    assert '<option value="777" selected>' in form
    assert 'name="max_width" value="9"' in form
    assert 'name="created_to" value="2024-04-01"' in form


def test_gallery_carries_repeated_tags_to_the_next_asset(user_client, stored):
    shown = Asset.objects.get(title="tall")
    response = user_client.get(f"{shown.get_absolute_url()}?any_tag=shoe&any_tag=hat")
    assert (response.context["older"], response.context["newer"]) == (Asset.objects.get(title="wide").pk, None)
    assert response.context["carried"] == "any_tag=shoe&any_tag=hat"


def test_gallery_offers_those_who_own_assets(user_client, stored, staff):
    offered = user_client.get(GALLERY).context["filter"].owners
    assert [owner.username for owner in offered] == ["ann", "bob"]  # and not the staff, who own none


def test_gallery_names_no_owners_to_strangers(client, user_client, stored, settings):
    settings.PUBLIC_READ = True
    offer = '<option value="ann">'
    assert offer in user_client.get(GALLERY).content.decode()
    assert offer not in client.get(GALLERY).content.decode()


# --- for other calls of the API -------------------------------------------------------------------------------


def asked_for(user, **data):
    request = Request(APIRequestFactory().get("/"))
    request.user = user
    return assets_asked_for(request, data)


def test_schema_of_filters_has_each_of_them():
    assert {*FiltersSerializer().fields} == {*AssetFilter.base_filters}


def test_assets_asked_for_are_those_that_pass(stored, user):
    assert asked_for(user, k=3) is None
    assert [asset.title for asset in asked_for(user, tag=["shoe"])] == ["wide"]
    with pytest.raises(ValidationError, match="Enter a whole number"):
        asked_for(user, min_width="x")


def test_assets_asked_for_are_visible_to_who_asks(stored):
    assert [*asked_for(AnonymousUser(), tag="shoe")] == []
