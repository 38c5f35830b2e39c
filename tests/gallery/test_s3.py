"""A gallery whose files lie in a bucket, of moto's server on this machine, and what is left of it when that is gone."""

import errno
import io
import os
import socket
import subprocess
import sys
import zipfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from django.conf import settings as project
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from moto.server import ThreadedMotoServer

from gallery import bucket as bucket_module
from gallery import integrity
from gallery.errors import Code
from gallery.models import Asset
from gallery.storage import StorageUnavailable
from search import pipeline, tasks
from search.models import MAX_ATTEMPTS
from tests.conftest import drawn, encoded
from tests.gallery import test_tus
from tests.product import Product, free_port, wait_for
from tests.server import Server, answer, running

ASSETS = reverse("api:asset-list")
KEYS = {"AWS_ACCESS_KEY_ID": "for", "AWS_SECRET_ACCESS_KEY": "these tests", "AWS_EC2_METADATA_DISABLED": "true"}
NAME = "pictures"


@pytest.fixture(scope="module")
def store():
    """The address of an object store."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(store, monkeypatch):
    """An empty one."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    requests.post(f"{store}/moto-api/reset", timeout=10).raise_for_status()
    return boto3.resource("s3", endpoint_url=store, region_name="us-east-1").create_bucket(Bucket=NAME)


def keep_files_in(settings, address, name=NAME):
    settings.S3_BUCKET, settings.S3_ENDPOINT_URL, settings.S3_REGION = name, address, "us-east-1"
    settings.STORAGES = {**project.STORAGES, "default": {"BACKEND": "gallery.bucket.BucketStorage"}}


@pytest.fixture
def in_bucket(bucket, store, settings):
    """The bucket, with the gallery's files kept in it."""
    keep_files_in(settings, store)
    return bucket


def names_in(bucket):
    return {stored.key for stored in bucket.objects.all()}


def files_of(asset):
    return {asset.original.name, asset.preview.name, asset.thumbnail.name}


def upload(client, data, name="picture.jpg"):
    return client.post(ASSETS, {"file": ContentFile(data, name=name)}, format="multipart")


def link_of(response):
    """Where it leads, and the parameters there."""
    assert response.status_code == 302
    parts = urlsplit(response["Location"])
    return response["Location"], {name: value for name, [value] in parse_qs(parts.query).items()}


# --- the picture's way ------------------------------------------------------------------------------------------


def test_picture_is_stored_found_and_downloaded(in_bucket, api, encoder):
    data = encoded(drawn(1))
    stored = upload(api, data, "Schöner Schuh.jpg").json()
    upload(api, encoded(drawn(2)))
    assert pipeline.embed_pending(encoder).ready == 2
    found = api.post(reverse("api:search"), {"image": ContentFile(data, name="q.jpg")}, format="multipart").json()
    assert found["results"][0]["asset"]["id"] == stored["id"]

    response = api.get(stored["urls"]["original"])
    assert response["Cache-Control"] == "no-store"
    address, told = link_of(response)
    assert told["X-Amz-Expires"] == "60"
    assert told["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    got = requests.get(address, timeout=10)
    assert got.content == data
    assert got.headers["Content-Type"] == "image/jpeg"
    assert got.headers["Content-Disposition"] == "attachment; filename*=utf-8''Sch%C3%B6ner%20Schuh.jpg"
    assert got.headers["Cache-Control"] == "private, no-store"


def unpacked(user_client, *stored):
    """What the ZIP file of their originals holds, and the text in it that names what is left out."""
    answer = user_client.post(reverse("gallery:download_zip"), {"ids": [one.pk for one in stored]})
    pack = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert pack.testzip() is None
    files = {name: pack.read(name) for name in pack.namelist()}
    return files, files.pop("Left out.txt", b"").decode()


def test_originals_come_as_one_zip_file_without_what_is_missing(in_bucket, user_client, asset):
    first, missing, last = asset(1), asset(2), asset(3)
    in_bucket.Object(missing.original.name).delete()
    files, left_out = unpacked(user_client, first, missing, last)
    assert files == {"picture-3.jpeg": encoded(drawn(3)), "picture-1.jpeg": encoded(drawn(1))}
    assert left_out == "picture-2.jpeg: the file is missing from the storage.\n"


def test_zip_file_says_that_the_bucket_is_gone(in_bucket, settings, user_client, asset):
    stored = [asset(1), asset(2)]
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    files, left_out = unpacked(user_client, *stored)
    assert files == {}
    assert left_out.count("did not give it") == len(stored)


@pytest.mark.parametrize("name", ["preview", "thumbnail"])
def test_rendition_is_a_link_that_lives_longer_than_it_is_cached(in_bucket, user_client, asset, name):
    response = user_client.get(reverse(f"gallery:{name}", args=[asset().pk]))
    address, told = link_of(response)
    kept, seconds = response["Cache-Control"].split("max-age=")
    assert kept == "private, "
    assert 0 < int(seconds) < int(told["X-Amz-Expires"])
    got = requests.get(address, timeout=10)
    assert got.content.startswith(b"\xff\xd8")
    assert got.headers["Content-Type"] == "image/jpeg"
    assert "immutable" in got.headers["Cache-Control"]


def test_links_are_signed_though_a_proxy_sends_the_files_of_this_machine(in_bucket, api, asset, settings):
    settings.MEDIA_REDIRECT = "/_media/"
    response = api.get(f"{ASSETS}{asset().pk}/download/")
    assert "X-Accel-Redirect" not in response
    link_of(response)


@pytest.mark.parametrize("name", ["download", "preview", "thumbnail"])
def test_stranger_gets_no_link(in_bucket, client, asset, name):
    address = link_of(client.get(reverse(f"gallery:{name}", args=[asset().pk])))[0]
    assert address.startswith("/login/")


def test_objects_are_their_owners_alone(in_bucket, asset):
    stored = asset()
    for name in files_of(stored):
        assert [grant["Grantee"]["Type"] for grant in in_bucket.Object(name).Acl().grants] == ["CanonicalUser"]


def test_objects_have_a_checksum(in_bucket, asset):
    client = in_bucket.meta.client
    told = client.head_object(Bucket=NAME, Key=asset().original.name, ChecksumMode="ENABLED")
    assert [name for name in told if name.startswith("Checksum")]


def test_large_original_is_read_through_the_spool(bucket, store, settings, asset, monkeypatch):
    monkeypatch.setattr(bucket_module, "_MAX_MEMORY_BYTES", 100)
    keep_files_in(settings, store)
    stored = asset()
    with default_storage.open(stored.original.name) as opened:
        assert opened.file._rolled
        assert len(opened.read()) == stored.size_bytes


def test_files_of_a_deleted_asset_go(in_bucket, asset, django_capture_on_commit_callbacks):
    kept, deleted = asset(1), asset(2)
    with django_capture_on_commit_callbacks(execute=True):
        deleted.delete()
    assert names_in(in_bucket) == files_of(kept)


def test_original_that_is_sent_again_is_put_back(in_bucket, api):
    data = encoded(drawn(1))
    stored = Asset.objects.get(pk=upload(api, data).json()["id"])
    in_bucket.Object(stored.original.name).delete()
    assert upload(api, data).json()["duplicate"]
    assert names_in(in_bucket) == files_of(stored)
    assert in_bucket.Object(stored.original.name).get()["Body"].read() == data


# --- integrity --------------------------------------------------------------------------------------------------


def test_check_finds_what_is_missing_and_altered_and_renders_anew(in_bucket, asset, capsys):
    missing, altered, bare = asset(1), asset(2), asset(3)
    in_bucket.Object(missing.original.name).delete()
    in_bucket.Object(altered.original.name).put(Body=b"other bytes")
    in_bucket.Object(bare.preview.name).delete()
    with pytest.raises(SystemExit):
        call_command("check_integrity", "--repair")
    said = capsys.readouterr().out
    assert f"original missing  asset {missing.pk} " in said
    assert f"original altered  asset {altered.pk} " in said
    assert f"repaired  rendition missing  asset {bare.pk} " in said
    assert Asset.objects.get(pk=bare.pk).preview.open().read().startswith(b"\xff\xd8")


def test_sweep_removes_what_belongs_to_no_asset_once_it_is_old(in_bucket, asset, monkeypatch):
    stored = asset()
    in_bucket.Object("originals/ab/cd/abcd").put(Body=b"left over")
    in_bucket.Object("exports/a.zip").put(Body=b"not ours")
    assert integrity.sweep() == 0
    monkeypatch.setattr(integrity, "_ORPHAN_AGE", timedelta(0))
    assert integrity.sweep() == 1
    assert names_in(in_bucket) == {*files_of(stored), "exports/a.zip"}


def test_sweep_asks_for_names_by_the_thousand_and_not_by_the_folder(in_bucket, db, monkeypatch):
    for number in range(30):
        in_bucket.Object(f"originals/{number:02x}/cd/{number:02x}cd").put(Body=b"left over")
    asked: Counter[str] = Counter()
    events = default_storage.connection.meta.client.meta.events
    events.register("before-call.s3", lambda model, **_: asked.update([model.name]))
    monkeypatch.setattr(integrity, "_ORPHAN_AGE", timedelta(days=1))
    assert list(integrity.orphans()) == []
    assert asked["ListObjects"] == 2 * 16
    assert asked.total() - asked["ListObjects"] == 30  # how old each is that belongs to no asset


# --- backups ----------------------------------------------------------------------------------------------------


_FAILING = """
from assetsearch.backups import tools
from django.core.management import call_command
find = tools.find
tools.find = lambda *names: [find(*names)[0], "/bin/false"]
call_command("restore", {!r})
"""


@pytest.mark.product
def test_backup_of_a_bucket_is_restored_into_an_empty_one(bucket, store, tmp_path):
    place = {**KEYS, "S3_BUCKET": NAME, "S3_ENDPOINT_URL": store, "S3_REGION": "us-east-1"}
    first = Product(tmp_path / "first", **place)
    first.start()
    try:
        client = first.sign_in()
        stored = client.upload("one.jpg", encoded(drawn(1)))
        client.upload("other.jpg", encoded(drawn(2)))
        wait_for(client.is_settled, what="embedding")
        assert client.bytes_of(stored["urls"]["original"]) == encoded(drawn(1))
    finally:
        first.stop()
    held = {name: bucket.Object(name).get()["Body"].read() for name in names_in(bucket)}
    assert "6 downloaded" in first.command("backup", str(tmp_path / "backup")).stdout
    assert "6 unchanged" in first.command("backup", str(tmp_path / "next")).stdout

    other = boto3.resource("s3", endpoint_url=store, region_name="us-east-1").create_bucket(Bucket="other")
    second = Product(tmp_path / "second", **{**place, "S3_BUCKET": "other"})
    failing = second.command("shell", "-v", "0", "-c", _FAILING.format(str(tmp_path / "backup")), check=False)
    assert "The database took nothing" in failing.stderr
    assert names_in(other) == set()
    assert "6 uploaded" in second.command("restore", str(tmp_path / "backup")).stdout
    assert {name: other.Object(name).get()["Body"].read() for name in names_in(other)} == held
    assert "all is well" in second.command("check_integrity").stdout

    here = Product(tmp_path / "third")
    assert "6 linked" in here.command("restore", str(tmp_path / "backup")).stdout
    assert "all is well" in here.command("check_integrity").stdout


# --- a bucket that is gone --------------------------------------------------------------------------------------


def assert_refused(response, status=503, code=Code.UNAVAILABLE):
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert not Asset.objects.exists()


def test_upload_while_the_bucket_cannot_be_reached_is_refused(bucket, api, settings):
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    response = upload(api, encoded(drawn(1)))
    assert_refused(response)
    assert "cannot be reached" in response.json()["detail"]


def test_upload_is_given_up_where_nobody_answers(bucket, api, settings, monkeypatch):
    monkeypatch.setattr(bucket_module, "_READ_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        keep_files_in(settings, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert_refused(upload(api, encoded(drawn(1))))


def test_bucket_that_is_not_there_is_told(bucket, store, api, settings, caplog):
    keep_files_in(settings, store, "no-such-bucket")
    assert_refused(upload(api, encoded(drawn(1))))
    assert "The bucket no-such-bucket refuses" in caplog.text


@pytest.mark.parametrize("ask", ["open", "size", "get_modified_time", "put_there"])
def test_file_is_not_missing_where_the_bucket_is(bucket, store, settings, ask):
    keep_files_in(settings, store)
    with pytest.raises(FileNotFoundError):
        getattr(default_storage, ask)("originals/ab/cd/abcd")
    keep_files_in(settings, store, "no-such-bucket")
    with pytest.raises(StorageUnavailable):
        getattr(default_storage, ask)("originals/ab/cd/abcd")


def told_of(request, got):
    """Answers of a store that has every file, and what comes of getting one."""
    if request.startswith("HEAD"):
        return [answer(b"", "ETag: x", "Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT", length=99)]
    return [got]


@pytest.mark.parametrize("code", ["InvalidObjectState", "KMS.DisabledException", "KMS.NotFoundException"])
def test_file_that_cannot_be_read_is_no_outage(bucket, settings, code):
    """Others can be, and a queue must not stop at one that was archived or whose key is gone."""
    refused = answer(f"<Error><Code>{code}</Code><Message>No</Message></Error>".encode(), status="403 Forbidden")
    with running(Server("127.0.0.1", lambda request: told_of(request, refused))) as server:
        keep_files_in(settings, f"http://127.0.0.1:{server.port}")
        with pytest.raises(OSError, match=code) as raised:
            default_storage.open("originals/ab/cd/abcd")
    assert raised.value.errno == errno.EIO


def test_only_the_first_of_many_waits_for_a_bucket_that_is_gone(bucket, store, settings, monkeypatch):
    asked: Counter[str] = Counter()
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    default_storage.connection.meta.client.meta.events.register(
        "before-call.s3", lambda model, **_: asked.update([model.name])
    )
    for number in range(5):
        with pytest.raises(StorageUnavailable):
            default_storage.delete(f"originals/{number}")
    assert asked.total() == 1
    monkeypatch.setattr(bucket_module, "_PAUSE_S", 0)
    wait_for(lambda: asks_again(asked), seconds=10, what="the end of the pause")


def asks_again(asked):
    with pytest.raises(StorageUnavailable):
        default_storage.delete("originals/again")
    return asked.total() > 1


def test_missing_keys_are_told_as_an_outage(in_bucket, api, asset, settings, monkeypatch):
    stored = asset()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    keep_files_in(settings, settings.S3_ENDPOINT_URL)
    response = api.get(f"{ASSETS}{stored.pk}/download/")
    assert (response.status_code, response.json()["code"]) == (503, Code.UNAVAILABLE)


def test_download_is_attempted_no_more_often_than_told(bucket, settings):
    """A transfer has attempts of its own, and each makes as many as its requests may."""
    with running(Server("127.0.0.1", lambda request: told_of(request, answer(b"cut", length=99)))) as server:
        keep_files_in(settings, f"http://127.0.0.1:{server.port}")
        with pytest.raises(StorageUnavailable):
            default_storage.open("originals/ab/cd/abcd")
    assert len([request for request in server.requests if request.startswith("GET")]) <= 2


def test_bucket_that_is_full_is_told(bucket, api, settings):
    full = b"<Error><Code>QuotaExceeded</Code><Message>Enough</Message></Error>"

    def answers(request):
        return [answer(b"", status="404 Not Found") if request.startswith("HEAD") else answer(full, status="403 No")]

    with running(Server("127.0.0.1", answers)) as server:
        keep_files_in(settings, f"http://127.0.0.1:{server.port}")
        response = upload(api, encoded(drawn(1)))
    assert_refused(response, 507, Code.STORAGE_FULL)
    assert "full" in response.json()["detail"]


def test_upload_of_which_a_part_came_leaves_nothing(in_bucket, api, monkeypatch):
    save = bucket_module.BucketStorage._save

    def fail_at_the_last(storage, name, content):
        if len(names_in(in_bucket)) == 2:
            raise StorageUnavailable
        return save(storage, name, content)

    monkeypatch.setattr(bucket_module.BucketStorage, "_save", fail_at_the_last)
    assert_refused(upload(api, encoded(drawn(1))))
    assert names_in(in_bucket) == set()


def test_resumable_upload_is_stored_once_the_bucket_is_back(in_bucket, store, user_client, settings):
    data = encoded(drawn(1))
    address = test_tus.begin(user_client, len(data))["Location"]
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    assert test_tus.add(user_client, address, 0, data).status_code == 503
    keep_files_in(settings, store)
    assert test_tus.add(user_client, address, len(data), b"")["X-Asset-Id"] == str(Asset.objects.get().pk)


def test_search_by_a_stored_picture_says_that_the_bucket_is_gone(in_bucket, api, asset, encoder, settings):
    stored = asset()
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    response = api.post(reverse("api:search"), {"asset": stored.pk, "crop": "0,0,0.5,1"}, format="json")
    assert (response.status_code, response.json()["code"]) == (503, Code.UNAVAILABLE)


def test_page_tells_that_the_bucket_is_gone(bucket, user_client, settings):
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    files = {"file": ContentFile(encoded(drawn(1)), name="picture.jpg")}
    assert "cannot be reached" in user_client.post(reverse("gallery:upload"), files).content.decode()


def test_asset_is_embedded_once_the_bucket_is_back(in_bucket, store, asset, encoder, settings):
    stored = asset()
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    for _ in range(MAX_ATTEMPTS + 1):  # none of which counts
        tasks.embed_asset(stored.pk)
        tasks.embed_pending()
    encoder.refresh_from_db()
    assert "cannot be reached" in encoder.error
    stored.refresh_from_db()
    assert stored.status == Asset.Status.PENDING
    keep_files_in(settings, store)
    assert pipeline.embed([stored.pk], encoder).ready == 1


def test_outage_counts_as_no_attempt_at_what_was_tried_before(in_bucket, store, asset, encoder, settings):
    stored = asset()
    pipeline.claim([stored.pk], encoder)
    encoder.embeddings.update(attempts=MAX_ATTEMPTS - 2, claimed_until=timezone.now() - timedelta(days=1))
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StorageUnavailable):
        pipeline.embed_pending(encoder)
    assert encoder.embeddings.get().attempts == MAX_ATTEMPTS - 2


def test_check_takes_no_original_for_missing_while_the_bucket_is_gone(in_bucket, asset, settings):
    asset()
    keep_files_in(settings, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(CommandError, match="cannot be reached"):
        call_command("check_integrity")


# --- start ------------------------------------------------------------------------------------------------------


def started(statements, **environment):
    program = f"import django; django.setup(); {statements}"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=project.BASE_DIR, env={**Product(Path("var")).environment, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_gallery_on_a_disk_does_not_load_boto3(tmp_path):
    told = started(
        "import assetsearch.wsgi, assetsearch.urls, sys; from gallery.models import Asset; "
        "Asset(preview='x.jpg').preview.storage.exists('x.jpg'); print({'boto3', 'botocore', 'moto'} & {*sys.modules})",
        DATA_DIR=str(tmp_path),
    )
    assert told.stdout == "set()\n", told.stderr


def test_endpoint_that_is_no_address_stops_the_start(tmp_path):
    told = started("pass", DATA_DIR=str(tmp_path), S3_BUCKET=NAME, S3_ENDPOINT_URL="s3.example.org")
    assert "S3_ENDPOINT_URL does not fit" in told.stderr
