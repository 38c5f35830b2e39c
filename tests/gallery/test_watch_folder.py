import errno
import os
import signal
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from gallery.errors import Code, Refused
from gallery.ingest import bulk, watch
from gallery.ingest.watch import Watched
from gallery.management.commands import watch_folder
from gallery.models import Asset
from tests.conftest import drawn, encoded


def jpeg(seed):
    return encoded(drawn(seed))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "inbox"
    made.mkdir()
    return made


def looked(watched):
    """Names of what is complete, which are then taken."""
    complete = watched.look()
    for path in complete:
        watched.take(path)
    return [path.name for path in complete]


def test_file_is_complete_when_two_looks_find_it_alike(folder):
    watched, file = Watched(folder), folder / "a.jpg"
    assert looked(watched) == []
    file.write_bytes(b"begun")
    assert looked(watched) == []
    file.write_bytes(b"begun and gone on")
    assert looked(watched) == []
    assert looked(watched) == ["a.jpg"]
    assert looked(watched) == []


def test_file_of_the_same_size_that_is_still_written_to_is_not_complete(folder):
    """Some programs reserve the room first."""
    watched, file = Watched(folder), folder / "a.jpg"
    for second in range(5):
        file.write_bytes(bytes(100))
        os.utime(file, (second, second))
        assert looked(watched) == []
    assert looked(watched) == ["a.jpg"]


def test_file_that_changes_or_comes_back_counts_again(folder):
    watched, file = Watched(folder), folder / "a.jpg"
    file.write_bytes(b"one")
    looked(watched)
    assert looked(watched) == ["a.jpg"]
    file.write_bytes(b"another")
    looked(watched)
    assert looked(watched) == ["a.jpg"]
    file.unlink()
    assert looked(watched) == []
    file.write_bytes(b"another")
    looked(watched)
    assert looked(watched) == ["a.jpg"]


def test_file_not_taken_is_told_again(folder):
    watched = Watched(folder)
    (folder / "a.jpg").write_bytes(b"one")
    watched.look()
    assert [path.name for path in watched.look()] == [path.name for path in watched.look()] == ["a.jpg"]


@pytest.fixture
def clock(monkeypatch):
    """clock.now, in seconds, as the watch reads it."""
    read = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: read.now))
    return read


def test_file_put_off_counts_again_after_pauses_that_grow(folder, clock):
    watched, file = Watched(folder), folder / "a.jpg"
    file.write_bytes(b"one")
    watched.look()
    pauses = []
    for _ in range(12):
        assert watched.look() == [file]
        pauses.append(watched.put_off(file))
        clock.now += pauses[-1] - 1
        assert watched.look() == []
        clock.now += 1
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]
    assert looked(watched) == ["a.jpg"]
    clock.now += 10_000
    assert looked(watched) == []


def test_file_put_off_counts_at_once_when_it_changes(folder, clock):
    watched, file = Watched(folder), folder / "a.jpg"
    file.write_bytes(b"one")
    watched.look()
    watched.look()
    assert (watched.put_off(file), watched.put_off(file)) == (10, 20)
    file.write_bytes(b"another")
    assert watched.look() == []
    assert watched.look() == [file]
    assert watched.put_off(file) == 10


@pytest.fixture
def watching(folder, staff, monkeypatch, capsys):
    """watching(steps, **options): run the command, and each step between two looks; then interrupt it.

    What was said comes back.
    """
    monkeypatch.setattr(signal, "signal", lambda *args: None)

    def run(*steps, **options):
        left = [*steps, lambda: None, lambda: None]

        def sleep(seconds):
            if not left:
                raise KeyboardInterrupt
            left.pop(0)()

        monkeypatch.setattr(watch_folder, "sleep", sleep)
        call_command("watch_folder", str(folder), **options)
        return capsys.readouterr().out

    return run


pytestmark = pytest.mark.django_db(transaction=True)  # the command stores from several threads


def test_what_is_put_into_the_folder_is_stored_once_it_is_complete(watching, folder, staff):
    seen = []

    def begin():
        (folder / "a.jpg").write_bytes(jpeg(1)[:500])

    def go_on():
        seen.append(Asset.objects.count())
        (folder / "a.jpg").write_bytes(jpeg(1))

    said = watching(begin, go_on, collection="Inbox", tag=["new"])
    stored = Asset.objects.get()
    assert (seen, stored.filename, stored.collection.name, stored.tags.get().name) == ([0], "a.jpg", "Inbox", "new")
    assert f"stored  {folder / 'a.jpg'}" in said
    assert "1 stored, 0 there already, 0 refused, and no longer watching" in said


def test_restart_imports_what_came_meanwhile_and_stores_nothing_twice(watching, folder):
    (folder / "a.jpg").write_bytes(jpeg(1))
    watching()
    (folder / "below").mkdir()
    (folder / "below/b.jpg").write_bytes(jpeg(2))
    said = watching()
    assert sorted(Asset.objects.values_list("filename", flat=True)) == ["a.jpg", "b.jpg"]
    assert "1 stored, 1 there already, 0 refused" in said


def test_file_that_was_refused_is_tried_again_when_it_has_changed(watching, folder):
    """As when copying was interrupted for longer than a look."""
    (folder / "a.jpg").write_bytes(jpeg(1)[:500])
    idle = [lambda: None] * 3
    said = watching(*idle, lambda: (folder / "a.jpg").write_bytes(jpeg(1)))
    assert said.count("refused  ") == 1
    assert "1 stored, 0 there already, 1 refused" in said


def test_database_that_does_not_answer_is_tried_again(watching, folder, monkeypatch, capsys):
    (folder / "a.jpg").write_bytes(jpeg(1))
    real, calls = watch_folder.import_files, []

    def import_files(*args):
        calls.append(args)
        if len(calls) == 1:
            raise OperationalError("the server closed the connection")
        return real(*args)

    monkeypatch.setattr(watch_folder, "import_files", import_files)
    assert "1 stored" in watching(lambda: None)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "error",
    [Refused(Code.STORAGE_FULL, "The disk is full."), OSError(errno.EIO, "Input/output error")],
)
def test_file_that_could_not_be_taken_for_now_is_tried_again(watching, folder, monkeypatch, clock, error):
    (folder / "a.jpg").write_bytes(jpeg(1))
    real, calls = bulk.store_upload, []

    def store_upload(*args, **options):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return real(*args, **options)

    def wait():
        clock.now += 10

    monkeypatch.setattr(bulk, "store_upload", store_upload)
    said = watching(lambda: None, lambda: None, wait)
    assert len(calls) == 2
    assert f"put off  {folder / 'a.jpg'}: " in said
    assert "It is tried again in 10 s." in said
    assert "1 stored, 0 there already, 0 refused" in said


def test_command_names_what_is_wrong(tmp_path, staff):
    with pytest.raises(CommandError, match="not a folder"):
        call_command("watch_folder", str(tmp_path / "nowhere"))
    with pytest.raises(CommandError, match="no user nobody"):
        call_command("watch_folder", str(tmp_path), user="nobody")
