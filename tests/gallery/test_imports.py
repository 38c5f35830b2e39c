"""Imports that run in the background: their pages, and what becomes of them when workers die."""

import errno
import os
import threading
import time
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from gallery import tasks
from gallery.import_models import Import
from gallery.ingest import archive, background
from gallery.models import Asset, Collection
from gallery.storage import StorageUnavailable
from gallery.uploads import Details
from tests.conftest import drawn, encoded, main_of
from tests.gallery.test_import_zip import files_outside, link, packed, patched
from tests.server import Server, answer, running

pytestmark = pytest.mark.django_db(transaction=True)  # they store from several threads
HTMX = {"HX-Request": "true"}
BEGIN = "/import/"


def jpeg(seed):
    return encoded(drawn(seed))


def zipped(*seeds):
    return packed(*((f"{seed}.jpg", jpeg(seed)) for seed in seeds))


def sent(client, data=None, name="photos.zip", headers=None, **fields):
    """An import begun on its page."""
    if data is not None:
        fields["archive"] = SimpleUploadedFile(name, data)
    return client.post(BEGIN, fields, headers=headers)


def drained():
    """The latest import, once workers have done all that is queued for them."""
    while waiting := [task for task in OrmQ.objects.order_by("pk") if task.func() == "gallery.tasks.run_import"]:
        arguments = waiting[0].args()
        waiting[0].delete()
        tasks.run_import(*arguments)
    return Import.objects.latest("pk")


def counts(row):
    return row.state, row.stored, row.duplicates, row.refused


def told(row):
    return dict(row.refusals.values_list("source", "detail"))


def kept_files():
    return sorted(path.name for path in background._archives().glob("*"))


@pytest.fixture
def begun(user):
    """begun(*seeds): an import of so many pictures, waiting."""

    def begin(*seeds):
        with TemporaryUploadedFile("photos.zip", "application/zip", 0, None) as file:
            file.write(zipped(*seeds))
            file.flush()
            return background.begin_archive(file, user, Details())

    return begin


@pytest.fixture(autouse=True)
def _nothing_kept():
    """What one test leaves waiting must not be found by the next."""
    yield
    for path in background._archives().glob("*"):
        path.unlink()


@pytest.fixture
def changing_site(settings):
    """A server, and what it answers to each path; a test may change it."""
    settings.FETCH_ALLOWED_NETWORKS = [ip_network("127.0.0.2/32")]
    pages = {}
    server = Server("127.0.0.2", lambda request: [pages.get(request.split()[1]) or answer(status="503 Not Now")])
    with running(server):
        yield f"http://127.0.0.2:{server.port}", pages


@pytest.fixture
def import_root(settings, tmp_path):
    """What staff may import from: two pictures in folders, beside links that lead out."""
    root = tmp_path / "root"
    for name, seed in {"sea/1.jpg": 1, "sea/deep/2.jpg": 2}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(seed))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/3.jpg").write_bytes(jpeg(3))
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "sea/link.jpg").symlink_to(tmp_path / "secret/3.jpg")
    settings.IMPORT_ROOT = root
    return root


# --- who comes in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [BEGIN, "/imports/", "/imports/1/"])
def test_page_sends_who_is_not_signed_in_to_the_login(client, db, path):
    assert client.get(path)["Location"] == f"/login/?next={path}"


@pytest.mark.parametrize("path", [BEGIN, "/imports/1/cancel/", "/imports/1/retry/"])
def test_stranger_begins_and_changes_nothing(client, db, path):
    assert client.post(path, {"urls": "http://example.com/a.jpg"}).status_code == 302
    assert not Import.objects.exists()


def test_import_is_its_owners_and_staffs(begun, stranger_client, user_client, staff_client):
    row = begun(1)
    for action in ("", "cancel/", "retry/"):
        ask = stranger_client.post if action else stranger_client.get
        assert ask(f"/imports/{row.pk}/{action}").status_code == 404
    assert "photos.zip" not in stranger_client.get("/imports/").text
    for client in (user_client, staff_client):
        assert "photos.zip" in client.get("/imports/").text
        assert client.get(f"/imports/{row.pk}/").status_code == 200
    assert Import.objects.get().state == "waiting"


def test_form_without_its_token_is_refused(user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert sent(client, zipped(1)).status_code == 403
    assert kept_files() == []


# --- a ZIP file -------------------------------------------------------------------------------------------------


def test_pictures_of_a_zip_are_stored_with_what_is_said_of_them(user_client, user):
    answered = sent(user_client, zipped(1, 2), collection="Sea", tags="blue, wet")
    row = Import.objects.get()
    assert answered["Location"] == row.get_absolute_url()
    assert counts(row) == ("waiting", 0, 0, 0)
    assert counts(drained()) == ("done", 2, 0, 0)
    assert {(a.owner, a.collection.name, a.tags.count()) for a in Asset.objects.all()} == {(user, "Sea", 2)}
    assert kept_files() == []
    assert Import.objects.get().finished


def test_script_is_sent_to_the_import(user_client):
    answered = sent(user_client, zipped(1), headers=HTMX)
    assert answered["HX-Redirect"] == Import.objects.get().get_absolute_url()


def test_zip_may_be_larger_than_a_picture(user_client, settings):
    settings.MAX_UPLOAD_BYTES = 2_500
    data = zipped(1, 2, 3)
    assert len(data) > settings.MAX_UPLOAD_BYTES > max(len(jpeg(seed)) for seed in (1, 2, 3))
    sent(user_client, data)
    assert counts(drained()) == ("done", 3, 0, 0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"words", "This is no ZIP file, or a damaged one."),
        (b"", "This is no ZIP file, or a damaged one."),
        (packed(*((f"{n}.jpg", b"") for n in range(9))), "The ZIP file holds 5 files or more. Divide it."),
        (packed(("a.jpg", os.urandom(9_000))), "The ZIP file is too large; at most 0 MB are taken."),
    ],
    ids=["words", "empty", "entries", "size"],
)
def test_what_cannot_be_imported_is_told_on_the_page(user_client, settings, monkeypatch, data, said):
    settings.MAX_IMPORT_BYTES = 8_000
    monkeypatch.setattr(archive, "_TOO_MANY_ENTRIES", 5)
    answered = sent(user_client, data, headers=HTMX)
    assert answered.status_code == 400
    assert answered["X-Refused"] == "invalid"
    assert said in answered.text
    assert not Import.objects.exists()
    assert kept_files() == []


def test_hostile_entries_are_reported_one_by_one_and_the_rest_is_stored(user_client, tmp_path):
    members = [
        ("../../evil.jpg", jpeg(1)),
        ("/tmp/evil.jpg", jpeg(1)),  # noqa: S108
        ("C:\\evil.jpg", jpeg(1)),
        link("link.jpg", "/etc/passwd"),
        ("in.zip", zipped(1)),
        ("bomb.png", bytes(3_000_000)),
        ("words.jpg", b"words"),
        ("a\x1b[2J.jpg", b"words"),
        ("good.jpg", jpeg(2)),
    ]
    before = files_outside(tmp_path)
    sent(user_client, packed(*members))
    row = drained()
    assert counts(row) == ("done", 1, 0, 8)
    assert told(row)["../../evil.jpg"] == told(row)["C:\\evil.jpg"] == "Its name leads out of the archive."
    assert told(row)["link.jpg"] == "It is a link and no file."
    assert told(row)["in.zip"].startswith("It is an archive in an archive.")
    assert told(row)["bomb.png"] == "Unpacked it is too large."
    assert told(row)["words.jpg"].startswith("This is no picture")
    assert r"a\x1b[2J.jpg" in told(row)
    assert list(Asset.objects.values_list("filename", flat=True)) == ["good.jpg"]
    assert {path for path in files_outside(tmp_path) - before if path.name != "imports"} == set()
    page = user_client.get(row.get_absolute_url()).text
    assert page.count("Its name leads out of the archive.") == 3
    assert "words.jpg" in page


@pytest.mark.parametrize(
    ("offset", "form", "value", "said"),
    [(8, "<H", 1, "It is encrypted."), (24, "<L", 100, ""), (24, "<L", 4_000_000_000, "Unpacked it is too large.")],
    ids=["encrypted", "size too small", "size too large"],
)
def test_entry_that_lies_is_refused(user_client, offset, form, value, said):
    sent(user_client, patched(packed(("a.jpg", jpeg(1)), ("b.jpg", jpeg(2))), offset, form, value))
    row = drained()
    assert counts(row) == ("done", 1, 0, 1)
    assert told(row)["a.jpg"].startswith(said)


def test_no_hostile_archive_brings_a_worker_down(user_client, shared):
    for path in sorted((shared / "hostile/synthetic").glob("*zip*")):
        answered = sent(user_client, path.read_bytes(), headers=HTMX)
        assert answered.status_code == 400 or drained().state == "done", path.name
    assert kept_files() == []


def test_zip_is_on_the_disk_before_its_import_begins(begun, monkeypatch):
    real, synced = os.fsync, []

    def fsync(descriptor):
        assert connection.in_atomic_block
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    kept = background._kept_archive(begun(1).pk).resolve()
    assert synced == [kept, kept.parent, kept.parent.parent]


# --- URLs -------------------------------------------------------------------------------------------------------


def test_urls_are_fetched_and_the_address_is_kept(user_client, site):
    sent(user_client, urls=f"{site}/1.jpg\n\n# the sea\n {site}/2.jpg \n{site}/1.jpg\n{site}/page.html")
    row = drained()
    assert counts(row) == ("done", 2, 0, 1)
    assert told(row)[f"{site}/page.html"].startswith("This is no picture")
    asset = Asset.objects.get(filename="1.jpg")
    assert asset.source_url == f"{site}/1.jpg"
    page = user_client.get(asset.get_absolute_url()).text
    assert f'href="{site}/1.jpg"' in page
    assert 'rel="noreferrer noopener"' in page


def test_source_that_is_no_web_address_is_no_link(user_client, asset):
    stored = asset(1)
    Asset.objects.filter(pk=stored.pk).update(source_url="javascript:alert(1)")
    page = user_client.get(stored.get_absolute_url()).text
    assert 'href="javascript:' not in page
    assert "javascript:alert(1)" in page


def test_lines_that_are_no_url_are_named_by_their_numbers(user_client):
    said = sent(user_client, urls="\nhttp://example.com/a.jpg\n\nfile:///etc/passwd\nhttp://a:b@example.com/").text
    assert "Line 4: Only URLs that begin with http:// or https:// are fetched." in said
    assert "Line 5: URLs with a user name or a password" in said
    assert "Line 2" not in said
    assert "file:///etc/passwd</textarea>" not in said  # the lines stand as they were
    assert "file:///etc/passwd" in said
    assert not Import.objects.exists()


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ("\n".join(f"http://example.com/{n}" for n in range(1001)), "There are 1,001 URLs; at most 1,000 are taken"),
        ("http://example.com/" + "a" * 2000, "Line 1: A URL has at most 2,000 characters."),
        ("\n".join(["words"] * 20 + [f"words{n}" for n in range(20)]), "And 30 more."),
        ("# nothing\n", "Choose a ZIP file, or paste URLs."),
    ],
)
def test_list_that_is_none_is_told(user_client, urls, said):
    answered = sent(user_client, urls=urls)
    assert answered.status_code == 400
    assert said in answered.text


def test_list_of_more_than_a_form_holds_is_told(user_client):
    urls = "\n".join(f"http://example.com/{n:01900}" for n in range(600))
    answered = sent(user_client, urls=urls)
    assert answered.status_code == 413
    assert answered.text == "The addresses are too long together; at most 1 MB are taken. Send fewer at once."
    assert not Import.objects.exists()


def test_machines_inside_are_not_reached(user_client):
    sent(user_client, urls="http://127.0.0.1:8000/a.jpg")
    assert told(drained()) == {
        "http://127.0.0.1:8000/a.jpg": "127.0.0.1 is no server on the internet, and others are not asked."
    }


def test_one_source_at_a_time(user_client):
    answered = sent(user_client, zipped(1), urls="http://example.com/a.jpg")
    assert answered.status_code == 400
    assert "One at a time, please." in answered.text


def test_owner_has_no_more_than_some_under_way(user_client, staff_client, monkeypatch):
    monkeypatch.setattr(background, "_MOST_UNDER_WAY", 1)
    sent(user_client, zipped(1))
    answered = sent(user_client, zipped(2), collection="Sea", headers=HTMX)
    assert "too many imports under way" in answered.text
    assert (answered.status_code, answered["X-Refused"]) == (429, "throttled")
    assert not Collection.objects.exists()
    assert sent(staff_client, zipped(3)).status_code == 302
    assert len(kept_files()) == Import.objects.count() == 2


# --- a folder of the server's -----------------------------------------------------------------------------------


def test_folder_is_imported_for_staff(staff_client, import_root):
    assert '<option value="sea/deep">' in staff_client.get(BEGIN).text
    assert '<option value="out">' not in staff_client.get(BEGIN).text
    sent(staff_client, folder="sea")
    assert counts(drained()) == ("done", 2, 0, 0)
    assert sorted(Asset.objects.values_list("filename", flat=True)) == ["1.jpg", "2.jpg"]


def test_only_folders_that_can_be_named_and_lie_below_are_offered(staff_client, import_root, tmp_path):
    (tmp_path / "secret/inner").mkdir()
    for name in (b"no-text-\xff", b"line\nbreak", b".hidden/below"):
        (import_root / os.fsdecode(name)).mkdir(parents=True)
    (import_root / "loop").symlink_to(import_root / "loop")
    answered = staff_client.get(BEGIN)
    assert answered.status_code == 200
    assert answered.context["folders"] == ["sea", "sea/deep"]


@pytest.mark.parametrize("folder", ["..", "../secret", "/etc", "out", "sea/../../secret", "sea/1.jpg", "none", "sea\0"])
def test_folder_that_leads_out_is_refused(staff_client, import_root, folder):
    assert sent(staff_client, folder=folder).status_code == 400
    assert not Import.objects.exists()


def test_folder_that_becomes_a_link_is_refused(staff_client, import_root, tmp_path):
    sent(staff_client, folder="sea")
    (import_root / "sea").rename(tmp_path / "was")
    (import_root / "sea").symlink_to(tmp_path / "secret")
    row = drained()
    assert counts(row) == ("failed", 0, 0, 0)
    assert row.error == "There is no such folder to import from."


def test_file_that_becomes_a_link_is_refused(staff_client, import_root, tmp_path, monkeypatch):
    sent(staff_client, folder="sea")
    row = Import.objects.get()
    background._list_once(row, import_root / "sea")
    Import.objects.update(total=2)
    (import_root / "sea/1.jpg").unlink()
    (import_root / "sea/1.jpg").symlink_to(tmp_path / "secret/3.jpg")
    assert counts(drained()) == ("done", 1, 0, 1)
    assert list(Asset.objects.values_list("filename", flat=True)) == ["2.jpg"]


def test_member_is_offered_no_folder_and_takes_none(user_client, import_root):
    assert 'name="folder"' not in user_client.get(BEGIN).text
    assert sent(user_client, folder="sea").status_code == 400
    assert not Import.objects.exists()


def test_folders_are_offered_only_where_the_settings_say_so(staff_client):
    assert 'name="folder"' not in staff_client.get(BEGIN).text
    assert sent(staff_client, folder="sea").status_code == 400


def test_file_name_that_is_no_text_is_imported(staff_client, import_root):
    (Path(os.fsdecode(os.fsencode(import_root) + b"/sea/\xff.jpg"))).write_bytes(jpeg(4))
    (Path(os.fsdecode(os.fsencode(import_root) + b"/sea/\xfe.jpg"))).write_bytes(b"words")
    sent(staff_client, folder="sea")
    row = drained()
    assert counts(row) == ("done", 3, 0, 1)
    assert list(told(row)) == [r"\udcfe.jpg"]


# --- slices, killed workers, two workers ------------------------------------------------------------------------


def test_import_goes_on_in_slices_with_others_between_them(user_client, monkeypatch):
    monkeypatch.setattr(background, "_SLICE_S", 0)
    sent(user_client, zipped(*range(1, 6)))
    row = drained()
    assert counts(row) == ("done", 5, 0, 0)
    assert row.turn == 5


class Killed(BaseException):
    """The end of a worker, after which it tidies up nothing."""


@pytest.fixture
def killed_after(monkeypatch):
    """killed_after(n): the worker is killed when so many outcomes have been recorded."""
    record = background._Slice._record

    def arm(number):
        left = [number]

        def dying(self, position, outcome):
            if not left[0]:
                raise Killed
            left[0] -= 1
            record(self, position, outcome)

        monkeypatch.setattr(background._Slice, "_record", dying)

    yield arm
    monkeypatch.setattr(background._Slice, "_record", record)


def test_killed_worker_is_followed_by_another_and_all_is_counted_once(begun, killed_after, monkeypatch):
    row = begun(*range(1, 10))
    with monkeypatch.context():
        killed_after(4)
        with pytest.raises(Killed):
            background.work(row.pk, 0)
    monkeypatch.undo()
    tasks.sweep_imports()
    assert drained().state == "running"  # it might still live, and the lease is its own
    Import.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep_imports()
    row = drained()
    assert counts(row) == ("done", 9, 0, 0)
    assert Asset.objects.count() == 9


def test_only_what_the_killed_worker_stored_counts_as_stored_by_the_next(begun, killed_after, monkeypatch, asset):
    asset(2)  # there before
    row = begun(1, 2)
    killed_after(0)
    with pytest.raises(Killed):
        background.work(row.pk, 0)
    monkeypatch.undo()
    Import.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep_imports()
    assert counts(drained()) == ("done", 1, 1, 0)


def test_picture_that_comes_twice_is_stored_once_and_counted_so(user_client, monkeypatch):
    monkeypatch.setattr(background, "_SLICE_S", 0)
    sent(user_client, packed(("a.jpg", jpeg(1)), ("b.jpg", jpeg(1))))
    assert counts(drained()) == ("done", 1, 1, 0)


def test_two_workers_do_not_take_the_same_turn(begun):
    row = begun(*range(1, 9))
    together, answers = threading.Barrier(2), []

    def run():
        together.wait()
        answers.append(Import.objects.claim(row.pk, 0))
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, True]


def test_task_that_was_queued_twice_runs_once(begun, monkeypatch):
    monkeypatch.setattr(background, "_SLICE_S", 0)
    row = begun(1, 2, 3)
    for _ in range(5):
        tasks.queue_import(row)
    assert counts(drained()) == ("done", 3, 0, 0)


def test_worker_that_was_taken_for_dead_counts_nothing_more(begun, monkeypatch):
    row = begun(1, 2, 3, 4)
    record = background._Slice._record

    def overtaken(self, position, outcome):
        Import.objects.filter(turn=1).update(turn=2)
        record(self, position, outcome)

    monkeypatch.setattr(background._Slice, "_record", overtaken)
    background.work(row.pk, 0)
    row.refresh_from_db()
    assert (row.done, row.state, row.turn) == (0, "running", 2)


def test_worker_that_was_taken_for_dead_takes_nothing_from_the_next(begun, monkeypatch):
    row = begun(1, 2)

    def overtaken(*_):
        Import.objects.filter(turn=1).update(turn=2, sources="[]")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gallery.uploads._write_files", overtaken)
    background.work(row.pk, 0)
    row.refresh_from_db()
    assert (row.state, row.error, row.sources) == ("running", "", "[]")
    assert kept_files() == [f"{row.pk}.zip"]


def test_import_that_kills_its_worker_each_time_fails(begun, killed_after):
    row = begun(1, 2)
    killed_after(0)
    for turn in range(background._MOST_ATTEMPTS):
        with pytest.raises(Killed):
            background.work(row.pk, turn)
        Import.objects.update(leased_until=None)
    tasks.sweep_imports()
    row = drained()
    assert row.state == "failed"
    assert "nothing came of it" in row.error


def test_zip_that_is_gone_fails_and_says_so(begun):
    row = begun(1)
    background._kept_archive(row.pk).unlink()
    tasks.queue_import(row)
    assert drained().error == "The ZIP file is not there any more. Send it again."


# --- cancelling, trying again -----------------------------------------------------------------------------------


def test_cancelled_import_stops_and_keeps_what_is_stored(user_client, begun, monkeypatch):
    row = begun(*range(1, 10))
    record = background._Slice._record

    def cancelling(self, position, outcome):
        user_client.post(f"/imports/{row.pk}/cancel/")
        record(self, position, outcome)

    monkeypatch.setattr(background._Slice, "_record", cancelling)
    tasks.queue_import(row)
    row = drained()
    assert row.state == "cancelled"
    assert 1 <= row.stored == Asset.objects.count() < 9
    assert kept_files() == []
    finished = row.finished
    assert user_client.post(f"/imports/{row.pk}/cancel/").status_code == 302
    row.refresh_from_db()
    assert row.finished == finished


def test_paused_import_rests_until_it_is_resumed(user_client, begun, monkeypatch):
    row = begun(*range(1, 10))
    record = background._Slice._record

    def pausing(self, position, outcome):
        user_client.post(f"/imports/{row.pk}/pause/")
        record(self, position, outcome)

    monkeypatch.setattr(background._Slice, "_record", pausing)
    tasks.queue_import(row)
    row = drained()
    assert (row.state, row.finished, row.leased_until) == ("paused", None, None)
    assert 1 <= row.stored < 9
    monkeypatch.undo()
    tasks.sweep_imports()  # as workers do each minute, and when they start
    assert drained().state == "paused"
    background.forget_ended()
    user_client.post(f"/imports/{row.pk}/resume/")
    assert counts(drained()) == ("done", 9, 0, 0)


def test_paused_import_can_be_cancelled(user_client, begun):
    row = begun(1, 2)
    background.pause(row)
    assert user_client.post(f"/imports/{row.pk}/cancel/", {"from": "work"}).url == "/work/"
    assert drained().state == "cancelled"
    assert kept_files() == []
    assert not background.resume(row)


def test_one_refusal_alone_is_tried_again(user_client, changing_site):
    site, pages = changing_site
    sent(user_client, urls=f"{site}/2.jpg\n{site}/3.jpg")
    row = drained()
    pages["/2.jpg"], pages["/3.jpg"] = answer(jpeg(2)), answer(jpeg(3))
    second = row.refusals.last()
    user_client.post(f"/imports/{row.pk}/retry/", {"refusal": second.pk})
    assert counts(drained()) == ("done", 1, 0, 1)
    user_client.post(f"/imports/{row.pk}/retry/", {"refusal": second.pk})
    assert counts(drained()) == ("done", 1, 0, 1)
    user_client.post(f"/imports/{row.pk}/retry/")
    assert counts(drained()) == ("done", 2, 0, 0)


def test_what_was_no_fault_of_its_own_is_tried_again(user_client, changing_site):
    site, pages = changing_site
    pages["/2.jpg"] = answer(jpeg(2))
    sent(user_client, urls=f"{site}/1.jpg\n{site}/2.jpg\n{site}/3.jpg")
    row = drained()
    assert counts(row) == ("done", 1, 0, 2)
    assert "Try again what may pass" in user_client.get(row.get_absolute_url()).text
    pages["/1.jpg"] = answer(jpeg(1))
    pages["/3.jpg"] = answer(b"words")
    user_client.post(f"/imports/{row.pk}/retry/")
    row = drained()
    assert counts(row) == ("done", 2, 0, 1)
    assert told(row)[f"{site}/3.jpg"].startswith("This is no picture")
    user_client.post(f"/imports/{row.pk}/retry/")
    assert counts(drained()) == ("done", 2, 0, 1)


def failing(error):
    """What stands for the writing of files."""

    def write(*_):
        raise error

    return write


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "said"),
    [(FULL, "The disk is full"), (StorageUnavailable(), "The storage of files cannot be reached")],
    ids=["full", "unreachable"],
)
def test_import_ends_where_nothing_can_be_stored_and_goes_on_when_told_to(user_client, monkeypatch, error, said):
    sent(user_client, zipped(1, 2, 3))
    with monkeypatch.context() as patched_:
        patched_.setattr("gallery.uploads._write_files", failing(error))
        row = drained()
    assert counts(row) == ("failed", 0, 0, 0)
    assert said in user_client.get(row.get_absolute_url()).text
    user_client.post(f"/imports/{row.pk}/retry/")
    assert counts(drained()) == ("done", 3, 0, 0)
    assert kept_files() == []


def test_failed_import_can_be_discarded(user_client, monkeypatch):
    sent(user_client, zipped(1))
    monkeypatch.setattr("gallery.uploads._write_files", failing(FULL))
    row = drained()
    assert kept_files() == [f"{row.pk}.zip"]
    assert "Discard" in user_client.get(row.get_absolute_url()).text
    user_client.post(f"/imports/{row.pk}/cancel/")
    assert Import.objects.get().state == "cancelled"
    assert kept_files() == []
    page = user_client.get(row.get_absolute_url()).text
    assert "Discard" not in page
    assert "Go on" not in page


def test_fault_of_ours_is_tried_again(user_client, monkeypatch):
    sent(user_client, zipped(1))
    with monkeypatch.context() as patched_:
        patched_.setattr("gallery.uploads._write_files", failing(ZeroDivisionError()))
        row = drained()
    assert counts(row) == ("done", 0, 0, 1)
    user_client.post(f"/imports/{row.pk}/retry/")
    assert counts(drained()) == ("done", 1, 0, 0)


def test_picture_whose_collection_was_deleted_meanwhile_is_tried_again(user_client, monkeypatch):
    sent(user_client, zipped(1), collection="Sea")
    with monkeypatch.context() as patched_:
        patched_.setattr("gallery.uploads._write_files", lambda *_: Collection.objects.all().delete())
        row = drained()
    assert list(row.refusals.values_list("code", "may_pass")) == [("not_found", True)]
    user_client.post(f"/imports/{row.pk}/retry/")
    assert counts(drained()) == ("done", 1, 0, 0)


def test_second_click_on_try_again_is_no_error(user_client, changing_site):
    site, _ = changing_site
    sent(user_client, urls=f"{site}/1.jpg")
    path = f"/imports/{drained().pk}/retry/"
    user_client.post(path)
    assert "nothing to try again" not in user_client.post(path, follow=True).text
    drained()
    Import.objects.update(sources="")
    assert "nothing to try again" in user_client.post(path, follow=True).text


def test_no_more_are_tried_again_than_may_be_under_way(user_client, changing_site, begun, monkeypatch):
    site, _ = changing_site
    sent(user_client, urls=f"{site}/1.jpg")
    row = drained()
    begun(1)
    monkeypatch.setattr(background, "_MOST_UNDER_WAY", 1)
    assert "too many imports under way" in user_client.post(f"/imports/{row.pk}/retry/", follow=True).text
    row.refresh_from_db()
    assert row.state == "done"


def test_sources_are_forgotten_a_day_after_the_end(user_client, changing_site, begun):
    site, _ = changing_site
    sent(user_client, urls=f"{site}/1.jpg")
    row, waiting = drained(), begun(1)
    orphan = background._archives() / "999999.zip"
    orphan.touch()
    tasks.sweep_imports()
    assert kept_files() == sorted([f"{waiting.pk}.zip", orphan.name])  # its row may be about to come
    Import.objects.filter(pk=row.pk).update(finished=timezone.now() - timedelta(days=2))
    with pytest.MonkeyPatch.context() as patched_:
        patched_.setattr(background, "_age_s", lambda path: 90_000)
        tasks.sweep_imports()
    assert kept_files() == [f"{waiting.pk}.zip"]
    assert "Try again" not in user_client.get(row.get_absolute_url()).text
    user_client.post(f"/imports/{row.pk}/retry/")
    row.refresh_from_db()
    assert row.state == "done"


# --- pages ------------------------------------------------------------------------------------------------------


def test_page_asks_again_until_the_import_is_done(user_client, begun):
    row = begun(1, 2)
    assert 'hx-trigger="every 2s"' in main_of(user_client.get(row.get_absolute_url()))
    assert 'hx-trigger="every 2s"' in main_of(user_client.get("/imports/"))
    tasks.queue_import(row)
    drained()
    page = main_of(user_client.get(row.get_absolute_url()))
    assert 'hx-trigger="every 2s"' not in page
    assert "2 of 2" in page
    assert 'hx-trigger="every 2s"' not in main_of(user_client.get("/imports/"))
    fragment = user_client.get(row.get_absolute_url(), headers=HTMX).text
    assert "<html" not in fragment
    assert "Done" in fragment


def test_page_of_what_has_ended_shows_no_progress_that_there_is_not(user_client, user):
    row = Import.objects.create(owner=user, kind="urls", name="a")
    assert "<progress" in (page := main_of(user_client.get(row.get_absolute_url())))
    assert "Not counted yet" in page
    for ended in ({"state": "failed", "total": None}, {"state": "done", "total": 0}):
        Import.objects.update(**ended)
        assert "<progress" not in (page := main_of(user_client.get(row.get_absolute_url())))
        assert "Not counted yet" not in page


def test_page_leads_to_what_came_in(user_client, user, asset):
    asset(9)
    sent(user_client, zipped(1, 2), collection="Sea", tags="blue, wet")
    page = user_client.get(drained().get_absolute_url())
    found = user_client.get(f"{reverse('gallery:gallery')}?{page.context['assets']}")
    assert len(found.context["page"].assets) == 2


def test_pages_take_a_fixed_number_of_queries(user_client, user, django_assert_max_num_queries):
    sea = Collection.objects.create(name="Sea", owner=user)
    rows = [Import.objects.create(owner=user, kind="urls", name=f"{n}", collection=sea) for n in range(20)]
    rows[0].refusals.bulk_create(
        rows[0].refusals.model(run=rows[0], position=n, source=f"s{n}", code="corrupt", detail="d") for n in range(150)
    )
    with django_assert_max_num_queries(6):
        user_client.get("/imports/")
    with django_assert_max_num_queries(8):
        page = user_client.get(rows[0].get_absolute_url())
    assert page.text.count("<li>") >= 100
    assert "s149" in user_client.get(f"{rows[0].get_absolute_url()}?page=2").text
    with django_assert_max_num_queries(8):
        user_client.get(BEGIN)


def test_rate_and_end_are_told_once_they_are_known(user):
    row = Import(owner=user, total=100, state="running")
    assert row.per_second is row.ends is None
    row.marks, row.stored = [[time.time() - 10, 10]], 30
    assert row.per_second == pytest.approx(2, rel=0.1)
    assert row.ends - timezone.now() == pytest.approx(timedelta(seconds=35), abs=timedelta(seconds=2))
    row.state = "paused"
    assert row.per_second is row.ends is None


def test_pace_is_of_the_last_minutes(begun, monkeypatch):
    row = begun(1, 2)
    long_ago, lately = [time.time() - 1000, 0], [time.time() - 100, 0]
    Import.objects.filter(pk=row.pk).update(marks=[long_ago, lately])
    Import.objects.claim(row.pk, 0)
    row.refresh_from_db()
    assert [mark[0] for mark in row.marks] == pytest.approx([lately[0], time.time()], abs=5)


def test_empty_list_says_what_imports_are(user_client):
    assert "No imports yet" in user_client.get("/imports/").text


def test_admin_lists_imports_and_changes_none(staff_client, begun):
    row = begun(1)
    assert row.get_absolute_url() in staff_client.get(reverse("admin:gallery_import_changelist")).text
    assert staff_client.get("/admin/gallery/import/add/").status_code == 403
    assert staff_client.post(f"/admin/gallery/import/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_refusals_are_told_by_reason(user_client, user):
    row = Import.objects.create(owner=user, kind="urls", name="n", state="done", total=3, refused=3)
    for position, code in enumerate(["corrupt", "corrupt", "too_large"]):
        row.refusals.create(position=position, source=f"s{position}", code=code, detail="d")
    page = user_client.get(row.get_absolute_url())
    assert [tuple(reason.values()) for reason in page.context["reasons"]] == [("corrupt", 2), ("too_large", 1)]
    assert "Damaged" in page.text
    page = user_client.get(row.get_absolute_url(), {"reason": "too_large"}).text
    assert "s2" in page
    assert "s1" not in page


def test_reason_that_was_chosen_stays_while_the_import_goes_on(user_client, user):
    row = Import.objects.create(owner=user, kind="urls", name="n", state="running", total=3, refused=1)
    row.refusals.create(position=0, source="s0", code="corrupt", detail="d")
    page = user_client.get(row.get_absolute_url(), {"reason": "corrupt"}).text
    assert f'hx-get="{row.get_absolute_url()}?reason=corrupt&amp;page=1"' in page
