import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BoundedSemaphore, BrokenBarrierError

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from drf_spectacular.validation import validate_schema
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory

from assetsearch.api import SchemaView
from gallery.ingest import fetch
from gallery.models import Collection
from search import pipeline
from search.api import AnswerSerializer, HitSerializer, HowSerializer
from search.encoders import EncoderUnavailable
from search.models import Encoder, IndexBuild

SEARCH = "/api/v1/search/"


@pytest.fixture
def embedded(encoder, asset, user):
    """Six assets that can be searched; the odd ones in a collection and tagged."""
    odd = Collection.objects.create(name="Odd", owner=user)
    assets = [asset(i, collection=odd if i % 2 else None, tags=["odd"] if i % 2 else []) for i in range(6)]
    pipeline.embed_pending(encoder)
    return assets


def search(api, **fields):
    return api.post(SEARCH, fields, format="multipart")


def assert_error(response, status, code):
    assert response.status_code == status
    assert response.json()["code"] == code
    assert response.json()["detail"]


def test_stored_picture_is_its_own_first_hit(api, embedded, picture):
    answer = search(api, image=picture(3), k=3).json()
    assert answer["encoder"] == "descriptor"
    assert answer["search"] == {
        "exact": True, "metric": "cosine", "index": None, "probes": None, "ef_search": None, "candidates": None,
        "recall": None, "filters": None,
    }  # fmt: skip
    assert set(answer["took_ms"]) == {"encode", "search"}
    assert [hit["rank"] for hit in answer["results"]] == [1, 2, 3]
    first = answer["results"][0]
    assert first["asset"]["id"] == embedded[3].pk
    assert first["similarity"] >= 0.999
    assert first["similarity"] == pytest.approx(1 - first["distance"])


def test_answer_has_the_fields_that_the_schema_names(api, embedded, picture):
    answer = search(api, image=picture(3), k=1).json()
    [hit] = answer["results"]
    for serializer, told in ((AnswerSerializer, answer), (HowSerializer, answer["search"]), (HitSerializer, hit)):
        assert set(serializer().fields) == set(told)


def test_several_pictures_give_an_answer_each_in_order(api, embedded, picture):
    answers = search(api, image=[picture(4), picture(1)]).json()
    assert [answer["results"][0]["asset"]["id"] for answer in answers] == [embedded[4].pk, embedded[1].pk]


def test_combined_pictures_give_one_answer(api, embedded, picture):
    answer = search(api, image=[picture(4), picture(1)], mode="combined").json()
    assert {hit["asset"]["id"] for hit in answer["results"][:2]} == {embedded[4].pk, embedded[1].pk}


def test_picture_is_searched_with_by_its_url(api, embedded, site):
    answer = api.post(SEARCH, {"url": f"{site}/4.jpg"}, format="json").json()
    assert answer["results"][0]["asset"]["id"] == embedded[4].pk


def test_search_by_urls_takes_one_turn_or_none(api, embedded, site, monkeypatch):
    monkeypatch.setattr(fetch, "_TURNS", BoundedSemaphore(1))
    urls = [f"{site}/{seed}.jpg" for seed in (1, 2)]
    with fetch.in_turn():
        response = api.post(SEARCH, {"url": urls}, format="json")
        assert (response.status_code, response.json()["code"], response["Retry-After"]) == (429, "throttled", "5")
        assert api.post(SEARCH, {"asset": embedded[0].pk}, format="json").status_code == 200
    for _ in range(2):
        assert api.post(SEARCH, {"url": urls}, format="json").status_code == 200


def test_urls_come_after_files_and_before_assets(api, embedded, picture, site):
    answers = search(api, image=[picture(2)], url=[f"{site}/4.jpg", f"{site}/1.jpg"], asset=[embedded[0].pk]).json()
    first = [answer["results"][0]["asset"]["id"] for answer in answers]
    assert first[:3] == [embedded[2].pk, embedded[4].pk, embedded[1].pk]
    assert len(answers) == 4


def test_url_that_cannot_be_fetched_is_refused(api, embedded, site):
    response = api.post(SEARCH, {"url": [f"{site}/1.jpg", f"{site}/gone.jpg"]}, format="json")
    assert (response.status_code, response.json()["code"]) == (400, "fetch_failed")


def test_strangers_have_nothing_fetched(client, embedded, site, settings):
    settings.PUBLIC_READ = True
    response = client.post(SEARCH, {"url": f"{site}/1.jpg"})
    assert (response.status_code, response.json()["code"]) == (401, "not_signed_in")


def test_stored_asset_as_query_leaves_itself_out(api, embedded):
    by_post = api.post(SEARCH, {"asset": embedded[0].pk}, format="json").json()
    by_get = api.get(f"/api/v1/assets/{embedded[0].pk}/similar/").json()
    ids = [hit["asset"]["id"] for hit in by_post["results"]]
    assert ids == [hit["asset"]["id"] for hit in by_get["results"]]
    assert sorted(ids) == sorted(asset.pk for asset in embedded[1:])


@pytest.mark.parametrize("filters", [{"tag": "odd"}, {"collection": "Odd"}, {"q": "picture odd"}])
def test_filters_narrow_the_answer(api, embedded, picture, filters):
    if "collection" in filters:
        filters = {"collection": Collection.objects.get().pk}
    answer = search(api, image=picture(0), **filters).json()
    assert {hit["asset"]["id"] for hit in answer["results"]} == {embedded[i].pk for i in (1, 3, 5)}
    similar = api.get(f"/api/v1/assets/{embedded[1].pk}/similar/", {**filters, "k": 2}).json()
    assert {hit["asset"]["id"] for hit in similar["results"]} == {embedded[i].pk for i in (3, 5)}


def test_pending_asset_cannot_be_searched_with_yet(api, encoder, asset):
    assert_error(api.get(f"/api/v1/assets/{asset(1).pk}/similar/"), 409, "not_searchable")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"image": "text"},
        {"asset": "x"},
        {"asset": -1},
        {"asset": 1, "k": 0},
        {"asset": 1, "k": 201},
        {"asset": 1, "k": "many"},
        {"asset": 1, "mode": "odd"},
        {"asset": 1, "collection": "x"},
        {"asset": 1, "collection": 999},
        {"asset": 1, "status": "odd"},
        {"asset": {"a": 1}},
        {"asset": 1, "created_from": "yesterday"},
        {"asset": 1, "metric": "manhattan"},
        {"asset": 1, "min_similarity": 2},
        {"asset": 1, "weight": [1]},
        {"asset": [1, 2], "mode": "combined", "weight": [1]},
        {"asset": 1, "crop": "0,0,1"},
        {"asset": 1, "crop": [0, 0, 2, 1]},
        {"asset": [1, 2], "turned": True},
        {"asset": list(range(1, 22))},
    ],
)
def test_bad_search_is_refused(api, encoder, fields):
    assert_error(api.post(SEARCH, fields, format="json"), 400, "invalid")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null", b"3", b'"x"', b'{"asset": 1, "q": "\\ud800"}'])
def test_odd_body_is_refused(api, encoder, body):
    assert_error(api.post(SEARCH, body, content_type="application/json"), 400, "invalid")


@pytest.mark.parametrize("asset_id", [999, 10**30])
def test_search_by_an_unknown_asset_is_not_found(api, encoder, asset_id):
    assert_error(api.post(SEARCH, {"asset": asset_id}, format="json"), 404, "not_found")


def test_unreadable_picture_is_refused(api, encoder, picture):
    for pictures in ([], [picture(1)]):
        broken = SimpleUploadedFile("x.jpg", b"no picture")
        assert_error(search(api, image=[*pictures, broken]), 415, "unsupported_type")


def test_refused_one_of_several_pictures_is_named(api, encoder, picture):
    broken = SimpleUploadedFile("broken.jpg", b"no picture")
    assert search(api, image=[picture(1), broken]).json()["detail"].startswith("broken.jpg: ")


def test_too_many_pictures_are_refused(api, encoder, picture):
    assert_error(search(api, image=[picture(i) for i in range(21)]), 400, "invalid")


def test_search_without_an_encoder_says_so(api, picture):
    assert_error(search(api, image=picture(1)), 503, "encoder_unavailable")


def test_encoder_that_cannot_be_loaded_is_said(api, encoder, picture, monkeypatch):
    def fail(row):
        raise EncoderUnavailable("The weights are gone.", "Fetch them.")

    monkeypatch.setattr(Encoder, "load", fail)
    response = search(api, image=picture(1))
    assert_error(response, 503, "encoder_unavailable")
    assert "Fetch them." in response.json()["detail"]


def test_search_is_not_for_strangers_unless_reading_is_public(embedded, picture, settings):
    anyone = APIClient()
    assert_error(search(anyone, image=picture(1)), 401, "not_signed_in")
    settings.PUBLIC_READ = True
    assert search(anyone, image=picture(1)).status_code == 200


def test_search_takes_few_queries(api, embedded, django_assert_max_num_queries):
    with django_assert_max_num_queries(10):
        api.post(SEARCH, {"asset": embedded[0].pk}, format="json")


def test_status_counts_and_names_the_encoder(api, embedded, asset):
    asset(99)
    status = api.get("/api/v1/status/").json()
    assert status["assets"] == {"pending": 1, "ready": 6, "failed": 0}
    assert status["encoder"]["name"] == "descriptor"
    assert status["index"] is None


def test_schema_is_written_for_one_at_a_time(monkeypatch):
    """drf-spectacular fails where two threads are the first to write one."""
    both = Barrier(2)

    def get(view, request):
        with suppress(BrokenBarrierError):
            both.wait(0.5)
            return Response("both at once")
        return Response("alone")

    monkeypatch.setattr(SchemaView, "get", get)
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(SchemaView.as_view(), [APIRequestFactory().get("/api/v1/schema/") for _ in range(2)])
    assert [answer.data for answer in answers] == ["alone", "alone"]


def test_schema_is_valid_openapi_without_warnings(api, capsys):
    import yaml
    from django.core.management import call_command

    out = io.StringIO()
    call_command("spectacular", "--fail-on-warn", "--validate", stdout=out)
    schema = yaml.safe_load(out.getvalue())
    validate_schema(schema)
    assert {"/api/v1/search/", "/api/v1/assets/{id}/similar/", "/api/v1/status/", "/api/v1/token/"} <= set(
        schema["paths"]
    )
    assert api.get("/api/v1/docs/").status_code == 200


@pytest.mark.parametrize("kind", ["ivfflat", "hnsw", "pca"])
def test_status_tells_of_an_index_of_any_kind(api, encoder, kind):
    parameters = {"ivfflat": {"lists": 20}, "hnsw": {"m": 16}, "pca": {"groups": 2, "lists": [8, 12]}}[kind]
    build = IndexBuild.objects.create(
        encoder=encoder, kind=kind, state="ready", rows=1000, parameters=parameters, recall=0.99
    )
    build.measurements.create(
        encoder=encoder, purpose="check", rows=1000, kind=kind, parameters={"probes": 3}, recall=0.99, p50_ms=0.5
    )
    told = api.get("/api/v1/status/").json()["index"]
    assert (told["kind"], told["lists"], told["probes"]) == (kind, None if kind == "hnsw" else 20, 3)
    assert told["measured"]["p50_ms"] == 0.5
