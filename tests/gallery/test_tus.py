"""Resumable uploads, status by status as https://tus.io/protocols/resumable-upload has them."""

import base64
import errno
import hashlib
import os
import re
import socket
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.http import http_date
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader

from gallery import integrity, tus, unfinished
from gallery.errors import Code, Refused
from gallery.models import Asset
from gallery.unfinished import LIFETIME_S
from tests.conftest import drawn, encoded

BYTES = "application/offset+octet-stream"
PICTURE = encoded(drawn(1, (320, 240)))
LENGTH = len(PICTURE)
HALF = LENGTH // 2


@pytest.fixture(autouse=True)
def spool(settings, tmp_path) -> Path:
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.SPOOL_DIR.mkdir()
    return settings.SPOOL_DIR


def ask(client, method, address, body=b"", **headers):
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    content_type = {"Content-Type": BYTES} if body or method == "PATCH" else {}
    return client.generic(method, address, body, headers={"Tus-Resumable": "1.0.0", **content_type, **named})


def begin(client, length=LENGTH, body=b"", **headers):
    return ask(client, "POST", reverse("gallery:tus"), body, Upload_Length=length, **headers)


def add(client, address, offset, body, **headers):
    return ask(client, "PATCH", address, body, Upload_Offset=offset, **headers)


def head(client, address):
    return ask(client, "HEAD", address)


def told(response) -> tuple[int, str, str]:
    """The status, the code, and what follows from it: the last sentence."""
    told = response.json()
    assert set(told) == {"code", "detail"}
    return response.status_code, told["code"], told["detail"].removesuffix(".").split(". ")[-1]


def metadata(**pairs: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


def checksum(data: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def make_old(spool: Path, by_s: float = LIFETIME_S + 1) -> None:
    for path in files_in(spool):
        os.utime(path, (time.time() - by_s,) * 2)


@pytest.fixture
def address(user_client) -> str:
    return begin(user_client)["Location"]


# --- the protocol -----------------------------------------------------------------------------------------------


def test_options_tell_what_the_server_can_do(settings):
    response = Client().generic("OPTIONS", reverse("gallery:tus"))
    assert response.status_code == 204
    assert response["Tus-Resumable"] == response["Tus-Version"] == "1.0.0"
    assert response["Tus-Extension"] == "creation,creation-with-upload,expiration,termination,checksum"
    assert response["Tus-Max-Size"] == str(settings.MAX_UPLOAD_BYTES)
    assert response["Tus-Checksum-Algorithm"] == "sha1,sha256"


def test_upload_is_begun_added_to_and_stored(user_client, user):
    described = metadata(filename="Red shoe.jpg", title="A shoe", collection="Spring", tags="red, shoe")
    begun = begin(user_client, Upload_Metadata=described)
    address = begun["Location"]
    assert (begun.status_code, begun["Upload-Offset"], begun["Tus-Resumable"]) == (201, "0", "1.0.0")
    assert re.fullmatch(r"/upload/files/[\w-]{32}/", address)
    until = parsedate_to_datetime(begun["Upload-Expires"]).timestamp()
    assert until == pytest.approx(time.time() + LIFETIME_S, abs=60)

    first = add(user_client, address, 0, PICTURE[:HALF])
    assert (first.status_code, first.content, first["Upload-Offset"]) == (204, b"", str(HALF))
    assert first["Upload-Expires"]
    asked = head(user_client, address)
    assert (asked.status_code, asked["Upload-Offset"], asked["Upload-Length"]) == (200, str(HALF), str(LENGTH))
    assert (asked["Upload-Metadata"], asked["Cache-Control"]) == (described, "no-store")
    assert not Asset.objects.exists()

    last = add(user_client, address, HALF, PICTURE[HALF:])
    asset = Asset.objects.get()
    assert (last.status_code, last["Upload-Offset"]) == (204, str(LENGTH))
    assert (last["X-Asset-Id"], last["X-Duplicate"]) == (str(asset.pk), "false")
    assert (asset.title, asset.filename, asset.collection.name) == ("A shoe", "Red shoe.jpg", "Spring")
    assert sorted(tag.name for tag in asset.tags.all()) == ["red", "shoe"]
    assert (asset.owner, asset.original.read()) == (user, PICTURE)


def test_upload_may_come_with_its_beginning(user_client):
    part = begin(user_client, body=PICTURE[:HALF])
    assert (part.status_code, part["Upload-Offset"]) == (201, str(HALF))
    assert add(user_client, part["Location"], HALF, PICTURE[HALF:])["X-Asset-Id"]
    other = encoded(drawn(2))
    whole = begin(user_client, len(other), other, Upload_Metadata=metadata(name="two.jpg"))
    asset = Asset.objects.get(filename="two.jpg")
    assert (whole.status_code, whole["Upload-Offset"]) == (201, str(len(other)))
    assert (whole["X-Asset-Id"], whole.json()["id"]) == (str(asset.pk), asset.pk)
    again = begin(user_client, len(other), other)
    assert (again.status_code, again["X-Duplicate"], again.json()["duplicate"]) == (201, "true", True)


@pytest.mark.parametrize("version", ["", "0.2.2", "2.0.0"])
def test_other_version_is_refused_and_ours_named(user_client, address, version):
    for method, url in (("POST", reverse("gallery:tus")), ("HEAD", address), ("PATCH", address), ("DELETE", address)):
        response = ask(user_client, method, url, Tus_Resumable=version, Upload_Length=5, Upload_Offset=0)
        assert (response.status_code, response["Tus-Version"]) == (412, "1.0.0")
        if method != "HEAD":
            assert told(response) == (412, "unsupported_version", "Send Tus-Resumable: 1.0.0")
    assert head(user_client, address).status_code == 200


@pytest.mark.parametrize("length", ["", "-1", "1.5", "x", "1" * 30, "٣"])
def test_length_must_be_told(user_client, length):
    assert told(begin(user_client, length)) == (400, "invalid", "Upload-Length must be a whole number")


def test_length_may_not_come_later(user_client):
    response = ask(user_client, "POST", reverse("gallery:tus"), Upload_Defer_Length=1)
    assert told(response) == (400, "invalid", "Upload-Length must be a whole number")


def test_too_large_is_refused_before_it_is_sent(user_client, settings, spool):
    response = begin(user_client, settings.MAX_UPLOAD_BYTES + 1)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert "at most 200 MB" in response.json()["detail"]
    assert files_in(spool) == []


def test_more_than_was_announced_is_refused(user_client, address):
    assert begin(user_client, 3, b"four").status_code == 413
    assert add(user_client, address, 0, PICTURE + b"x").status_code == 413
    assert head(user_client, address)["Upload-Offset"] == "0"


@pytest.mark.parametrize("offset", [0, HALF - 1, HALF + 1, LENGTH])
def test_other_offset_is_a_conflict(user_client, address, offset):
    add(user_client, address, 0, PICTURE[:HALF])
    response = add(user_client, address, offset, b"")
    assert told(response) == (409, "wrong_offset", f"Continue with Upload-Offset: {HALF}")
    assert head(user_client, address)["Upload-Offset"] == str(HALF)


def test_offset_must_be_told(user_client, address):
    assert ask(user_client, "PATCH", address, b"abc").status_code == 400


def test_other_content_types_are_refused(user_client, address):
    assert add(user_client, address, 0, b"abc", Content_Type="application/octet-stream").status_code == 415
    assert begin(user_client, body=b"abc", Content_Type="image/jpeg").status_code == 415
    assert head(user_client, address)["Upload-Offset"] == "0"


def test_body_without_a_length_is_refused(user_client, address):
    assert add(user_client, address, 0, b"", Transfer_Encoding="chunked").status_code == 411


def test_method_may_be_named_in_a_header(user_client, address):
    response = ask(user_client, "POST", address, PICTURE[:HALF], Upload_Offset=0, X_HTTP_Method_Override="PATCH")
    assert (response.status_code, response["Upload-Offset"]) == (204, str(HALF))


def test_get_is_not_part_of_it(user_client, address):
    assert ask(user_client, "GET", address).status_code == 405
    assert ask(user_client, "GET", reverse("gallery:tus")).status_code == 405


@pytest.mark.parametrize(
    "given",
    ["filename !", "filename /w==", f"{metadata(filename='a')},{metadata(filename='b')}", "ключ YQ==", "filename YQ"],
)
def test_metadata_must_be_readable(user_client, given):
    # header values reach Django as the bytes they are, one letter each
    assert begin(user_client, Upload_Metadata=given.encode().decode("latin-1")).status_code == 400


def test_metadata_must_fit_the_fields(user_client):
    for described in ({"title": "x" * 301}, {"collection": "x" * 201}, {"tags": "x" * 101}, {"title": "a\0b"}):
        response = begin(user_client, Upload_Metadata=metadata(**described))
        assert (response.status_code, response.json()["code"]) == (400, "invalid")


@pytest.mark.parametrize("name", ["", ".", "..", "../../etc/passwd", "a/"])
def test_any_file_name_will_do(user_client, name):
    described = metadata(filename=name) if name else "filename "
    assert begin(user_client, body=PICTURE, Upload_Metadata=described).status_code == 201
    assert Asset.objects.get().filename in {"untitled", "passwd", "a"}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_right_checksum_lets_bytes_in(user_client, address, algorithm):
    first, rest = PICTURE[:HALF], PICTURE[HALF:]
    assert add(user_client, address, 0, first, Upload_Checksum=checksum(first, algorithm)).status_code == 204
    assert add(user_client, address, HALF, rest, Upload_Checksum=checksum(rest, algorithm))["X-Asset-Id"]
    assert Asset.objects.get().original.read() == PICTURE


def test_wrong_checksum_keeps_bytes_out(user_client, address, spool):
    response = add(user_client, address, 0, PICTURE[:HALF], Upload_Checksum=checksum(b"else"))
    assert told(response) == (460, "checksum_mismatch", "Send them again")
    assert head(user_client, address)["Upload-Offset"] == "0"
    before = files_in(spool)
    assert begin(user_client, body=PICTURE, Upload_Checksum=checksum(b"else")).status_code == 460
    assert files_in(spool) == before


@pytest.mark.parametrize("given", ["md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1", "sha1 !", ""])
def test_checksum_that_cannot_be_read_is_refused(user_client, address, given):
    assert add(user_client, address, 0, b"abc", Upload_Checksum=given).status_code == 400
    assert head(user_client, address)["Upload-Offset"] == "0"


def test_ended_upload_is_gone(user_client, address, spool):
    add(user_client, address, 0, PICTURE[:HALF])
    assert ask(user_client, "DELETE", address).status_code == 204
    assert files_in(spool) == []
    for method in ("HEAD", "PATCH", "DELETE"):
        assert ask(user_client, method, address, Upload_Offset=HALF).status_code == 404


def test_one_request_at_a_time(user_client, user, address):
    with unfinished.find(user.pk, address.split("/")[-2]).held():
        assert told(add(user_client, address, 0, PICTURE)) == (423, "locked", "Try again in a moment")
        assert ask(user_client, "DELETE", address).status_code == 423
        assert head(user_client, address)["Upload-Offset"] == "0"
    assert add(user_client, address, 0, PICTURE).status_code == 204


@pytest.mark.parametrize("name", ["x" * 32, "x" * 300])  # the latter is none that a file could have
@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_name_that_none_was_given_is_not_found(user_client, method, name):
    assert ask(user_client, method, f"/upload/files/{name}/", Upload_Offset=0).status_code == 404


# --- slow clients -------------------------------------------------------------------------------------------------


def test_body_that_goes_on_for_ever_is_cut_off_and_what_came_counts(user_client, address, monkeypatch):
    now = iter(range(0, 10_000, 50))
    monkeypatch.setattr(tus, "time", SimpleNamespace(monotonic=lambda: next(now), time=time.time))
    trickle = SimpleNamespace(read=lambda size: b"x", readline=None)
    environ = {"wsgi.input": trickle, "CONTENT_LENGTH": str(HALF), "CONTENT_TYPE": BYTES}
    headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
    response = user_client.generic("PATCH", address, headers=headers, **environ)
    assert (response.status_code, response["Upload-Offset"]) == (204, "2")


def test_connection_that_trickles_is_hung_up_in_the_midst_of_a_piece(user_client, address, monkeypatch):
    monkeypatch.setattr(tus, "_BODY_S", 0.05)
    client, server = socket.socketpair()
    with client, server:
        client.settimeout(5)
        client.send(PICTURE[:10])  # and no more, nor does it close
        body = Body(LengthReader(SocketUnreader(server), HALF))
        environ = {"gunicorn.socket": server, "wsgi.input": body, "CONTENT_LENGTH": str(HALF), "CONTENT_TYPE": BYTES}
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
        user_client.generic("PATCH", address, headers=headers, **environ)
        assert client.recv(1) == b""
        assert server.gettimeout() is None
    assert head(user_client, address)["Upload-Offset"] == "10"
    assert add(user_client, address, 10, PICTURE[10:])["X-Asset-Id"]


# --- who ----------------------------------------------------------------------------------------------------------


def test_nobody_else_learns_of_an_upload(user_client, stranger_client, staff_client, address):
    for client in (stranger_client, staff_client):
        for method in ("HEAD", "PATCH", "DELETE"):
            assert ask(client, method, address, Upload_Offset=0).status_code == 404
    assert head(user_client, address).status_code == 200


def test_who_is_not_signed_in_is_told(address, settings):
    settings.PUBLIC_READ = True
    response = begin(Client())
    assert (response.status_code, response.json()["code"], response["Tus-Resumable"]) == (401, "not_signed_in", "1.0.0")
    assert head(Client(), address).status_code == 401


def test_session_needs_the_token_of_its_forms(user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert begin(client).status_code == 403
    assert ask(client, "GET", reverse("gallery:tus"), X_HTTP_Method_Override="POST", Upload_Length=5).status_code == 403
    client.get(reverse("gallery:upload"))
    token = client.cookies["csrftoken"].value
    begun = begin(client, X_CSRFToken=token)
    assert begun.status_code == 201
    assert add(client, begun["Location"], 0, PICTURE).status_code == 403
    assert add(client, begun["Location"], 0, PICTURE[:HALF], X_CSRFToken=token).status_code == 204
    whole = begin(client, body=PICTURE, X_CSRFToken=token)
    assert (whole.status_code, whole["X-Asset-Id"]) == (201, str(Asset.objects.get().pk))
    assert begin(client, body=PICTURE).status_code == 403


def test_token_of_the_api_is_enough(api, user):
    client = Client(enforce_csrf_checks=True)
    credentials = {"Authorization": api._credentials["HTTP_AUTHORIZATION"]}
    begun = begin(client, **credentials)
    assert add(client, begun["Location"], 0, PICTURE, **credentials)["X-Asset-Id"] == str(Asset.objects.get().pk)


# --- what became of it ----------------------------------------------------------------------------------------------


def test_answer_that_was_lost_is_told_again_and_nothing_stored_twice(user_client, address, monkeypatch, spool):
    stored = []
    real = tus.store_upload
    monkeypatch.setattr(tus, "store_upload", lambda *given: stored.append(1) or real(*given))
    add(user_client, address, 0, PICTURE)
    asset = str(Asset.objects.get().pk)
    again = add(user_client, address, 0, PICTURE)
    assert again.status_code == 409  # which makes a client ask where it stands
    asked = head(user_client, address)
    assert (asked.status_code, asked["Upload-Offset"], asked["X-Asset-Id"]) == (200, str(LENGTH), asset)
    at_the_end = add(user_client, address, LENGTH, b"", Prefer="return=representation")
    assert (at_the_end.status_code, at_the_end["X-Asset-Id"], at_the_end.json()["id"]) == (201, asset, int(asset))
    assert at_the_end.json()["duplicate"] is False
    assert len(stored) == 1
    assert [path.suffix for path in files_in(spool)] == [".json"]  # the answer; the bytes are gone


def test_identical_picture_is_told(user_client, address):
    add(user_client, address, 0, PICTURE)
    second = begin(user_client)["Location"]
    response = add(user_client, second, 0, PICTURE, Prefer="return=representation")
    told = response.json()
    assert (response.status_code, response["X-Duplicate"], told["duplicate"]) == (200, "true", True)
    assert set(told) == {"id", "title", "status", "url", "duplicate", "restored"}


def test_refusal_is_told_and_kept(user_client, spool):
    address = begin(user_client, 10)["Location"]
    for offset, body in ((0, b"no picture"), (10, b"")):
        response = add(user_client, address, offset, body)
        assert (response.status_code, response["X-Refused"]) == (415, "unsupported_type")
        assert response.json() == {"code": "unsupported_type", "detail": response.json()["detail"]}
    asked = head(user_client, address)
    assert (asked.status_code, asked["X-Refused"]) == (410, "unsupported_type")
    assert "Upload-Offset" not in asked
    empty = begin(user_client, 0)
    assert (empty.status_code, empty["X-Refused"]) == (400, "empty")
    assert not [path for path in files_in(spool) if path.suffix == ".data"]


def test_upload_whose_process_was_killed_before_storing_is_stored_when_asked_after(user_client, user, address):
    with unfinished.find(user.pk, address.split("/")[-2]).held() as data:
        data.write(PICTURE)
    asked = head(user_client, address)
    assert (asked.status_code, asked["X-Asset-Id"]) == (200, str(Asset.objects.get().pk))


def test_full_disk_is_no_verdict(user_client, address, monkeypatch):
    with monkeypatch.context() as patched:

        def full(*_):
            raise Refused(Code.STORAGE_FULL, "The disk is full.")

        patched.setattr(tus, "store_upload", full)
        assert add(user_client, address, 0, PICTURE).status_code == 507
    assert add(user_client, address, LENGTH, b"")["X-Asset-Id"]


def test_disk_that_fills_up_in_the_midst_keeps_what_it_took(user_client, address, monkeypatch):
    real = tus._append

    def filling(data, pieces):
        real(data, [next(iter(pieces))[:100]])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tus, "_append", filling)
        assert add(user_client, address, 0, PICTURE).status_code == 507
    assert head(user_client, address)["Upload-Offset"] == "100"
    assert add(user_client, address, 100, PICTURE[100:])["X-Asset-Id"]
    assert Asset.objects.get().original.read() == PICTURE


def test_acknowledged_bytes_are_on_the_disk(user_client, address, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(tus.os, "fsync", lambda file: synced.append(os.fstat(file).st_size) or real(file))
    add(user_client, address, 0, PICTURE[:HALF])
    assert synced == [HALF]


# --- how long and how many --------------------------------------------------------------------------------------------


def test_expired_upload_is_gone(user_client, address, spool):
    make_old(spool)
    assert head(user_client, address).status_code == 410
    assert told(add(user_client, address, 0, PICTURE)) == (410, "expired", "Begin anew")
    unfinished.remove_expired()
    assert head(user_client, address).status_code == 404
    assert files_in(spool) == []


def test_bytes_put_off_expiry(user_client, address, spool):
    make_old(spool, by_s=LIFETIME_S - 60)
    before = head(user_client, address)["Upload-Expires"]
    after = add(user_client, address, 0, PICTURE[:HALF])["Upload-Expires"]
    assert parsedate_to_datetime(after) > parsedate_to_datetime(before)
    assert before == http_date(parsedate_to_datetime(before).timestamp())


def test_sweeps_leave_what_is_in_use(user_client, address, spool):
    add(user_client, address, 0, PICTURE[:HALF])
    finished = begin(user_client, body=PICTURE)["Location"]
    for path in (spool / "unfinished").rglob("*.json"):  # begun long ago, added to just now
        os.utime(path, (0, 0))
    unfinished.remove_expired()
    integrity._sweep_spool()
    assert head(user_client, finished)["X-Asset-Id"]
    assert add(user_client, address, HALF, PICTURE[HALF:])["X-Duplicate"] == "true"


def test_finished_uploads_are_forgotten_in_time(user_client, address, spool):
    add(user_client, address, 0, PICTURE)
    make_old(spool)
    unfinished.remove_expired()
    assert files_in(spool) == []
    assert head(user_client, address).status_code == 404


def test_unfinished_uploads_of_one_user_are_limited_in_number(user_client, stranger_client, monkeypatch):
    monkeypatch.setattr(unfinished, "MOST_UPLOADS", 2)
    addresses = [begin(user_client)["Location"] for _ in range(2)]
    response = begin(user_client)
    assert (response.status_code, response.json()["code"]) == (429, "throttled")
    assert begin(stranger_client).status_code == 201
    add(user_client, addresses[0], 0, PICTURE)
    assert begin(user_client).status_code == 201


def test_unfinished_uploads_of_one_user_are_limited_in_bytes(user_client, monkeypatch):
    monkeypatch.setattr(unfinished, "MOST_BYTES", 1000)
    address = begin(user_client, 600)["Location"]
    assert begin(user_client, 401).status_code == 429
    assert begin(user_client, 400).status_code == 201
    ask(user_client, "DELETE", address)
    assert begin(user_client, 600).status_code == 201


def test_piece_larger_than_any_form_is_taken(user_client, settings):
    length = 2 * settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    address = begin(user_client, length + 1)["Location"]
    assert add(user_client, address, 0, bytes(length))["Upload-Offset"] == str(length)
