import base64
from ipaddress import ip_network

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from gallery.import_models import Import
from gallery.ingest import background
from gallery.models import Asset, Collection
from tests.gallery.test_import_zip import packed
from tests.gallery.test_imports import _nothing_kept, drained, import_root, jpeg, kept_files, zipped  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)  # they store from several threads
IMPORTS = "/api/v1/imports/"


def zip_file(data):
    return {"file": SimpleUploadedFile("photos.zip", data)}


@pytest.fixture
def staff_api(staff):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=staff).key}")
    return client


def test_zip_is_imported_and_asked_after(api, user):
    sea = Collection.objects.create(name="Sea", owner=user)
    data = packed(("a.jpg", jpeg(1)), ("b.jpg", b"words"))
    answered = api.post(IMPORTS, {**zip_file(data), "collection": sea.pk, "tags": "blue,wet"}, format="multipart")
    assert answered.status_code == 201
    told = answered.json()
    assert (told["kind"], told["name"], told["state"]) == ("zip", "photos.zip", "waiting")
    drained()
    told = api.get(f"{IMPORTS}{told['id']}/").json()
    assert (told["state"], told["total"], told["done"], told["stored"], told["refused"]) == ("done", 2, 2, 1, 1)
    assert [one["id"] for one in api.get(IMPORTS).json()["results"]] == [told["id"]]
    [refusal] = api.get(told["urls"]["refusals"]).json()["results"]
    assert (refusal["source"], refusal["code"], refusal["may_pass"]) == ("b.jpg", "unsupported_type", False)
    assert {(a.collection, a.tags.count()) for a in Asset.objects.all()} == {(sea, 2)}
    assert kept_files() == []


def test_import_is_paused_and_resumed(api):
    begun = api.post(IMPORTS, zip_file(zipped(1, 2)), format="multipart").json()
    own = f"{IMPORTS}{begun['id']}/"
    assert api.post(f"{own}pause/").json()["state"] == "paused"
    assert drained().state == "paused"
    assert api.post(f"{own}resume/").json()["state"] == "waiting"
    assert (drained().state, Asset.objects.count()) == ("done", 2)


def test_urls_are_imported_and_the_address_is_kept(api, site):
    assert api.post(IMPORTS, {"urls": [f"{site}/1.jpg", f"{site}/2.jpg"]}).status_code == 201
    assert drained().stored == 2
    told = {one["filename"]: one["source_url"] for one in api.get("/api/v1/assets/").json()["results"]}
    assert told == {"1.jpg": f"{site}/1.jpg", "2.jpg": f"{site}/2.jpg"}


def test_folder_is_imported_for_staff_alone(staff_api, api, import_root):  # noqa: F811
    assert api.post(IMPORTS, {"folder": "sea"}).status_code == 403
    assert staff_api.post(IMPORTS, {"folder": "../secret"}).json()["code"] == "not_found"
    assert staff_api.post(IMPORTS, {"folder": "sea"}).status_code == 201
    assert drained().stored == 2


def test_folder_needs_the_setting(staff_api):
    assert staff_api.post(IMPORTS, {"folder": "sea"}).json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Give one of"),
        ({"urls": []}, "urls: "),
        ({"urls": ["http://example.com/a.jpg"], "folder": "sea"}, "Give one of"),
        ({"urls": ["http://example.com/a.jpg", "words"]}, "urls: Line 2: "),
        ({"urls": ["#"]}, "Give one URL or more"),
        ({"urls": "words"}, "urls: "),
        ({"urls": [["words"]]}, "Not a valid string."),
        ({"urls": [f"http://example.com/{n}" for n in range(1001)]}, "at most 1,000"),
        ({"urls": ["http://example.com/a.jpg"], "collection": 99}, "collection: "),
        ({"file": "words"}, "file: "),
    ],
)
def test_bad_input_is_told(api, body, said):
    answered = api.post(IMPORTS, body)
    assert answered.status_code == 400
    assert answered.json()["code"] == "invalid"
    assert said in answered.json()["detail"]
    assert not Import.objects.exists()


def test_file_that_is_no_zip_is_told(api):
    answered = api.post(IMPORTS, zip_file(b"words"), format="multipart")
    assert (answered.status_code, answered.json()["code"]) == (400, "corrupt")


def test_zip_may_be_larger_than_a_picture_and_no_larger_than_its_own_limit(api, settings):
    settings.MAX_UPLOAD_BYTES, settings.MAX_IMPORT_BYTES = 1_000, 1_000_000
    assert api.post(IMPORTS, zip_file(zipped(1, 2)), format="multipart").status_code == 201
    settings.MAX_IMPORT_BYTES = 1_000
    assert api.post(IMPORTS, zip_file(zipped(1, 2)), format="multipart").status_code == 413


def test_import_is_its_owners_and_staffs(api, staff_api, stranger_client, settings):
    settings.PUBLIC_READ = True
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("127.0.0.2/32")]
    told = api.post(IMPORTS, {"urls": ["http://127.0.0.2:9999/a.jpg"]}).json()
    own = f"{IMPORTS}{told['id']}/"
    for path in (IMPORTS, own, f"{own}refusals/"):
        assert APIClient().get(path).status_code == 401
    assert APIClient().post(IMPORTS, {"urls": ["http://example.com/a.jpg"]}).status_code == 401
    assert stranger_client.get(IMPORTS).json()["results"] == []
    for answered in (stranger_client.get(own), stranger_client.get(f"{own}refusals/")):
        assert answered.status_code == 404
    for action in ("pause", "resume", "cancel", "retry"):
        assert stranger_client.post(f"{own}{action}/").status_code == 404
        assert APIClient().post(f"{own}{action}/").status_code == 401
    assert staff_api.get(own).json()["state"] == "waiting"
    assert staff_api.post(f"{own}cancel/").json()["state"] == "cancelled"


def test_session_needs_its_csrf_token(user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.post(IMPORTS, zip_file(zipped(1))).status_code == 403
    assert not Import.objects.exists()


def test_refused_are_tried_again(api, settings):
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("127.0.0.2/32")]
    own = f"{IMPORTS}{api.post(IMPORTS, {'urls': ['http://127.0.0.2:9999/a.jpg']}).json()['id']}/"
    assert api.post(f"{own}retry/").json()["code"] == "invalid"
    assert drained().refused == 1
    assert api.post(f"{own}retry/").json()["state"] == "waiting"
    assert drained().refused == 1
    assert api.post(f"{own}cancel/").json()["state"] == "done"


def test_no_more_are_tried_again_than_may_be_under_way(api, user, monkeypatch):
    monkeypatch.setattr(background, "_MOST_UNDER_WAY", 1)
    failed = Import.objects.create(owner=user, kind="urls", name="a", state="failed")
    own = f"{IMPORTS}{failed.pk}/"
    waiting = Import.objects.create(owner=user, kind="urls", name="b")
    answered = api.post(f"{own}retry/")
    assert (answered.status_code, answered.json()["code"]) == (429, "throttled")
    background.cancel(waiting)
    assert api.post(f"{own}retry/").json()["state"] == "waiting"


@pytest.mark.parametrize("position", ["abc", "%00"])
def test_cursor_that_was_made_up_is_not_found(api, user, position):
    row = Import.objects.create(owner=user, kind="urls", name="a")
    row.refusals.create(position=0, source="a", code="corrupt", detail="d")
    cursor = base64.b64encode(f"p={position}".encode()).decode()
    for path in (IMPORTS, f"{IMPORTS}{row.pk}/refusals/"):
        assert api.get(path, {"cursor": cursor}).status_code == 404, path


def test_urls_that_are_too_long_together_are_told_so(api):
    answered = api.post(IMPORTS, {"urls": [f"http://example.com/{n:01900}" for n in range(600)]})
    told = {"code": "too_large", "detail": "The request is too large; at most 1 MB are taken here."}
    assert (answered.status_code, answered.json()) == (413, told)
    assert not Import.objects.exists()


def test_lists_take_a_fixed_number_of_queries(api, user, django_assert_max_num_queries):
    rows = [Import.objects.create(owner=user, kind="urls", name=f"{n}", sources="[]") for n in range(20)]
    rows[0].refusals.bulk_create(
        rows[0].refusals.model(run=rows[0], position=n, source=f"s{n}", code="corrupt", detail="d") for n in range(300)
    )
    with django_assert_max_num_queries(3):
        assert len(api.get(IMPORTS).json()["results"]) == 20
    with django_assert_max_num_queries(3):
        page = api.get(f"{IMPORTS}{rows[0].pk}/refusals/").json()
    assert len(page["results"]) == 200
    assert api.get(page["next"]).json()["results"][0]["source"] == "s200"
