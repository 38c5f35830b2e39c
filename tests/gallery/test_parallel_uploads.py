"""Uploads of one file at the same moment: one asset, and nobody is told of an error."""

import base64
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import requests
from django.conf import settings
from PIL import Image
from PIL.ExifTags import IFD
from rest_framework.authtoken.models import Token

from gallery import sandbox
from gallery.ingest.folder import import_files
from gallery.models import Asset
from gallery.uploads import Details
from tests.conftest import drawn

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 20


@pytest.fixture
def media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.SPOOL_DIR = settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "spool"
    for folder in (settings.MEDIA_ROOT, settings.SPOOL_DIR):
        folder.mkdir()
    return settings.MEDIA_ROOT


@pytest.fixture
def located():
    """A JPEG that tells where it was taken."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif.get_ifd(IFD.GPSInfo).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    drawn(1).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.fixture
def together(monkeypatch):
    """together(n): the next n uploads find that nothing is stored yet, all of them, before any is stored."""

    def hold(count):
        render, barrier = sandbox.render_file, Barrier(count)

        def render_together(path):
            barrier.wait(30)
            return render(path)

        monkeypatch.setattr(sandbox, "render_file", render_together)

    return hold


def at_once(calls):
    """What each call gives, of calls that begin together."""
    barrier = Barrier(len(calls))

    def one(call):
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def spooled():
    """What is left of uploads, but for what tus answered: that is kept for a day."""
    return [path for path in files_in(settings.SPOOL_DIR) if path.suffix != ".json"]


@pytest.fixture
def ways(live_server, located, tmp_path):
    """ways(user): how that user can send the file, by name."""
    (tmp_path / "same.jpg").write_bytes(located)
    tus = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(located)),
        "Upload-Metadata": f"filename {base64.b64encode(b'same.jpg').decode()}",
        "Content-Type": "application/offset+octet-stream",
    }

    def make(user):
        token = {"Authorization": f"Token {Token.objects.create(user=user).key}"}

        def by_api():
            files = {"file": ("same.jpg", located)}
            return requests.post(f"{live_server.url}/api/v1/assets/", files=files, headers=token, timeout=60)

        def by_tus():
            return requests.post(f"{live_server.url}/upload/files/", located, headers={**tus, **token}, timeout=60)

        def by_folder():
            return list(import_files([tmp_path / "same.jpg"], user, Details()))

        return {"api": by_api, "tus": by_tus, "folder": by_folder}

    return make


def is_duplicate(told):
    if isinstance(told, requests.Response):
        assert told.status_code in {200, 201}, told.text
        return told.json()["duplicate"]
    [outcome] = told
    assert outcome.refused is None
    return outcome.duplicate


@pytest.mark.parametrize("all_find_nothing", [True, False])
def test_parallel_uploads_of_one_file_are_one_asset_without_an_error(ways, user, media, together, all_find_nothing):
    if all_find_nothing:
        together(AT_ONCE)
    answers = at_once([ways(user)["api"]] * AT_ONCE)
    asset = Asset.objects.get()
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: AT_ONCE - 1}
    assert {answer.json()["id"] for answer in answers} == {asset.pk}
    assert [answer.json()["duplicate"] for answer in answers].count(False) == 1
    assert (len(files_in(media)), spooled()) == (3, [])


def test_parallel_uploads_by_every_way_are_one_asset(ways, user, media, together):
    calls = [*ways(user).values()] * 4
    together(len(calls))
    told = [is_duplicate(one) for one in at_once(calls)]
    assert Asset.objects.count() == 1
    assert Counter(told) == {True: len(calls) - 1, False: 1}
    assert (len(files_in(media)), spooled()) == (3, [])


@pytest.mark.usefixtures("media")
def test_parallel_uploads_tell_nobody_what_is_the_owner_s_alone(ways, user, stranger, together):
    """Whoever loses the race is answered with the asset of the one who won it."""
    together(AT_ONCE)
    people = [user, stranger] * (AT_ONCE // 2)
    by_api = {person: ways(person)["api"] for person in (user, stranger)}
    answers = [answer.json() for answer in at_once([by_api[person] for person in people])]
    asset = Asset.objects.get()
    assert {answer["id"] for answer in answers} == {asset.pk}
    told = zip(people, answers, strict=True)
    assert {person for person, answer in told if answer["location"]} == {asset.owner}
