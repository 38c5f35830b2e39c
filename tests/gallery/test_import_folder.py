import os
import shutil

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, InterfaceError, OperationalError

from gallery.ingest import bulk
from gallery.ingest.folder import pictures
from gallery.models import Asset
from tests.conftest import drawn, encoded

pytestmark = pytest.mark.django_db(transaction=True)  # the command stores from several threads


@pytest.fixture
def folder(tmp_path):
    """Three pictures in two folders, one of them broken, beside files that are no pictures."""
    for name, data in {
        "a.jpg": encoded(drawn(1)),
        "deep/er/b.PNG": encoded(drawn(2), "PNG"),
        "deep/broken.jpg": b"no picture",
        "README.md": b"words",
        ".hidden/c.jpg": encoded(drawn(3)),
        ".d.jpg": encoded(drawn(4)),
    }.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "photos/link.jpg").symlink_to(tmp_path / "photos/a.jpg")
    return tmp_path / "photos"


def imported(folder, **options):
    try:
        call_command("import_folder", str(folder), **options)
    except SystemExit as end:
        return end.code
    return 0


def test_pictures_below_a_folder_are_found_in_order(folder):
    assert [str(path.relative_to(folder)) for path in pictures(folder)] == [
        "a.jpg",
        "deep/broken.jpg",
        "deep/er/b.PNG",
    ]


def test_import_stores_what_it_can_and_reports_the_rest(folder, staff, capsys):
    assert imported(folder, collection="Holiday", tag=["sea"]) == 1
    assert sorted(Asset.objects.values_list("filename", flat=True)) == ["a.jpg", "b.PNG"]
    assert {(a.owner, a.collection.name, a.tags.get().name) for a in Asset.objects.all()} == {(staff, "Holiday", "sea")}
    said = capsys.readouterr().out
    assert "refused  deep/broken.jpg: This is no picture" in said
    assert "2 stored, 0 there already, 1 refused" in said


def test_what_nobody_thought_of_is_refused_and_logged_and_the_others_stored(folder, staff, monkeypatch, capsys, caplog):
    real = bulk.store_upload

    def store_upload(file, *args, **options):
        if file.name == "a.jpg":
            raise IntegrityError("a constraint")
        return real(file, *args, **options)

    monkeypatch.setattr(bulk, "store_upload", store_upload)
    assert imported(folder) == 1
    said = capsys.readouterr().out
    assert "refused  a.jpg: Something went wrong here. It was logged." in said
    assert "1 stored, 0 there already, 2 refused" in said
    assert "a.jpg could not be stored" in caplog.text


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_database_that_does_not_answer_ends_the_import(folder, staff, monkeypatch, error):
    def store_upload(*args, **options):
        raise error("the server closed the connection")

    monkeypatch.setattr(bulk, "store_upload", store_upload)
    with pytest.raises(error):
        imported(folder)


def test_second_run_stores_only_what_is_new(folder, staff, capsys):
    imported(folder)
    (folder / "deep/broken.jpg").unlink()
    shutil.copy(folder / "a.jpg", folder / "copy of a.jpg")
    (folder / "new.jpg").write_bytes(encoded(drawn(9)))
    assert imported(folder) == 0
    assert Asset.objects.count() == 3
    assert "1 stored, 3 there already, 0 refused" in capsys.readouterr().out


def test_import_belongs_to_the_user_named(folder, staff, user):
    imported(folder, user="ann")
    assert set(Asset.objects.values_list("owner__username", flat=True)) == {"ann"}


def test_import_names_what_is_wrong(tmp_path, db):
    with pytest.raises(CommandError, match="not a folder"):
        imported(tmp_path / "nowhere")
    with pytest.raises(CommandError, match=r"manage\.py prepare"):
        imported(tmp_path)
    with pytest.raises(CommandError, match="no user nobody"):
        imported(tmp_path, user="nobody")


def test_what_is_no_regular_file_is_left_out(folder):
    os.mkfifo(folder / "pipe.jpg")
    assert "pipe.jpg" not in [path.name for path in pictures(folder)]


@pytest.mark.parametrize("options", [{"tag": ["x" * 101]}, {"collection": "x" * 201}])
def test_names_that_do_not_fit_are_said_before_anything_is_stored(folder, staff, options):
    with pytest.raises(CommandError, match="does not fit"):
        imported(folder, **options)
    assert not Asset.objects.exists()


def test_interrupted_import_tells_by_its_exit_status(folder, staff, monkeypatch, capsys):
    def interrupted(paths, owner, details):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("gallery.management.commands.import_folder.import_files", interrupted)
    assert imported(folder) == 130
    assert "0 stored" in capsys.readouterr().out


def test_import_queues_one_task_for_many_files(folder, staff):
    from django_q.models import OrmQ

    for seed in range(20):
        (folder / f"{seed}.jpg").write_bytes(encoded(drawn(100 + seed)))
    imported(folder)
    queued = [(one.key, one.func()) for one in OrmQ.objects.all()]
    assert set(queued) == {("bulk", "search.tasks.embed_pending")}
    assert len(queued) <= 3
