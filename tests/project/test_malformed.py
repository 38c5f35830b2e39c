"""Requests that no browser sends."""

import base64

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

API = ["/api/v1/token/", "/api/v1/search/", "/api/v1/assets/"]


def assert_malformed(response):
    """And not merely short of what was asked for."""
    told = {"code": "invalid", "detail": "The request is malformed."}
    assert (response.status_code, response.json()) == (400, told)


@pytest.fixture
def anyone():
    """A client that gets the answer a server would give, whatever was raised."""
    return Client(raise_request_exception=False)


MULTIPART = "multipart/form-data; boundary=x"


class Unread:
    """A body of which nothing has been asked for."""

    def read(self, *_):
        raise AssertionError("the body was read")

    readline = read


def sent_large(client, path, body, content_type=MULTIPART, **headers):
    """An answer to 2 MB, of which `body` is what comes."""
    large = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": "2000000", "wsgi.input": body}
    return client.generic("POST", path, headers=headers, **large)


@pytest.fixture
def token(api):
    """Headers of who is signed in."""
    return {"Authorization": api._credentials["HTTP_AUTHORIZATION"]}


@pytest.mark.parametrize("path", ["/", "/login/", "/healthz", "/readyz", "/api/v1/status/"])
def test_unknown_host_name_is_a_bad_request(anyone, db, path):
    assert anyone.get(path, headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("path", ["/gallery/?q=%00", "/api/v1/schema/?version=%00", "/admin/gallery/asset/%00/change/"])
def test_nul_in_an_address_is_a_bad_request(anyone, db, path):
    assert anyone.get(path).status_code == 400


def test_nul_in_a_cookie_is_a_bad_request(anyone, db):
    anyone.cookies["sessionid"] = "aaaa\0aaaa"
    assert anyone.get("/").status_code == 400


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-16"])
def test_form_in_an_odd_encoding_is_a_bad_request(anyone, db, charset):
    content_type = f"application/x-www-form-urlencoded; charset={charset}"
    assert anyone.post("/collections/", b"a=b", content_type=content_type).status_code == 400
    for path in API:
        assert_malformed(anyone.post(path, b"a=b", content_type=content_type))


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


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
@pytest.mark.parametrize("path", ["/api/v1/search/", "/api/v1/assets/", "/collections/"])
def test_body_longer_than_any_form_is_refused_before_it_is_read(token, path, content_type):
    accepted = {"Accept": "application/json"}
    refused = sent_large(Client(), path, Unread(), content_type=content_type, **token, **accepted)
    told = {"code": "too_large", "detail": "The request is too large; at most 1 MB are taken here."}
    assert (refused.status_code, refused.json()) == (413, told)


TAKING_FILES = {
    "/": 5,
    "/compare/": 1,
    "/upload/": 5,
    "/upload/check/": 1,
    "/api/v1/assets/": 1,
    "/api/v1/assets/check/": 5,
    "/api/v1/search/": 5,
    "/reports/": 5,
    "/reports/have/": 5,
}
TAKING_ARCHIVES = {"/import/", "/api/v1/imports/"}


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


@pytest.mark.parametrize("path", [*TAKING_FILES, *sorted(TAKING_ARCHIVES)])
def test_files_are_refused_in_all_where_they_are_taken(anyone, db, settings, path):
    files = TAKING_FILES[path] * settings.MAX_UPLOAD_BYTES if path in TAKING_FILES else settings.MAX_IMPORT_BYTES
    most = files + 1_000_000
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


@pytest.mark.parametrize("path", ["/upload/", "/compare/", "/"])
def test_large_forms_of_strangers_are_sent_to_the_login_unread(db, path):
    client = Client(enforce_csrf_checks=True)
    response = sent_large(client, path, Unread())
    assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/login/")
    response = sent_large(client, path, Unread(), Accept="application/json")
    assert (response.status_code, response.json()["code"]) == (401, "not_signed_in")
    response = sent_large(client, path, Unread(), HX_Request="true")
    assert response["HX-Redirect"].startswith("/login/")


@pytest.mark.parametrize("public", [False, True])
def test_large_forms_of_strangers_are_refused_by_the_api_unread(db, settings, public):
    settings.PUBLIC_READ = public
    for path in ["/api/v1/assets/"] + (["/api/v1/search/"] if not public else []):
        response = sent_large(Client(), path, Unread())
        assert (response.status_code, response.json()["code"]) == (401, "not_signed_in")


@pytest.mark.parametrize("given", ["Token made-up", "token made-up", "Token a b"])
def test_large_forms_with_a_token_that_is_none_are_refused_unread(db, settings, given):
    settings.PUBLIC_READ = True
    for path in ["/api/v1/assets/", "/api/v1/search/"]:
        response = sent_large(Client(), path, Unread(), Authorization=given)
        assert (response.status_code, response.json()["code"]) == (401, "not_signed_in")


@pytest.mark.parametrize("path", ["/upload/", "/compare/"])
def test_large_forms_are_refused_unread_where_strangers_only_search(db, settings, path):
    settings.PUBLIC_READ = True
    assert sent_large(Client(enforce_csrf_checks=True), path, Unread()).status_code == 302


class Slow:
    """A body in the midst of which `meanwhile` is done, and which then breaks off."""

    def __init__(self, meanwhile):
        self.meanwhile = meanwhile

    def read(self, *_):
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return b""

    readline = read


@pytest.fixture
def public(settings, encoder):
    """Two threads, and strangers may search."""
    settings.PUBLIC_READ, settings.WEB_THREADS = True, 2


SEARCHES = ["/", "/api/v1/search/"]


@pytest.mark.parametrize("path", SEARCHES)
def test_large_pictures_of_strangers_hold_half_of_the_threads_at_most(public, path):
    client, seen = Client(), []

    def meanwhile():
        seen.extend(sent_large(client, other, Unread(), Accept="application/json") for other in SEARCHES)

    for _ in range(2):  # the turn is given back
        assert sent_large(client, path, Slow(meanwhile)).status_code == 400
    assert [(answer.status_code, answer.json()["code"], answer["Retry-After"]) for answer in seen] == [
        (429, "throttled", "5")
    ] * 4


def test_stranger_who_has_to_wait_is_told_on_the_page(public):
    client, seen = Client(), []
    sent_large(client, "/", Slow(lambda: seen.append(sent_large(client, "/", Unread()))))
    assert (seen[0].status_code, seen[0]["X-Refused"], seen[0]["Retry-After"]) == (429, "throttled", "5")
    assert b"Try again in a moment" in seen[0].content


def test_others_are_served_while_a_stranger_sends_a_large_picture(public, user_client, token):
    answers = []

    def meanwhile():
        # a small form; it has no picture, or the answer would wait for whatever else this machine decodes
        answers.append(client.post("/", {"url": ""}).status_code)
        user_client.handler = client.handler  # the same process
        answers.extend(sent_large(user_client, path, Slow(lambda: None)).status_code for path in SEARCHES)
        answers.append(sent_large(client, "/api/v1/search/", Slow(lambda: None), **token).status_code)

    client = Client()
    sent_large(client, "/", Slow(meanwhile))
    assert answers == [400, 400, 400, 400]  # read, and found wanting


@pytest.mark.parametrize("position", ["p=abc", "p=%00", "p=" + "9" * 40])
@pytest.mark.parametrize("ordering", ["", "created"])
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
