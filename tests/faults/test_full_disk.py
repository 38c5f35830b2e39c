"""The disk is full: uploads are refused as such, nothing is half stored, and room can be made by deleting."""

import base64
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from PIL import Image
from rest_framework.test import APIClient

from gallery import trash
from gallery.models import Asset
from gallery.uploads import store_upload
from tests.conftest import encoded

DISK_BYTES = 8_000_000


def noise(seed: int) -> bytes:
    """A picture of a megabyte."""
    return encoded(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (600, 600, 3), dtype=np.uint8)), "PNG")


PICTURE = noise(1)


class Disk:
    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, leaving: int = 0) -> None:
        """With what others keep on it."""
        with (self.path / "others").open("wb", buffering=0) as others:
            with suppress(OSError):
                while others.write(bytes(4096)):
                    pass
            others.truncate(others.tell() - leaving)

    def free(self) -> None:
        (self.path / "others").unlink()


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(path)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.decode().strip()}")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture(params=["media", "spool", "both"])
def kept(request, settings, tmp_path, disk) -> Path:
    """Where files are kept, of which the small disk holds one, or both."""
    for name in ("media", "spool"):
        folder = (disk.path if request.param in {name, "both"} else tmp_path) / name
        folder.mkdir()
        setattr(settings, f"{name.upper()}_{'ROOT' if name == 'media' else 'DIR'}", folder)
    settings.FILE_UPLOAD_TEMP_DIR = settings.SPOOL_DIR
    return tmp_path


def by_token(api: APIClient, member: Client, data: bytes):
    return api.post("/api/v1/assets/", {"file": SimpleUploadedFile("a.png", data)}, format="multipart")


def by_session(api: APIClient, member: Client, data: bytes):
    file = SimpleUploadedFile("a.png", data)
    return member.post("/api/v1/assets/", {"file": file}, headers={"X-CSRFToken": token_of(member)})


def by_script(api: APIClient, member: Client, data: bytes):
    form = {"file": SimpleUploadedFile("a.png", data), "csrfmiddlewaretoken": token_of(member)}
    return member.post("/upload/", form, headers={"Accept": "application/json"})


def by_tus(api: APIClient, member: Client, data: bytes):
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)), "X-CSRFToken": token_of(member)}
    headers["Upload-Metadata"] = f"filename {base64.b64encode(b'a.png').decode()}"
    return member.post("/upload/files/", data, content_type="application/offset+octet-stream", headers=headers)


def token_of(member: Client) -> str:
    return member.get("/upload/").cookies["csrftoken"].value


@pytest.fixture
def member(user) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


@pytest.fixture(params=[by_token, by_session, by_script, by_tus])
def upload(request, api, member) -> Callable[[bytes], HttpResponse]:
    return partial(request.param, api, member)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "others"]


@pytest.mark.parametrize("leaving", [0, 500_000])
def test_upload_is_refused_as_such_and_leaves_nothing(kept, disk, upload, leaving):
    disk.fill(leaving)
    refused = upload(PICTURE)
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
    assert (Asset.objects.count(), files_in(kept)) == (0, [])
    disk.free()
    assert upload(PICTURE).status_code == 201


def test_room_for_the_body_and_not_for_the_original(kept, disk, api, member, settings):
    disk.fill(len(PICTURE) + 100_000)
    answers = [by_token(api, member, noise(seed)) for seed in range(1, 3)]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert {answer.json()["code"] for answer in refused} <= {"storage_full"}
    assert len(files_in(settings.MEDIA_ROOT)) == 3 * Asset.objects.count() == 3 * (len(answers) - len(refused))
    assert files_in(settings.SPOOL_DIR) == []


def test_page_without_script_says_so(kept, disk, member):
    disk.fill()
    form = {"file": SimpleUploadedFile("a.png", PICTURE), "csrfmiddlewaretoken": token_of(member)}
    page = member.post("/upload/", form).content.decode()
    assert "The disk is full." in page
    assert not Asset.objects.exists()


def test_search_by_a_picture_says_so(kept, disk, api, encoder):
    disk.fill()
    answer = api.post("/api/v1/search/", {"image": SimpleUploadedFile("a.png", PICTURE)}, format="multipart")
    is_spooled = (kept / "spool").exists()  # apart from the full disk
    assert answer.status_code == (200 if is_spooled else 507)
    assert is_spooled or answer.json()["code"] == "storage_full"


@pytest.mark.django_db(transaction=True)
def test_deleting_works_and_makes_room(kept, disk, api, member, user):
    stored = store_upload(SimpleUploadedFile("b.png", noise(2)), user).asset
    disk.fill()
    assert by_token(api, member, PICTURE).status_code == 507
    assert api.delete(f"/api/v1/assets/{stored.pk}/").status_code == 204
    trash.doom(Asset.objects.all())
    trash.sweep()
    assert (Asset.objects.count(), files_in(kept)) == (0, [])
    disk.free()
    assert by_token(api, member, PICTURE).status_code == 201
