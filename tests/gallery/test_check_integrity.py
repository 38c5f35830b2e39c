import errno
import hashlib
import os
import time
from pathlib import Path

import pytest
from django.conf import settings as project
from django.core.management import CommandError, call_command
from PIL import Image

from gallery import integrity
from gallery.models import Asset

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def media(settings, tmp_path):
    """A folder of media of this test's own."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)
    return path


class _Stat:
    """Of a file, with another time of its last change: that one cannot be set."""

    def __init__(self, real, changed):
        self._real, self.st_ctime = real, changed

    def __getattr__(self, name):
        return getattr(self._real, name)


@pytest.fixture
def changed(monkeypatch):
    """{path: when it was put there}; other files when they were last modified."""
    real, times = Path.stat, {}

    def stat(path, **kwargs):
        told = real(path, **kwargs)
        return _Stat(told, times.get(path, told.st_mtime))

    monkeypatch.setattr(Path, "stat", stat)
    return times


@pytest.fixture
def orphan(media, changed):
    """orphan(name, seconds): a file that belongs to no asset, and has not been written to for so long."""

    def make(name="originals/ab/cd/abcd", seconds=3601):
        path = media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left over")
        return aged(path, seconds)

    return make


def checked(capsys, *arguments):
    """The exit status, and the lines that were said."""
    try:
        call_command("check_integrity", *arguments)
        status = 0
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().out.splitlines()


def test_sound_gallery_is_told_so(asset, capsys):
    for seed in range(3):
        asset(seed)
    assert checked(capsys) == (0, ["3 assets checked: all is well"])


def test_missing_and_altered_originals_are_reported_and_not_repaired(asset, capsys):
    sound, missing, altered = asset(1), asset(2), asset(3)
    Path(missing.original.path).unlink()
    data = bytearray(Path(altered.original.path).read_bytes())
    data[100] ^= 1
    Path(altered.original.path).write_bytes(data)
    assert checked(capsys, "--repair") == (
        1,
        [
            f"original missing  asset {missing.pk} (picture-2.jpeg)",
            f"original altered  asset {altered.pk} (picture-3.jpeg)",
            "3 assets checked: 1 original missing (0 repaired), 1 original altered (0 repaired)",
        ],
    )
    assert Asset.objects.count() == 3
    assert Path(altered.original.path).read_bytes() == data
    assert hashlib.sha256(sound.original.read()).hexdigest() == sound.sha256


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("names", [["preview"], ["thumbnail"], ["preview", "thumbnail"]])
def test_missing_rendition_is_rendered_anew_when_asked(asset, capsys, names, lost):
    one, other = asset(1), asset(2)
    before = {name: Path(getattr(one, name).path).read_bytes() for name in ("preview", "thumbnail")}
    for name in names:
        lost(Path(getattr(one, name).path))
    assert checked(capsys)[0] == 1
    status, said = checked(capsys, "--repair")
    assert (status, said[0]) == (0, f"repaired  rendition missing  asset {one.pk} (picture-1.jpeg)")
    assert checked(capsys) == (0, ["2 assets checked: all is well"])
    again = Asset.objects.get(pk=one.pk)
    assert {name: getattr(again, name).read() for name in before} == before
    assert Asset.objects.get(pk=other.pk).preview.name == other.preview.name


def test_rendition_is_not_made_of_an_original_that_was_altered(asset, capsys):
    one = asset(1)
    Image.new("RGB", (8, 8)).save(one.original.path, "JPEG")
    Path(one.preview.path).unlink()
    status, said = checked(capsys, "--repair")
    assert status == 1
    assert said[-1] == "1 assets checked: 1 original altered (0 repaired), 1 rendition missing (0 repaired)"


def test_rendition_that_cannot_be_made_is_left_and_reported(asset, capsys):
    one = asset(1)
    Path(one.original.path).write_bytes(b"no picture")
    Asset.objects.update(sha256=hashlib.sha256(b"no picture").hexdigest())
    Path(one.preview.path).unlink()
    assert checked(capsys, "--repair")[0] == 1


def test_orphans_are_found_and_removed_when_asked_and_old_enough(asset, capsys, orphan):
    asset(1)
    old, other = orphan(), orphan("renditions/00/11/0011.jpg", DAY)
    young, foreign = orphan("originals/ab/cd/young", 60), orphan("exports/a.zip", DAY)
    status, said = checked(capsys)
    assert status == 1
    assert said[-1] == "1 assets checked: 2 orphan (0 repaired)"
    assert old.exists()
    status, said = checked(capsys, "--repair")
    assert (status, said[-1]) == (0, "1 assets checked: 2 orphan (2 repaired)")
    assert "repaired  orphan  originals/ab/cd/abcd" in said
    assert [path.exists() for path in (old, other, young, foreign)] == [False, False, True, True]
    assert checked(capsys) == (0, ["1 assets checked: all is well"])


def test_old_files_of_assets_are_no_orphans(asset, capsys):
    for seed in range(20):
        made = asset(seed)
        for stored in (made.original, made.preview, made.thumbnail):
            aged(stored.path, 400 * DAY)
    assert list(integrity.orphans()) == []
    assert checked(capsys, "--repair")[0] == 0
    assert checked(capsys) == (0, ["20 assets checked: all is well"])


def test_file_that_got_its_row_meanwhile_is_kept(asset):
    one = asset(1)
    assert not integrity.remove_orphan(one.original.name)
    assert Path(one.original.path).exists()


def test_asset_deleted_meanwhile_is_not_reported(asset, capsys, monkeypatch):
    gone = asset(1)
    Path(gone.original.path).unlink()
    check = integrity._check

    def delete_first(one, *, repair):
        Asset.objects.filter(pk=one.pk).delete()
        return check(one, repair=repair)

    monkeypatch.setattr(integrity, "_check", delete_first)
    assert checked(capsys)[0] == 0


def test_original_that_cannot_be_read_is_not_told_to_be_missing(asset, capsys):
    one = asset(1)
    Path(one.original.path).unlink()
    Path(one.original.path).mkdir()
    assert f"original unreadable  asset {one.pk} (picture-1.jpeg)" in checked(capsys)[1]


def test_disk_that_has_no_room_for_the_check_is_no_fault_of_an_original(asset, capsys, monkeypatch):
    def no_room(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    asset(1)
    monkeypatch.setattr(integrity, "sha256_of", no_room)
    with pytest.raises(CommandError, match="The disk is full"):
        checked(capsys)


def test_gallery_without_media_is_sound(db, capsys):
    assert checked(capsys) == (0, ["0 assets checked: all is well"])


def test_interrupted_check_tells_what_it_found(asset, capsys, monkeypatch):
    one, two = asset(1), asset(2)
    Path(one.original.path).unlink()
    check = integrity._check

    def interrupted(asset, *, repair):
        if asset.pk == two.pk:
            raise KeyboardInterrupt
        return check(asset, repair=repair)

    monkeypatch.setattr(integrity, "_check", interrupted)
    status, said = checked(capsys)
    assert (status, said[-1]) == (130, "1 assets checked: 1 original missing (0 repaired)")


def test_sweep_removes_what_killed_processes_left(asset, orphan):
    one = asset(1)
    left, young = orphan(), orphan("originals/ab/cd/young", 60)
    assert integrity.sweep() == 1
    assert [left.exists(), young.exists(), Path(one.original.path).exists()] == [False, True, True]


def test_sweep_leaves_restored_files_that_have_no_rows_yet(asset, orphan, changed):
    """A restore links or copies them with the time they were modified, and commits their rows afterwards."""
    asset(1)
    restored = orphan(seconds=400 * DAY)
    changed[restored] = time.time() - 60
    assert integrity.sweep() == 0
    assert restored.exists()
    changed[restored] = time.time() - 3600
    assert integrity.sweep() == 1
    assert not restored.exists()


def test_sweep_leaves_everything_where_most_files_belong_to_nobody(asset, orphan, caplog):
    """As after a start with another database than that of the files."""
    asset(1)
    left = [orphan(f"originals/ab/cd/{n}", DAY) for n in range(6)]
    assert integrity.sweep() == 0
    assert all(path.exists() for path in left)
    assert "6 files or more belong to no asset" in caplog.text


def test_sweep_removes_what_a_first_upload_left_that_was_killed(db, orphan):
    left = [orphan(f"{name}/ab/cd/ab", DAY) for name in ("originals", "renditions", "renditions/ab")]
    assert integrity.sweep() == 3
    assert not any(path.is_file() for path in left)


def test_sweep_removes_abandoned_copies_of_uploads_and_nothing_else(db, settings, tmp_path):
    settings.SPOOL_DIR = tmp_path
    for name, age in {"tmpold.upload": 2 * DAY, "tmpnew.upload": 60, "other": 2 * DAY}.items():
        (tmp_path / name).write_bytes(b"x")
        aged(tmp_path / name, age)
    integrity.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "tmpnew.upload"]
    assert Path(project.SPOOL_DIR) == tmp_path
