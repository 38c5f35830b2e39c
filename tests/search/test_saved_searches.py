import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from search import pipeline, tasks
from search.asked import picture_url
from search.models import QueryPicture, SavedSearch

pytestmark = pytest.mark.django_db
LIST, SAVE = "/searches/", "/searches/save/"


@pytest.fixture
def searchable(encoder, asset):
    made = [asset(seed) for seed in range(3)]
    pipeline.embed_pending(encoder)
    return made


@pytest.fixture
def saved(searchable, user_client):
    """saved(name, query): as a member saves it."""

    def make(name="Shoes", query=None):
        query = query or f"asset={searchable[0].pk}"
        user_client.post(SAVE, {"name": name, "query": query})
        return SavedSearch.objects.get(name=name)

    return make


def test_search_is_saved_as_far_as_it_is_understood_and_opened_again(searchable, saved, user_client, user):
    first, second, _ = searchable
    row = saved("Shoes", f"asset={first.pk}&crop=0,0,.5,1&plus={second.pk}&k=5&tag=red&nonsense=1")

    assert row.owner == user
    assert row.query == f"asset={first.pk}&crop=0,0,0.5,1&plus={second.pk}&k=5&tag=red"
    page = user_client.get(LIST)
    assert row.get_absolute_url().replace("&", "&amp;") in page.text
    assert "2 pictures" in page.text
    assert "1 filter" in page.text
    assert user_client.get(row.get_absolute_url()).status_code == 200


def test_saved_search_keeps_its_picture_alive_until_it_is_deleted(searchable, saved, user_client, picture):
    user_client.post("/", {"image": picture(1)})
    key = QueryPicture.objects.get().key
    row = saved("Kept", f"query={key}")
    QueryPicture.objects.update(expires=timezone.now() - timedelta(days=30))
    tasks.forget_query_pictures()

    assert user_client.get(row.get_absolute_url()).context["found"].answer
    assert user_client.get(picture_url(key, "preview")).status_code == 200
    user_client.post(reverse("search:delete_saved", args=[row.pk]))
    tasks.forget_query_pictures()
    assert not QueryPicture.objects.exists()


def test_picture_of_a_saved_search_outlives_the_account_it_was_uploaded_by(
    searchable, saved, stranger, stranger_client, picture
):
    stranger_client.post("/", {"image": picture(1)})
    saved("Shared", f"query={QueryPicture.objects.get().key}")
    stranger.delete()

    assert QueryPicture.objects.alive().count() == 1
    assert not QueryPicture.objects.of_strangers().exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "required"),
        ({"name": "shoes"}, "of this name"),
        ({"name": "Other", "query": "tag=red"}, "no picture"),
        ({"name": "Other", "query": "query=qqqqqqqqqqqqqqqqqqqqq"}, "is gone"),
    ],
)
def test_search_is_not_saved_and_it_is_said_why(saved, user_client, given, said):
    row = saved("Shoes")
    response = user_client.post(SAVE, {"query": row.query, **given}, follow=True)

    assert said in " ".join(map(str, response.context["messages"]))
    assert SavedSearch.objects.count() == 1


def test_saved_search_is_renamed_but_not_to_the_name_of_another(saved, user_client):
    row, _ = saved("Shoes"), saved("Boots")
    address = reverse("search:rename_saved", args=[row.pk])

    assert user_client.get(address).status_code == 200
    assert user_client.post(address, {"name": "BOOTS"}).status_code == 400
    assert user_client.post(address, {"name": "Red shoes"})["Location"] == LIST
    row.refresh_from_db()
    assert row.name == "Red shoes"


def test_saved_search_is_deleted_when_asked_for_twice(saved, user_client):
    address = reverse("search:delete_saved", args=[saved().pk])

    assert "Delete “Shoes”?" in user_client.get(address).text
    assert SavedSearch.objects.exists()
    user_client.post(address)
    assert not SavedSearch.objects.exists()


def test_saved_searches_are_ones_own(saved, stranger_client, client):
    row = saved()

    assert row.name not in stranger_client.get(LIST).text
    for name in ("rename_saved", "delete_saved"):
        assert stranger_client.post(reverse(f"search:{name}", args=[row.pk])).status_code == 404
    assert client.get(LIST).status_code == 302
    assert client.post(SAVE).status_code == 302
    SavedSearch.objects.get()


def test_list_takes_few_queries(saved, user_client, django_assert_max_num_queries):
    for number in range(8):
        saved(f"Search {number}")
    with django_assert_max_num_queries(8):
        assert "Search 7" in user_client.get(LIST).text


def test_page_that_renames_is_below_search_in_the_navigation(user, user_client):
    saved = SavedSearch.objects.create(name="Red", owner=user, query="asset=1")
    page = user_client.get(f"/searches/{saved.pk}/rename/").text
    assert re.search(r'<a href="/"\s+aria-current="true"', page)
