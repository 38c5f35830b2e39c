from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from gallery import integrity
from search import asked, pipeline, query, query_pictures, tasks
from search.asked import Asked, picture_url
from search.models import QueryPicture
from search.pictures import Region

pytestmark = pytest.mark.django_db
PAGE = "/"


@pytest.fixture
def searchable(encoder, asset):
    made = [asset(seed) for seed in range(1, 6)]
    pipeline.embed_pending(encoder)
    return made


def _search(client, file, **given):
    return client.post(PAGE, {"image": file, **given}, follow=True)


def _kept() -> QueryPicture:
    return QueryPicture.objects.get()


def _expire() -> None:
    QueryPicture.objects.update(expires=timezone.now() - timedelta(seconds=1))


def test_search_by_a_picture_has_an_address_that_finds_the_same_for_other_members(
    searchable, user_client, stranger_client, picture
):
    first = _search(user_client, picture(3))
    again = stranger_client.get(f"/?query={_kept().key}")

    hits = [hit.asset for hit in first.context["found"].answer.results]
    assert hits[0] == searchable[2]
    assert [hit.asset for hit in again.context["found"].answer.results] == hits
    assert "Identical" in again.text


def test_picture_is_seen_by_who_has_its_id_and_may_read(searchable, user_client, stranger_client, client, picture):
    _search(user_client, picture(3))
    address = picture_url(_kept().key, "preview")

    shown = stranger_client.get(address)
    assert (shown.status_code, shown["Content-Type"]) == (200, "image/jpeg")
    assert client.get(address).status_code == 302
    assert stranger_client.get("/pictures/qaaaaaaaaaaaaaaaaaaaa.jpg").status_code == 404


def test_same_picture_is_kept_once_for_each_and_for_a_day_from_now(
    searchable, user, user_client, stranger_client, picture
):
    _search(user_client, picture(3))
    QueryPicture.objects.update(expires=timezone.now() + timedelta(minutes=1))
    _search(user_client, picture(3))
    assert _kept().expires > timezone.now() + timedelta(hours=23)
    assert _kept().owner == user
    _search(stranger_client, picture(3))
    assert QueryPicture.objects.count() == 2


def test_nothing_is_kept_of_what_is_no_picture(encoder, user_client):
    response = user_client.post(PAGE, {"image": SimpleUploadedFile("a.jpg", b"text")})

    assert response.status_code == 415
    assert not QueryPicture.objects.exists()


def test_picture_that_expired_is_not_found_and_says_what_to_do(searchable, user_client, picture):
    _search(user_client, picture(3))
    _expire()
    response = user_client.get(f"/?query={_kept().key}")

    assert response.status_code == 404
    assert "Search with it again" in response.text
    assert user_client.get(picture_url(_kept().key, "preview")).status_code == 404


def test_schedule_forgets_what_expired_with_its_file_and_nothing_else(searchable, user_client, picture):
    _search(user_client, picture(3))
    gone = _kept().preview.name
    _expire()
    _search(user_client, picture(4))
    tasks.forget_query_pictures()

    assert not default_storage.exists(gone)
    assert default_storage.exists(_kept().preview.name)


def test_file_of_a_query_picture_is_no_orphan(searchable, user_client, picture, monkeypatch):
    _search(user_client, picture(3))
    name = _kept().preview.name
    monkeypatch.setattr("gallery.integrity._ORPHAN_AGE", timedelta(0))

    assert name not in set(integrity.orphans())
    QueryPicture.objects.all().delete()
    assert name in set(integrity.orphans())


def test_pictures_of_strangers_are_limited_in_number(searchable, client, settings, picture, monkeypatch):
    settings.PUBLIC_READ = True
    monkeypatch.setattr(query_pictures, "MOST_OF_STRANGERS", 2)
    for seed in (11, 12, 13):
        _search(client, picture(seed, name=f"{seed}.jpg"))

    assert sorted(kept.name for kept in QueryPicture.objects.all()) == ["12.jpg", "13.jpg"]
    assert all(Path(default_storage.path(kept.preview.name)).exists() for kept in QueryPicture.objects.all())


# --- several pictures in one search ---------------------------------------------------------------------------


def test_asked_goes_from_search_to_search():
    search = Asked("1", crop="0,0,1,0.5").more_like("2").less_like("3")
    assert search.query() == "asset=1&crop=0,0,1,0.5&plus=2&minus=3"
    assert search.less_like("2").query() == "asset=1&crop=0,0,1,0.5&minus=3&minus=2"
    assert search.more_like("3").query() == "asset=1&crop=0,0,1,0.5&plus=2&plus=3"
    assert search.without("1").query() == "asset=2&minus=3"
    assert search.without("1").without("2").query() == ""
    assert search.more_like("1") == search
    assert Asked("1").less_like("1").query() == "asset=1"
    assert Asked().more_like("qa").query() == "query=qa"


def test_picture_joins_the_search_that_is_shown(searchable, user_client, picture):
    here = f"asset={searchable[0].pk}&k=3"
    response = _search(user_client, picture(9), here=here, join="1")

    assert response.request["QUERY_STRING"] == f"asset={searchable[0].pk}&plus={_kept().key}&k=3"
    assert [tile.key for tile in response.context["found"].tiles] == [str(searchable[0].pk), _kept().key]


def test_combined_search_leads_to_some_and_away_from_others(colour_encoder, flat, user_client):
    red, green, yellow, blue = flat(255, 0, 0), flat(0, 255, 0), flat(200, 200, 0), flat(0, 0, 255)
    pipeline.embed_pending(colour_encoder)
    both = user_client.get(f"/?asset={red.pk}&plus={green.pk}").context["found"]
    away = user_client.get(f"/?asset={yellow.pk}&minus={green.pk}").context["found"]

    assert [hit.asset for hit in both.answer.results] == [yellow, blue]
    assert away.answer.results[0].asset == red
    assert asked.MINUS < 0 < asked.PLUS


def test_region_of_an_asset_is_searched_with(searchable, user_client, monkeypatch):
    parts = []
    like_each = query.like_each
    monkeypatch.setattr("search.query.like_each", lambda given, *rest: parts.extend(given) or like_each(given, *rest))
    response = user_client.get(f"/?asset={searchable[0].pk}&crop=0,0,.5,0.50000", headers={"HX-Request": "true"})

    assert parts[0].picture.region == Region(0, 0, 0.5, 0.5)
    assert response["HX-Push-Url"] == f"/?asset={searchable[0].pk}&crop=0,0,0.5,0.5"


def test_least_similarity_leaves_out_what_is_further(searchable, user_client):
    every = user_client.get(f"/?asset={searchable[0].pk}").context["found"].answer.results
    least = round(every[1].similarity, 3) - 0.001
    response = user_client.get(f"/?asset={searchable[0].pk}&min_similarity={least}")
    none = user_client.get(f"/?asset={searchable[0].pk}&min_similarity=1")

    assert len(response.context["found"].answer.results) == sum(hit.similarity >= least for hit in every)
    assert "Nothing is that similar" in none.text
