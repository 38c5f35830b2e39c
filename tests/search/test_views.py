from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from gallery.models import Asset, Collection
from search import pipeline
from search.models import Embedding, Encoder, QueryPicture

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
MOST_QUERIES = 12
SEARCH = "/"

Picture = Callable[..., SimpleUploadedFile]


@pytest.fixture(autouse=True)
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the assets queued to be embedded."""
    ids: list[int] = []
    monkeypatch.setattr("search.tasks.queue_asset", ids.append)
    return ids


@pytest.fixture
def ready(asset: Callable[..., Asset], encoder: Encoder) -> Callable[..., Asset]:
    """ready(seed, ...): an asset that can be searched for."""

    def make(seed: int = 0, **details: object) -> Asset:
        made = asset(seed, **details)
        pipeline.embed([made.pk], encoder)
        made.refresh_from_db()
        return made

    return make


def _found(response) -> list[Asset]:
    return [hit.asset for hit in response.context["found"].answer.results]


def _post(client: Client, given: dict[str, object], here: str = ""):
    """Search with a picture from outside, and go where that leads."""
    return client.post(SEARCH, {**given, "here": here}, headers=HTMX, follow=True)


# --- the search page ------------------------------------------------------------------------------------------


def test_search_page_offers_the_newest_to_start_from(user_client: Client, ready: Callable[..., Asset]) -> None:
    stored = ready()
    response = user_client.get(SEARCH)

    assert response.status_code == 200
    assert f"?asset={stored.pk}" in response.content.decode()


def test_search_by_a_picture_finds_the_identical_first(
    user_client: Client, ready: Callable[..., Asset], picture: Picture
) -> None:
    stored = [ready(seed) for seed in range(4)]
    response = _post(user_client, {"image": picture(2)})

    page = response.content.decode()
    assert _found(response)[0] == stored[2]
    assert len(_found(response)) == 4
    assert b"<html" not in response.content
    assert page.count("Identical") == 1
    assert reverse("gallery:download", args=[stored[2].pk]) in page
    assert "descriptor" in page
    assert "exact" in page


def test_region_of_a_picture_is_identical_to_none(
    user_client: Client, ready: Callable[..., Asset], picture: Picture
) -> None:
    ready(2)
    _post(user_client, {"image": picture(2)})
    [kept] = QueryPicture.objects.all()
    whole, part = (user_client.get("/", {"query": kept.key, **crop}).text for crop in ({}, {"crop": "0,0,0.5,1"}))
    assert (whole.count("Identical"), part.count("Identical")) == (1, 0)


def test_search_without_script_answers_with_the_page(
    user_client: Client, ready: Callable[..., Asset], picture: Picture
) -> None:
    stored = ready(1)
    response = user_client.post(SEARCH, {"image": picture(1), "here": "k=5"}, follow=True)

    assert b"<html" in response.content
    assert response.request["QUERY_STRING"].endswith("&k=5")
    assert _found(response) == [stored]


def test_search_by_an_asset_leaves_it_out_and_has_an_address(user_client: Client, ready: Callable[..., Asset]) -> None:
    stored = [ready(seed, tags=["red"]) for seed in range(4)]
    address = f"{SEARCH}?asset={stored[0].pk}&k=2&tag=red"
    given = {"asset": stored[0].pk, "k": 2, "tag": "red", "q": ""}
    by_form = user_client.get(SEARCH, given, headers={**HTMX, "HX-Target": "results"})
    by_address = user_client.get(address)

    assert by_form["HX-Replace-Url"] == address
    assert _found(by_address) == _found(by_form)
    assert len(_found(by_address)) == 2
    assert stored[0] not in _found(by_address)


def test_search_by_a_picture_takes_the_place_of_another_and_keeps_filters(
    user_client: Client, ready: Callable[..., Asset], picture: Picture
) -> None:
    ready()
    response = _post(user_client, {"image": picture(1)}, "asset=1&crop=0,0,1,1&plus=2&k=10&q=pic")

    kept = QueryPicture.objects.get()
    assert response["HX-Push-Url"] == f"/?query={kept.key}&q=pic"


def test_search_passes_filters(user_client: Client, user: User, ready: Callable[..., Asset], picture: Picture) -> None:
    spring = Collection.objects.create(name="Spring", owner=user)
    ready(1)
    wanted = ready(2, collection=spring, tags=["red"], title="A shoe")
    given = {"collection": spring.pk, "tag": "RED", "q": "sho", "format": "JPEG"}
    response = _post(user_client, {"image": picture(1)}, urlencode(given))

    assert _found(response) == [wanted]


def test_search_finds_nothing_by_a_filter_it_cannot_understand(
    user_client: Client, ready: Callable[..., Asset], picture: Picture
) -> None:
    ready()
    response = _post(user_client, {"image": picture()}, "collection=nonsense")

    assert _found(response) == []
    assert "Clear filters" in response.content.decode()


def test_search_says_how_good_an_approximate_answer_is(
    user_client: Client, ready: Callable[..., Asset], encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = ready()
    found = user_client.get(f"{SEARCH}?asset={stored.pk}").context["found"]
    how = type(found.answer.search)(exact=False, index="ivfflat", probes=3, recall=0.98749)
    answer = type(found.answer)(encoder.name, how, [], {"search": 1.0})
    monkeypatch.setattr("search.query.like_each", lambda *args: [answer])

    assert "approximate (ivfflat, recall 0.987)" in user_client.get(f"{SEARCH}?asset={stored.pk}").content.decode()


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({}, 400, "invalid"),
        ({"image": SimpleUploadedFile("a.jpg", b"")}, 400, "empty"),
        ({"image": SimpleUploadedFile("a.jpg", b"text")}, 415, "unsupported_type"),
    ],
)
def test_search_says_why_it_refuses_in_the_place_of_results(
    user_client: Client, encoder: Encoder, given: dict[str, object], status: int, code: str
) -> None:
    response = user_client.post(SEARCH, given, headers=HTMX)

    assert (response.status_code, response["X-Refused"]) == (status, code)
    assert type(response["X-Refused"]) is str  # wsgiref takes no subclass
    assert response.context["found"].refused.detail in response.content.decode()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("asset=x", "invalid"),
        ("query=x", "invalid"),
        ("k=0", "invalid"),
        ("k=201", "invalid"),
        ("min_similarity=2", "invalid"),
        ("crop=0,0,2,2", "invalid"),
        ("crop=1", "invalid"),
        ("plus=x", "invalid"),
        ("turned=1&plus=1000000", "not_found"),
        ("minus=qqqqqqqqqqqqqqqqqqqqq", "not_found"),
        ("&".join(f"plus={number}" for number in range(1000, 1020)), "invalid"),
    ],
)
def test_search_says_why_it_refuses_an_address(
    user_client: Client, ready: Callable[..., Asset], asked: str, code: str
) -> None:
    response = user_client.get(f"{SEARCH}?asset={ready().pk}&{asked}")

    assert response["X-Refused"] == code
    assert "That did not work" in response.text


def test_search_tells_all_that_is_wrong_with_an_address(user_client: Client, ready: Callable[..., Asset]) -> None:
    page = user_client.get(f"{SEARCH}?asset={ready().pk}&k=0&min_similarity=2&crop=1").text

    for label in ("How many", "Similarity from", "Region"):
        assert f"{label}: " in page


def test_search_says_what_to_do_where_no_encoder_is_set_up(user_client: Client, picture: Picture) -> None:
    response = _post(user_client, {"image": picture()})

    assert (response.status_code, response["X-Refused"]) == (503, "encoder_unavailable")
    assert "manage.py prepare" in response.content.decode()


def test_search_by_an_asset_that_is_pending_says_to_wait(
    user_client: Client, asset: Callable[..., Asset], encoder: Encoder
) -> None:
    response = user_client.get(f"{SEARCH}?asset={asset().pk}")

    assert response.status_code == 409
    assert "still being analysed" in response.content.decode()


@pytest.mark.parametrize("asset_id", [987654, 9**30])
def test_search_by_an_asset_that_is_not_there_is_not_found(
    user_client: Client, encoder: Encoder, asset_id: int
) -> None:
    assert user_client.get(f"{SEARCH}?asset={asset_id}").status_code == 404


def test_search_sends_who_is_not_signed_in_to_the_login(client: Client, db: None) -> None:
    assert client.get(SEARCH)["Location"] == "/login/?next=/"
    assert client.post(SEARCH).status_code == 302


def test_search_is_open_to_everyone_where_the_setting_says_so(
    client: Client, settings, ready: Callable[..., Asset], picture: Picture
) -> None:
    settings.PUBLIC_READ = True
    stored = ready()

    assert _found(_post(client, {"image": picture()})) == [stored]


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_search_takes_few_queries(
    user_client: Client,
    ready: Callable[..., Asset],
    picture: Picture,
    django_assert_max_num_queries,
    headers: dict[str, str],
) -> None:
    for seed in range(12):
        ready(seed, tags=["red", "big"])
    with django_assert_max_num_queries(MOST_QUERIES):
        response = user_client.post(SEARCH, {"image": picture()}, headers=headers)
    asked = f"{response['Location']}&tag=red&plus={Asset.objects.first().pk}"
    with django_assert_max_num_queries(MOST_QUERIES):
        response = user_client.get(asked, headers=headers)
    assert len(_found(response)) == 10


# --- on an asset's page ---------------------------------------------------------------------------------------


def test_similar_shows_what_looks_like_an_asset(
    user_client: Client, ready: Callable[..., Asset], django_assert_max_num_queries
) -> None:
    shown, other = ready(1), ready(2)
    with django_assert_max_num_queries(MOST_QUERIES):
        response = user_client.get(reverse("search:similar", args=[shown.pk]), headers=HTMX)

    assert _found(response) == [other]
    assert b"every" not in response.content


def test_similar_without_script_is_a_search(user_client: Client, ready: Callable[..., Asset]) -> None:
    shown = ready()

    assert user_client.get(reverse("search:similar", args=[shown.pk]))["Location"] == f"/?asset={shown.pk}"


def test_similar_of_a_pending_asset_asks_again_by_itself(
    user_client: Client, asset: Callable[..., Asset], encoder: Encoder
) -> None:
    response = user_client.get(reverse("search:similar", args=[asset().pk]), headers=HTMX)

    assert response.status_code == 200
    assert b"still being analysed" in response.content
    assert b"every 2s" in response.content


def test_similar_of_a_failed_asset_says_so_and_rests(
    user_client: Client, asset: Callable[..., Asset], encoder: Encoder
) -> None:
    shown = asset()
    Asset.objects.update(status="failed", error="broken")
    response = user_client.get(reverse("search:similar", args=[shown.pk]), headers=HTMX)

    assert (response.status_code, response["X-Refused"]) == (409, "not_searchable")
    assert b"every" not in response.content


def test_similar_is_closed_to_who_is_not_signed_in(client: Client, asset: Callable[..., Asset]) -> None:
    response = client.get(reverse("search:similar", args=[asset().pk]), headers=HTMX)

    assert response["HX-Redirect"].startswith("/login/")


# --- retrying -------------------------------------------------------------------------------------------------


def test_retry_makes_a_failed_asset_pending_and_queues_it(
    user_client: Client, ready: Callable[..., Asset], queued: list[int]
) -> None:
    failed = ready()
    queued.clear()
    Asset.objects.update(status="failed", error="broken")
    Embedding.objects.update(vector=None, error="broken")
    response = user_client.post(reverse("search:retry", args=[failed.pk]))

    failed.refresh_from_db()
    assert response["Location"] == failed.get_absolute_url()
    assert (failed.status, failed.error) == ("pending", "")
    assert queued == [failed.pk]


def test_retry_without_an_encoder_says_what_to_do(
    user_client: Client, asset: Callable[..., Asset], queued: list[int]
) -> None:
    stored = asset()
    queued.clear()
    response = user_client.post(reverse("search:retry", args=[stored.pk]), follow=True)

    assert "manage.py prepare" in response.content.decode()
    assert queued == []


def test_retry_is_for_owners_and_by_post_alone(
    user_client: Client, stranger_client: Client, client: Client, ready: Callable[..., Asset]
) -> None:
    address = reverse("search:retry", args=[ready().pk])

    assert user_client.get(address).status_code == 405
    assert stranger_client.post(address).status_code == 403
    assert client.post(address).status_code == 302
    assert Asset.objects.get().status == "ready"


def test_dismissing_the_banner_is_by_post_and_answers_htmx_with_nothing(user_client: Client) -> None:
    address = reverse("search:dismiss_banner")

    assert user_client.get(address).status_code == 405
    assert user_client.post(address, headers=HTMX).content == b""
    assert user_client.post(address)["Location"] == SEARCH


@pytest.mark.parametrize(
    ("status", "told"), [("failed", "No picture could be analysed"), ("pending", "Pictures are being analysed")]
)
def test_gallery_in_which_nothing_can_be_found_says_why(
    user_client: Client, asset: Callable[..., Asset], encoder: Encoder, status: str, told: str
) -> None:
    Asset.objects.filter(pk=asset().pk).update(status=status)
    assert told in user_client.get(SEARCH).text
