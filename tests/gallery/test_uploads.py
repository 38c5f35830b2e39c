import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection

from gallery import sandbox, uploads
from gallery.errors import Code, Refused
from gallery.models import Asset, Collection, Tag
from gallery.signals import asset_stored
from gallery.uploads import Details, clean_filename, store_upload
from tests.gallery import decoders


@pytest.fixture
def media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.MEDIA_ROOT.mkdir()
    return settings.MEDIA_ROOT


@pytest.fixture
def announced():
    heard = []

    def hear(asset_id, **_):
        heard.append(asset_id)

    asset_stored.connect(hear)
    yield heard
    asset_stored.disconnect(hear)


def files_in(folder: Path):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_upload_is_stored_with_what_is_known_of_it(user, picture, media):
    collection = Collection.objects.create(name="Shoes", owner=user)
    upload = picture(1, name="Red Shoe.jpg", size=(120, 80))
    stored = store_upload(upload, user, Details("", collection, ["red", "Red", "shoe"]))
    asset = Asset.objects.get()
    assert not stored.duplicate
    assert (asset.title, asset.filename, asset.format) == ("Red Shoe", "Red Shoe.jpg", "JPEG")
    assert (asset.width, asset.height, asset.size_bytes) == (120, 80, upload.size)
    assert (asset.owner, asset.collection, asset.status) == (user, collection, "pending")
    assert sorted(tag.name.lower() for tag in asset.tags.all()) == ["red", "shoe"]
    upload.seek(0)
    assert asset.original.open().read() == upload.read()
    assert len(files_in(media)) == 3


def test_generated_names_hold_nothing_of_the_upload(user, picture, media):
    store_upload(picture(1, name="../../etc/evil.php.jpg"), user)
    assert Asset.objects.get().filename == "evil.php.jpg"
    assert not [path for path in files_in(media) if "evil" in path.name or path.suffix == ".php"]


def test_same_bytes_are_stored_once(user, stranger, picture, media):
    first = store_upload(picture(1), user)
    again = store_upload(picture(1, name="other.jpg"), stranger)
    assert again.duplicate
    assert again.asset == first.asset
    assert len(files_in(media)) == 3


def test_stored_asset_is_announced_after_the_commit(user, picture, announced, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=False) as callbacks:
        stored = store_upload(picture(1), user)
    assert announced == []
    for callback in callbacks:
        callback()
    assert announced == [stored.asset.pk]


def test_refused_upload_leaves_nothing(user, media):
    with pytest.raises(Refused):
        store_upload(SimpleUploadedFile("x.jpg", b"no picture"), user)
    assert not Asset.objects.exists()
    assert files_in(media) == []


def test_too_large_upload_is_refused(user, picture, settings):
    settings.MAX_UPLOAD_BYTES = 100
    with pytest.raises(Refused) as refused:
        store_upload(picture(1), user)
    assert refused.value.code == Code.TOO_LARGE


def test_full_disk_is_said_and_leaves_nothing(user, picture, media, monkeypatch):
    real = uploads.ContentFile

    def full(content):
        if files_in(media):  # the original is written, the renditions no longer fit
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(content)

    monkeypatch.setattr(uploads, "ContentFile", full)
    with pytest.raises(Refused) as refused:
        store_upload(picture(1), user)
    assert refused.value.code == Code.STORAGE_FULL
    assert files_in(media) == []


def test_failed_row_takes_its_files_along(user, picture, media, monkeypatch):
    monkeypatch.setattr(Tag.objects, "named", lambda names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store_upload(picture(1), user)
    assert files_in(media) == []


@pytest.mark.django_db(transaction=True)
def test_commit_whose_answer_is_lost_keeps_the_files(user, picture, media, monkeypatch):
    real = connection.commit

    def commit():
        real()
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "commit", commit)
        with pytest.raises(OperationalError):
            store_upload(picture(1), user)
    assert len(files_in(media)) == 3
    again = store_upload(picture(1), user)
    assert again.duplicate
    assert again.asset.original.read() == picture(1).read()


@pytest.mark.django_db(transaction=True)
def test_collection_deleted_meanwhile_is_said_and_leaves_nothing(user, picture, media):
    collection = Collection.objects.create(name="Shoes", owner=user)
    Collection.objects.filter(pk=collection.pk).delete()
    with pytest.raises(Refused) as refused:
        store_upload(picture(1), user, Details(collection=collection))
    assert (refused.value.code, "collection was deleted" in refused.value.detail) == (Code.NOT_FOUND, True)
    assert not Asset.objects.exists()
    assert files_in(media) == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:100])])
def test_original_that_was_lost_comes_back_with_the_same_bytes(user, picture, media, damage):
    first = store_upload(picture(1), user).asset
    damage(Path(first.original.path))
    again = store_upload(picture(1), user)
    assert (again.duplicate, again.asset.original.name) == (True, first.original.name)
    assert Path(first.original.path).read_bytes() == picture(1).read()
    assert len(files_in(media)) == 3


def test_original_that_is_put_back_is_there_all_the_time(user, picture, media, monkeypatch):
    """Somebody may download it meanwhile, or the disk may be full."""
    original = Path(store_upload(picture(1), user).asset.original.path)
    original.write_bytes(b"cut")

    def fsync(descriptor):
        assert original.exists()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Refused) as refused:
        store_upload(picture(1), user)
    assert refused.value.code == Code.STORAGE_FULL
    assert original.read_bytes() == b"cut"
    assert len(files_in(media)) == 3


@pytest.fixture
def synced(monkeypatch):
    """Paths that were written through to the disk."""
    real, paths = os.fsync, []

    def fsync(descriptor):
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_original_is_on_the_disk_with_the_folders_that_lead_to_it(user, picture, media, synced):
    asset = store_upload(picture(1), user).asset
    original = Path(asset.original.path).resolve()
    assert synced == [original, *list(original.parents)[:4]]
    assert synced[-1] == media.resolve()


def test_original_that_does_not_reach_the_disk_is_refused(user, picture, media, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Refused) as refused:
        store_upload(picture(1), user)
    assert refused.value.code == Code.STORAGE_FULL
    assert (Asset.objects.count(), files_in(media)) == (0, [])


def test_deleted_asset_takes_its_files_along(user, picture, media, django_capture_on_commit_callbacks):
    asset = store_upload(picture(1), user).asset
    with django_capture_on_commit_callbacks(execute=True):
        Asset.objects.filter(pk=asset.pk).delete()
    assert files_in(media) == []


@pytest.mark.django_db(transaction=True)
def test_parallel_uploads_of_one_file_give_one_asset(user, picture, media):
    def upload(_):
        try:
            return store_upload(picture(1), user)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(upload, range(20)))
    assert Asset.objects.count() == 1
    assert len({one.asset.pk for one in stored}) == 1
    assert sum(not one.duplicate for one in stored) == 1
    assert len(files_in(media)) == 3


def test_decode_that_hangs_is_stopped(user, picture, settings, monkeypatch):
    settings.DECODE_TIMEOUT_S = 1
    monkeypatch.setattr(sandbox, "render", decoders.hang)
    with pytest.raises(Refused) as refused:
        store_upload(picture(1), user)
    assert refused.value.code == Code.DECODE_TIMEOUT


def test_decode_that_computes_for_too_long_is_stopped_before_one_that_waits(user, picture, settings, monkeypatch):
    settings.DECODE_CPU_S = 1
    with monkeypatch.context() as patched:
        patched.setattr(sandbox, "render", decoders.compute)
        with pytest.raises(Refused) as refused:
            store_upload(picture(1), user)
    assert refused.value.code == Code.DECODE_TIMEOUT
    assert not store_upload(picture(1), user).duplicate  # what the process did before is not held against it


@pytest.mark.parametrize("decoder", [decoders.die, decoders.devour])
def test_decode_that_takes_too_much_harms_nobody_else(user, picture, monkeypatch, decoder):
    with monkeypatch.context() as patched:
        patched.setattr(sandbox, "render", decoder)
        with pytest.raises(Refused) as refused:
            store_upload(picture(1), user)
    assert refused.value.code == Code.DECODE_MEMORY
    assert not store_upload(picture(1), user).duplicate


def test_decoder_that_is_killed_from_outside_is_no_fault_of_the_picture(user, picture, monkeypatch):
    monkeypatch.setattr(sandbox, "render", decoders.die_once)
    assert not store_upload(picture(1), user).duplicate


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("shoe.jpg", "shoe.jpg"),
        ("../../etc/passwd", "passwd"),
        (r"C:\photos\shoe.jpg", "shoe.jpg"),
        ("a\x00b\r\n.jpg", "ab.jpg"),
        ("", "untitled"),
        ("x" * 300 + ".jpeg", "x" * 196 + ".jpeg"),
        ("照片.jpg", "照片.jpg"),
    ],
)
def test_file_names_are_cleaned(given, kept):
    assert clean_filename(given) == kept
