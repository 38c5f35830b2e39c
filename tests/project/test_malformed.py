"""Requests that no browser sends."""

import base64

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

API = ["/api/v1/token/", "/api/v1/search/", "/api/v1/assets/"]


@pytest.fixture
def anyone():
    """A client that gets the answer a server would give, whatever was raised."""
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("path", ["/", "/login/", "/healthz", "/readyz", "/api/v1/status/"])
def test_unknown_host_name_is_a_bad_request(anyone, db, path):
    assert anyone.get(path, headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("path", ["/gallery/?q=%00", "/api/v1/schema/?version=%00", "/admin/gallery/asset/%00/change/"])
def test_nul_in_an_address_is_a_bad_request(anyone, db, path):
    assert anyone.get(path).status_code == 400


def test_nul_in_a_cookie_is_a_bad_request(anyone, db):
    anyone.cookies["sessionid"] = "aaaa\0aaaa"
    assert anyone.get("/").status_code == 400


@pytest.mark.parametrize("path", ["/collections/", "/login/", *API])
@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-16"])
def test_form_in_an_odd_encoding_is_a_bad_request(anyone, db, path, charset):
    response = anyone.post(path, b"a=b", content_type=f"application/x-www-form-urlencoded; charset={charset}")
    assert response.status_code == 400


def test_form_that_names_utf_8_is_taken(anyone, user):
    response = anyone.post(
        "/api/v1/token/",
        b"username=ann&password=correct+horse",
        content_type="application/x-www-form-urlencoded; charset=UTF-8",
    )
    assert response.status_code == 200


@pytest.mark.parametrize("path", API)
@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000])
def test_json_nested_too_deep_is_refused(api, encoder, path, body):
    response = api.post(path, body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


@pytest.mark.parametrize("path", API)
def test_json_longer_than_any_form_is_refused_before_it_is_read(anyone, db, path):
    body = b'{"username": "' + b"x" * 2_000_000 + b'"}'
    assert anyone.post(path, body, content_type="application/json").status_code == 400


TAKING_FILES = {"/upload/": 5, "/": 1, "/compare/": 1, "/api/v1/assets/": 1, "/api/v1/search/": 5}
MULTIPART = "multipart/form-data; boundary=x"


def announced(client, path, length, **headers):
    """An answer to a form with files of that length, of which nothing has come yet."""
    return client.generic("POST", path, CONTENT_TYPE=MULTIPART, CONTENT_LENGTH=str(length), headers=headers)


@pytest.mark.parametrize(
    "path", ["/login/", "/admin/login/", "/collections/", "/nothing/", "/api/v1/token/", "/api/v1/assets/1/", "/login"]
)
def test_files_are_refused_where_none_are_taken(anyone, db, path):
    response = announced(anyone, path, 1_000_001)
    assert response.status_code == 413
    assert b"too_large" in response.content
    assert announced(anyone, path, 1_000_000).status_code != 413


@pytest.mark.parametrize("path", TAKING_FILES)
def test_files_are_refused_in_all_where_they_are_taken(anyone, db, settings, path):
    most = TAKING_FILES[path] * settings.MAX_UPLOAD_BYTES + 1_000_000
    refused = announced(anyone, path, most + 1, Accept="application/json")
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert f"at most {most // 1_000_000} MB" in refused.json()["detail"]
    assert announced(anyone, path, most).status_code != 413


def test_refused_files_are_not_written(db, monkeypatch):
    def opened(*_, **__):
        raise AssertionError("a file was begun")

    monkeypatch.setattr("gallery.upload_handler.CappedFileUploadHandler.new_file", opened)
    client = Client(enforce_csrf_checks=True)
    large = SimpleUploadedFile("a.jpg", bytes(1_000_000))
    assert client.post("/login/", {"file": large}).status_code == 413


@pytest.mark.parametrize("position", ["p=abc", "p=%00", "p=" + "9" * 40])
@pytest.mark.parametrize("ordering", ["", "title", "created", "size_bytes"])
def test_cursor_that_was_made_up_is_never_a_fault_of_ours(api, asset, position, ordering):
    asset(1)
    cursor = base64.b64encode(position.encode()).decode()
    assert api.get("/api/v1/assets/", {"cursor": cursor, "ordering": ordering}).status_code in {200, 404}


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_schema_answers_other_methods_with_an_error(method, db):
    assert getattr(APIClient(), method)("/api/v1/schema/").status_code in {401, 405}
    assert APIClient().get("/api/v1/schema/", HTTP_ACCEPT="image/png").status_code == 406


def test_fragment_asked_for_by_a_page_without_an_address_goes_to_the_login(anyone, db):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://[::1", "HX-Current-URL-URI-AutoEncoded": "true"}
    response = anyone.get("/gallery/", headers=headers)
    assert response["HX-Redirect"].startswith("/login/")


def test_filter_that_was_refused_is_not_carried_on(user_client, encoder):
    response = user_client.post("/", {"q": "x" * 100_000}, headers={"HX-Request": "true"})
    assert len(response.headers.get("HX-Replace-Url", "")) < 1000
