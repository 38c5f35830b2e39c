from ipaddress import ip_network

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from search import pipeline
from search.asked import picture_url
from search.models import QueryPicture
from tests.server import Server, answer, running

pytestmark = pytest.mark.django_db(transaction=True)  # the picture is decoded in another thread
HTMX = {"HX-Request": "true"}
PAGE = reverse("search:search")


@pytest.fixture
def searchable(encoder, asset):
    for seed in range(1, 6):
        asset(seed)
    pipeline.embed_pending(encoder)


def test_what_is_at_the_address_is_searched_with(searchable, user_client, site):
    answered = user_client.post(PAGE, {"url": f" {site}/3.jpg "}, headers=HTMX, follow=True)
    assert answered.status_code == 200
    found = answered.context["found"]
    assert found.answer.results[0].asset.title == "picture-3"
    assert found.sha256 == found.answer.results[0].asset.sha256  # so that the page calls it identical
    assert picture_url(QueryPicture.objects.get().key, "preview") in answered.text
    assert site not in answered.text
    assert "3.jpg" in answered.text


def test_page_without_script_shows_the_same(searchable, user_client, site):
    page = user_client.post(PAGE, {"url": f"{site}/3.jpg", "here": "k=2"}, follow=True).text
    assert picture_url(QueryPicture.objects.get().key, "preview") in page
    assert "2 most similar" in page
    assert site not in page


@pytest.mark.parametrize(
    ("path", "code"), [("/gone.jpg", "fetch_failed"), ("/page.html", "unsupported_type")], ids=["gone", "page"]
)
def test_refusal_is_shown_as_others_are(searchable, user_client, site, path, code):
    answered = user_client.post(PAGE, {"url": f"{site}{path}"}, headers=HTMX, follow=True)
    assert answered["X-Refused"] == code
    assert "That did not work" in answered.text
    assert f"<code>{code}</code>" in answered.text


@pytest.mark.parametrize(
    ("url", "code"),
    [("words", "invalid"), ("file:///etc/passwd", "invalid"), ("http://127.0.0.1/", "fetch_failed"), (" ", "invalid")],
)
def test_bad_addresses_are_refused(searchable, user_client, url, code):
    answered = user_client.post(PAGE, {"url": url}, headers=HTMX, follow=True)
    assert answered["X-Refused"] == code


def test_address_that_is_too_long_is_refused(searchable, user_client):
    answered = user_client.post(PAGE, {"url": "http://example.com/" + "a" * 2000}, headers=HTMX, follow=True)
    assert answered["X-Refused"] == "invalid"
    assert "Address: " in answered.text


@pytest.fixture
def asked(settings):
    """A server, and what it was asked for."""
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("127.0.0.2/32")]
    with running(Server("127.0.0.2", lambda request: [answer()])) as server:
        yield server


def test_link_does_not_make_the_server_fetch(searchable, user_client, asked):
    url = f"http://127.0.0.2:{asked.port}/a.jpg"
    page = user_client.get(PAGE, {"url": url})
    assert f'value="{url}"' in page.text  # it waits for its reader
    assert asked.requests == []


def test_strangers_cannot_have_anything_fetched(searchable, client, settings, asked):
    settings.PUBLIC_READ = True
    assert 'name="url"' not in client.get(PAGE).text
    answered = client.post(PAGE, {"url": f"http://127.0.0.2:{asked.port}/a.jpg"}, headers=HTMX, follow=True)
    assert answered["X-Refused"] == "not_signed_in"
    assert asked.requests == []


def test_picture_that_is_uploaded_comes_first(searchable, user_client, picture, asked):
    url = f"http://127.0.0.2:{asked.port}/a.jpg"
    answered = user_client.post(PAGE, {"url": url, "image": picture(2)}, headers=HTMX, follow=True)
    assert answered.context["found"].answer.results[0].asset.title == "picture-2"
    assert asked.requests == []


def test_search_by_address_takes_as_many_queries_as_by_file(
    searchable, user_client, picture, site, django_assert_num_queries
):
    user_client.post(PAGE, {"image": picture(9)}, headers=HTMX, follow=True)
    with CaptureQueriesContext(connection) as by_file:
        user_client.post(PAGE, {"image": picture(1)}, headers=HTMX, follow=True)
    with django_assert_num_queries(len(by_file)):
        user_client.post(PAGE, {"url": f"{site}/2.jpg"}, headers=HTMX, follow=True)
