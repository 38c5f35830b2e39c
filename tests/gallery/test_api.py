from pathlib import Path
from threading import BoundedSemaphore

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from gallery import uploads
from gallery.api import AssetSerializer
from gallery.ingest import fetch
from gallery.models import Asset, Collection
from tests.conftest import drawn, encoded
from tests.gallery import dicom_files

ASSETS = "/api/v1/assets/"


@pytest.fixture
def stranger_api(stranger):
    client = APIClient()
    client.force_authenticate(stranger)
    return client


def assert_error(response, status, code):
    assert response.status_code == status
    assert response.json()["code"] == code
    assert response.json()["detail"]


def test_token_is_given_for_a_password_and_opens_the_api(user):
    client = APIClient()
    token = client.post("/api/v1/token/", {"username": "ann", "password": "correct horse"}).json()["token"]
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert client.get(ASSETS).status_code == 200


@pytest.mark.parametrize(("given", "is_active"), [("of nobody", True), (None, False)])
def test_token_of_nobody_or_of_who_has_left_opens_nothing(user, given, is_active):
    user.is_active = is_active
    user.save()
    client = APIClient(HTTP_AUTHORIZATION=f"Token {given or Token.objects.create(user=user).key}")
    assert_error(client.get(ASSETS), 401, "not_signed_in")


def test_token_tells_who_is_asking(user, stranger, asset):
    client = APIClient(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=stranger).key}")
    Token.objects.create(user=user)
    assert_error(client.delete(f"{ASSETS}{asset(1).pk}/"), 403, "forbidden")


def test_wrong_password_gets_no_token(user):
    answer = APIClient().post("/api/v1/token/", {"username": "ann", "password": "wrong"})
    assert_error(answer, 400, "invalid")


def test_guessing_passwords_is_slowed(user):
    client = APIClient()
    for _ in range(10):
        client.post("/api/v1/token/", {"username": "ann", "password": "wrong"})
    assert_error(client.post("/api/v1/token/", {"username": "ann", "password": "wrong"}), 429, "throttled")


def test_guessing_passwords_is_slowed_for_who_is_signed_in_too(api):
    wrong = {"username": "cleo", "password": "wrong"}
    assert [api.post("/api/v1/token/", wrong).status_code for _ in range(11)][-1] == 429


def test_asset_is_answered_as_its_fields_say(asset, user, rf):
    shoes = Collection.objects.create(name="Shoes", owner=user)
    request = rf.get("/")
    request.user = user
    serializer = AssetSerializer(asset(1, collection=shoes, tags=["red"]), context={"request": request})
    assert list(serializer.data) == list(serializer.fields)
    by_hand = {"tags": ["red"], "urls": serializer.get_urls(serializer.instance), "location": None, "taken": None}
    for name, field in serializer.fields.items():
        told = field.get_attribute(serializer.instance)
        told = by_hand[name] if name in by_hand else field.to_representation(told)
        assert serializer.data[name] == told, name


def test_fault_of_ours_is_answered_as_every_error(api, asset, monkeypatch):
    monkeypatch.setattr("gallery.api.AssetSerializer.get_urls", lambda self, asset: 1 / 0)
    assert_error(api.get(f"{ASSETS}{asset(1).pk}/"), 500, "internal")


def test_guessing_passwords_is_slowed_whatever_address_a_client_claims(user):
    client = APIClient()
    wrong = {"username": "ann", "password": "wrong"}
    answers = [client.post("/api/v1/token/", wrong, HTTP_X_FORWARDED_FOR=f"10.0.0.{i}") for i in range(11)]
    assert answers[-1].status_code == 429


@pytest.mark.parametrize("path", [ASSETS, f"{ASSETS}1/", f"{ASSETS}1/similar/", "/api/v1/status/"])
def test_unsigned_requests_are_turned_away(db, path):
    assert_error(APIClient().get(path), 401, "not_signed_in")


def test_everyone_reads_and_nobody_writes_where_reading_is_public(asset, picture, settings):
    stored = asset(1)
    settings.PUBLIC_READ = True
    anyone = APIClient()
    assert anyone.get(f"{ASSETS}{stored.pk}/").status_code == 200
    assert_error(anyone.post(ASSETS, {"file": picture(2)}, format="multipart"), 401, "not_signed_in")
    assert_error(anyone.delete(f"{ASSETS}{stored.pk}/"), 401, "not_signed_in")


def test_upload_answers_with_the_asset(api, user, picture):
    shoes = Collection.objects.create(name="Shoes", owner=user)
    fields = {"file": picture(1, name="a.jpg"), "title": "A", "collection": shoes.pk, "tags": "red, shoe, "}
    response = api.post(ASSETS, fields, format="multipart")
    assert response.status_code == 201
    body = response.json()
    assert body["duplicate"] is False
    assert {
        key: body[key] for key in ("title", "filename", "status", "error", "format", "width", "height", "collection")
    } == {
        "title": "A", "filename": "a.jpg", "status": "pending", "error": "", "format": "JPEG", "width": 64,
        "height": 48, "collection": shoes.pk,
    }  # fmt: skip
    assert sorted(body["tags"]) == ["red", "shoe"]
    assert set(body["urls"]) == {"original", "preview", "thumbnail", "similar"}
    assert len(body["sha256"]) == 64


def test_upload_of_the_same_bytes_answers_200_with_what_exists(api, picture):
    first = api.post(ASSETS, {"file": picture(1)}, format="multipart").json()
    again = api.post(ASSETS, {"file": picture(1, name="b.jpg")}, format="multipart")
    assert again.status_code == 200
    assert again.json() == {**first, "duplicate": True}


def test_upload_by_url_is_fetched_and_stored(api, site):
    response = api.post(ASSETS, {"url": f"{site}/3.jpg", "tags": ["web"]}, format="json")
    assert response.status_code == 201
    assert (response.json()["filename"], response.json()["tags"]) == ("3.jpg", ["web"])
    assert Asset.objects.get().original.read() == encoded(drawn(3))
    assert api.post(ASSETS, {"url": f"{site}/3.jpg"}, format="json").status_code == 200


def test_upload_by_url_reaches_nothing_inside_the_network(api, site, settings):
    settings.FETCH_ALLOWED_NETWORKS = []
    assert_error(api.post(ASSETS, {"url": f"{site}/3.jpg"}, format="json"), 400, "fetch_failed")
    assert not Asset.objects.exists()


def test_upload_by_url_waits_for_no_turn(api, site, monkeypatch):
    monkeypatch.setattr(fetch, "_TURNS", BoundedSemaphore(1))
    with fetch.in_turn():
        response = api.post(ASSETS, {"url": f"{site}/3.jpg"}, format="json")
    assert (response.status_code, response.json()["code"], response["Retry-After"]) == (429, "throttled", "5")
    for seed in (3, 4):
        assert api.post(ASSETS, {"url": f"{site}/{seed}.jpg"}, format="json").status_code == 201


def test_upload_is_either_a_file_or_a_url(api, picture, site):
    for fields in ({}, {"file": picture(1), "url": f"{site}/3.jpg"}):
        assert_error(api.post(ASSETS, fields, format="multipart"), 400, "invalid")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"no picture", 415, "unsupported_type"),
        (b"\xff\xd8\xff\xe0broken", 400, "corrupt"),
    ],
)
def test_bad_upload_is_refused_with_a_code(api, data, status, code):
    response = api.post(ASSETS, {"file": SimpleUploadedFile("x.jpg", data)}, format="multipart")
    assert_error(response, status, code)
    assert not Asset.objects.exists()


def test_content_decides_and_the_answer_says_so(api, picture):
    body = api.post(ASSETS, {"file": picture(1, name="a.png")}, format="multipart").json()
    assert (body["format"], body["mismatch"]) == ("JPEG", "The file is named .png, but its content is JPEG.")
    assert api.get(body["urls"]["original"])["Content-Type"] == "image/jpeg"


def test_scan_is_sent_as_a_file_to_keep(api):
    upload = SimpleUploadedFile("scan.dcm", dicom_files.scan(np.zeros((8, 8), np.uint16)))
    body = api.post(ASSETS, {"file": upload}, format="multipart").json()
    response = api.get(body["urls"]["original"])
    assert response["Content-Type"] == "application/dicom"
    assert response["Content-Disposition"] == 'attachment; filename="scan.dcm"'


def test_upload_over_the_limit_is_refused(api, picture, settings):
    settings.MAX_UPLOAD_BYTES = 10
    assert_error(api.post(ASSETS, {"file": picture(1)}, format="multipart"), 413, "too_large")


@pytest.mark.parametrize("suffix", ["x" * 300, "😀" * 100, "x" * 240 + ".jpg"])
def test_file_name_of_any_suffix_is_taken(api, picture, suffix):
    response = api.post(ASSETS, {"file": picture(1, name=f"a.{suffix}")}, format="multipart")
    assert response.status_code == 201
    assert len(Asset.objects.get().filename) <= 255


def test_file_name_of_any_suffix_is_no_fault_of_ours_where_a_stranger_sends_it(picture, db):
    client = Client(enforce_csrf_checks=True)
    assert client.post("/login/", {"file": picture(1, name="a." + "x" * 300)}).status_code == 403


def test_upload_over_the_limit_is_never_written_in_full(api, settings, monkeypatch):
    settings.MAX_UPLOAD_BYTES = 100_000
    written = []
    spooled = uploads.spooled

    def measured(file):
        written.append(Path(file.temporary_file_path()).stat().st_size)
        return spooled(file)

    monkeypatch.setattr(uploads, "spooled", measured)
    large = SimpleUploadedFile("x.jpg", bytes(1_000_000))
    assert_error(api.post(ASSETS, {"file": large}, format="multipart"), 413, "too_large")
    assert written[0] < 200_000


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"file": "text"},
        {"collection": 999},
        {"collection": "x"},
        {"title": "x" * 301},
        {"tags": "y" * 101},
    ],
)
def test_bad_fields_of_an_upload_are_refused(api, picture, fields):
    given = {"file": picture(1), **fields} if fields else {}
    assert_error(api.post(ASSETS, given, format="multipart"), 400, "invalid")
    assert not Asset.objects.exists()


def test_download_gives_the_bytes_and_the_name_back(api, asset, picture):
    upload = picture(3, name="Schöner Schuh.jpg")
    stored = api.post(ASSETS, {"file": upload}, format="multipart").json()
    response = api.get(stored["urls"]["original"])
    upload.seek(0)
    assert b"".join(response.streaming_content) == upload.read()
    assert "filename*=utf-8''Sch%C3%B6ner%20Schuh.jpg" in response["Content-Disposition"]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Content-Type"] == "image/jpeg"


def test_download_is_left_to_the_proxy_where_there_is_one(api, asset, settings):
    settings.MEDIA_REDIRECT = "/_media/"
    stored = asset(1)
    response = api.get(f"{ASSETS}{stored.pk}/download/")
    assert response["X-Accel-Redirect"] == f"/_media/{stored.original.name}"
    assert response.content == b""


def test_list_is_paged_newest_first(api, asset):
    stored = [asset(seed) for seed in range(3)]
    first = api.get(ASSETS, {"page_size": 2}).json()
    assert [one["id"] for one in first["results"]] == [stored[2].pk, stored[1].pk]
    assert [one["id"] for one in api.get(first["next"]).json()["results"]] == [stored[0].pk]


def test_list_takes_the_same_number_of_queries_whatever_its_length(api, asset, django_assert_num_queries):
    asset(0, tags=["a", "b"])
    with django_assert_num_queries(3):  # the token with its user, the assets, their tags
        api.get(ASSETS)
    for seed in range(1, 6):
        asset(seed, tags=["a", f"tag {seed}"])
    with django_assert_num_queries(3):
        api.get(ASSETS)


def test_list_filters(api, user, asset):
    shoes = Collection.objects.create(name="Shoes", owner=user)
    red = asset(1, title="red_shoe-07", tags=["sale"], collection=shoes)
    blue = asset(2, title="Blue hat")
    Asset.objects.filter(pk=blue.pk).update(status="ready")

    def found(**filters):
        return {one["id"] for one in api.get(ASSETS, filters).json()["results"]}

    assert found(q="shoe") == found(q="RED sho") == found(q="sale") == {red.pk}
    assert found(q="red hat") == set()
    assert found(collection=shoes.pk) == found(tag="SALE") == found(status="pending") == {red.pk}
    assert found(status="ready") == {blue.pk}
    assert found(format="JPEG") == {red.pk, blue.pk}
    assert found(ordering="-created") == {red.pk, blue.pk}


@pytest.mark.parametrize("filters", [{"collection": "x"}, {"collection": 999}, {"status": "odd"}, {"format": "EXE"}])
def test_filter_that_cannot_be_understood_is_refused(api, filters):
    assert_error(api.get(ASSETS, filters), 400, "invalid")


def test_owner_changes_and_deletes(api, asset):
    stored = asset(1)
    changed = api.patch(f"{ASSETS}{stored.pk}/", {"title": "New", "tags": ["x"]}, format="json").json()
    assert (changed["title"], changed["tags"]) == ("New", ["x"])
    assert api.delete(f"{ASSETS}{stored.pk}/").status_code == 204
    assert not Asset.objects.kept().exists()


def test_staff_changes_what_others_own(asset, staff):
    client = APIClient()
    client.force_authenticate(staff)
    assert client.patch(f"{ASSETS}{asset(1).pk}/", {"title": "New"}, format="json").status_code == 200


def test_stranger_reads_but_changes_nothing(stranger_api, asset):
    stored = asset(1)
    assert stranger_api.get(f"{ASSETS}{stored.pk}/").status_code == 200
    assert_error(stranger_api.patch(f"{ASSETS}{stored.pk}/", {"title": "New"}, format="json"), 403, "forbidden")
    assert_error(stranger_api.delete(f"{ASSETS}{stored.pk}/"), 403, "forbidden")
    assert Asset.objects.filter(title=stored.title).exists()


def test_facts_of_an_asset_cannot_be_changed(api, asset):
    stored = asset(1)
    api.patch(f"{ASSETS}{stored.pk}/", {"sha256": "0" * 64, "status": "ready", "width": 1}, format="json")
    unchanged = Asset.objects.get()
    assert (unchanged.sha256, unchanged.status, unchanged.width) == (stored.sha256, "pending", stored.width)


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
@pytest.mark.parametrize("name", ["999", "999999999999999999999", "x"])
def test_unknown_asset_is_not_found(api, method, name):
    assert_error(getattr(api, method)(f"{ASSETS}{name}/"), 404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'{"title": null}',
        b'{"title": "\\ud800"}',
        b'{"tags": {"a": [1]}}',
        b'{"collection": {}}',
        b'{"collection": 1e400}',
    ],
)
def test_odd_bodies_are_refused(api, asset, body):
    response = api.patch(f"{ASSETS}{asset(1).pk}/", body, content_type="application/json")
    assert_error(response, 400, "invalid")


def test_other_methods_and_types_are_refused(api):
    assert_error(api.put(f"{ASSETS}1/", {}, format="json"), 405, "method_not_allowed")
    assert_error(api.post(ASSETS, b"<x/>", content_type="application/xml"), 415, "unsupported_type")


def test_malformed_multipart_is_refused(api):
    response = api.post(ASSETS, b"--x\r\nbroken", content_type="multipart/form-data; boundary=x")
    assert_error(response, 400, "invalid")
    fields = "&".join(f"f{i}=1" for i in range(2000))
    assert_error(api.post(ASSETS, fields, content_type="application/x-www-form-urlencoded"), 400, "invalid")


def test_user_who_owns_assets_cannot_be_deleted_by_accident(asset, user):
    from django.db.models import ProtectedError

    asset(1)
    with pytest.raises(ProtectedError):
        User.objects.filter(pk=user.pk).delete()
