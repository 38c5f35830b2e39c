"""Backups of the whole product, made while it is in use, and what is refused instead of being restored."""

import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import FileField

from assetsearch.backups import making, tools
from assetsearch.backups.manifest import PROJECT_VERSION, BackupError, Manifest, held
from assetsearch.backups.restoring import restore
from gallery.models import Asset
from gallery.uploads import store_upload
from search.query_models import QueryPicture
from tests.conftest import drawn, encoded
from tests.product import ROOT, Product, wait_for

SEEDS = range(6)
#: Where the other file system of most machines with Linux is.
MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it)
#: Enough for an index of the least size.
INDEXED = 60


_MAKE = """
from django.contrib.auth.models import User
from gallery.models import Collection
Collection.objects.create(name="Some", owner=User.objects.create_user("ann", password="correct horse"))
"""
#: Postgres would rather read so few rows than use an index.
_BUILD = """
from search import index
from search.models import Encoder
index.is_used = lambda *_: True
index.build(Encoder.objects.active(), kind="ivfflat")
"""


def files_below(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def contents(product):
    """Of every file, renditions among them: its SHA-256."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files_below(product.data_dir / "media").items()
    }


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())["backup"]


def answers(client):
    """All that the API tells of the gallery, and every original byte for byte, but for the port."""
    assets = [client.get(f"/assets/{asset['id']}/") for asset in client.get("/assets/", page_size=200)["results"]]
    told = {
        "assets": assets,
        "of the collection": [asset["id"] for asset in client.get("/assets/", collection=1)["results"]],
        "status": client.get("/status/")["assets"],
        "similar": [
            [(hit["rank"], hit["asset"]["id"], hit["similarity"]) for hit in answer["results"]]
            for answer in (client.get(f"/assets/{asset['id']}/similar/") for asset in assets)
        ],
        "found": [
            [(hit["asset"]["id"], hit["similarity"]) for hit in client.search(encoded(drawn(seed)))["results"]]
            for seed in SEEDS
        ],
    }
    told = json.loads(json.dumps(told).replace(client.url.removesuffix("/api/v1"), ""))
    told["bytes"] = [client.bytes_of(f"{client.url}/assets/{asset['id']}/download/") for asset in assets]
    return told


_ROWS = (
    "SELECT username, password, is_superuser FROM auth_user",
    "SELECT id, name, owner_id FROM gallery_collection",
    "SELECT key, user_id FROM authtoken_token",
    "SELECT asset_id, name FROM gallery_asset_tags JOIN gallery_tag t ON t.id = tag_id",
    "SELECT asset_id, encoder_id, md5(vector::text) FROM search_embedding",
    "SELECT id, state, parameters FROM search_indexbuild",
    "SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'search%'",
)


def rows_of(product):
    """What no API tells: users with their passwords, tokens, collections, tags, vectors, and indexes."""
    each = (f"SELECT {number}, one::text FROM ({sql}) AS one" for number, sql in enumerate(_ROWS))
    return product.psql(f"{' UNION ALL '.join(each)} ORDER BY 1, 2")


@pytest.fixture(scope="module")
def product(tmp_path_factory, prepared):
    """With assets, tags, a collection, a further user, and a vector index."""
    made = Product(tmp_path_factory.mktemp("backup") / "data", prepared=prepared)
    try:
        made.start()
        fill(made)
        yield made
    finally:
        made.stop()


def fill(product):
    client = product.sign_in()
    product.command("shell", "-v", "0", "-c", _MAKE)
    for seed in SEEDS:
        answer = client.session.post(
            f"{client.url}/assets/",
            files={"file": (f"{seed}.jpg", encoded(drawn(seed)))},
            data={"title": f"Picture {seed}", "tags": f"all,number {seed}", "collection": 1},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
    for seed in range(100, 100 + INDEXED):
        client.upload(f"{seed}.jpg", encoded(drawn(seed)))
    wait_for(client.is_settled, what="embedding")
    product.command("shell", "-v", "0", "-c", _BUILD)


@pytest.fixture(scope="module")
def backups(tmp_path_factory):
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def backup(product, backups):
    """Of the product as it runs."""
    done = product.command("backup", str(backups / "first"))
    assert f"{len(SEEDS) + INDEXED} assets" in done.stdout
    return backups / "first"


@pytest.fixture
def empty(tmp_path):
    return Product(tmp_path / "data")


@pytest.fixture
def ready(tmp_path, prepared):
    """Without an asset, but with its tables."""
    return Product(tmp_path / "data", prepared=prepared)


@pytest.fixture
def copied(backup, tmp_path):
    """A backup that may be damaged."""
    return Path(shutil.copytree(backup, tmp_path / "copied"))


@pytest.mark.product
def test_restored_product_gives_every_answer_that_the_first_gave(product, backup, empty):
    restored = empty.command("restore", str(backup))
    assert f"{len(SEEDS) + INDEXED} assets" in restored.stdout
    assert re.search(r"The index .* was built anew, and has a recall of [01]\.\d+", restored.stdout)
    empty.start()
    try:
        rows = rows_of(product)
        assert "USING ivfflat" in rows
        assert rows_of(empty) == rows
        client = product.sign_in()
        token = client.session.headers["Authorization"]
        again = empty.sign_in()
        assert again.session.headers["Authorization"] == token
        assert answers(again) == answers(client)
        assert contents(empty) == contents(product)
        assert (empty.data_dir / "secret_key").read_text() == (product.data_dir / "secret_key").read_text()
        # goes on as any: what is uploaded now gets an id and a vector of its own
        added = again.upload("new.jpg", encoded(drawn(9999)))
        wait_for(again.is_settled, what="embedding")
        assert again.search(encoded(drawn(9999)))["results"][0]["asset"]["id"] == added["id"]
    finally:
        empty.stop()


_AS_ANN = """
from django.contrib.auth.models import User
from django.test import Client
from search import query_pictures
from search.models import QueryPicture, SavedSearch
ann = Client(SERVER_NAME="localhost")
ann.force_login(User.objects.get(username="ann"))
"""
_SAVE = (
    _AS_ANN
    + """
address = ann.post("/", {{"image": open({path!r}, "rb")}}).url
ann.post("/searches/save/", {{"name": "Like this", "query": address.partition("?")[2]}})
"""
)
#: The list of saved searches, what the search finds, and the picture itself.
_OPEN = (
    _AS_ANN
    + """
import hashlib, re
saved = SavedSearch.objects.get()
page = ann.get(saved.get_absolute_url()).text
found = re.findall(r'href="/assets/(\\d+)/"', page)
shown = b"".join(ann.get(f"/pictures/{saved.pictures.get().pk}.jpg").streaming_content)
print(saved.name in ann.get("/searches/").text, hashlib.sha256(shown).hexdigest(), found)
"""
)
_FORGET = (
    _AS_ANN
    + """
SavedSearch.objects.all().delete()
query_pictures.forget(QueryPicture.objects.all())
"""
)


@pytest.mark.product
def test_saved_search_with_a_picture_from_outside_finds_again_what_it_found(product, backups, empty, tmp_path):
    path = tmp_path / "outside.jpg"
    path.write_bytes(encoded(drawn(0, (320, 240))))
    product.command("shell", "-v", "0", "-c", _SAVE.format(path=str(path)))
    try:
        before = product.command("shell", "-v", "0", "-c", _OPEN).stdout
        product.command("backup", str(backups / "with a saved search"))
    finally:
        product.command("shell", "-v", "0", "-c", _FORGET)
    listed, _, first, *_ = before.split()
    assert (listed, first) == ("True", "['1',"), before
    empty.command("restore", str(backups / "with a saved search"))
    assert empty.command("shell", "-v", "0", "-c", _OPEN).stdout == before


_KEPT = "SELECT id FROM gallery_asset WHERE trashed IS NULL"


@pytest.mark.product
def test_backup_while_assets_come_and_go_has_all_that_its_rows_name(product, backups, empty):
    client, over, came, went = product.sign_in(), threading.Event(), [], []

    def come_and_go():
        for seed in range(1000, 3000):
            if over.is_set():
                return
            came.append(client.upload(f"{seed}.jpg", encoded(drawn(seed)))["id"])
            if seed % 4 == 0:
                wait_for(client.is_settled, what="embedding")
                client.session.delete(f"{client.url}/assets/{came[-1]}/", timeout=60).raise_for_status()
                went.append(came[-1])

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(come_and_go)
        try:
            wait_for(lambda: len(went) > 1 or coming.done(), what="the first deletions")
            before, deleted = set(came), set(went)
            for number in range(2):
                done = product.command("backup", str(backups / f"busy {number}"), check=False)
                assert done.returncode == 0, done.stdout + done.stderr
        finally:
            over.set()
        coming.result()
    told = manifest(backups / "busy 1")
    listed = [json.loads(line)[0] for line in (backups / "busy 1" / "files.jsonl").read_text().splitlines()]
    assert len(listed) == 3 * told["counts"]["assets"]
    assert set(files_below(backups / "busy 1" / "media")) == set(listed)
    assert told["faults"] == []
    empty.command("restore", str(backups / "busy 1"))
    ids = {row for (row,) in eval(empty.psql(_KEPT))}  # noqa: S307 (numbers, by ourselves)
    assert before - set(went) <= ids
    assert not ids & deleted
    assert "all is well" in empty.command("check_integrity").stdout
    wait_for(client.is_settled, what="embedding")
    for asset in set(came) - set(went):
        client.session.delete(f"{client.url}/assets/{asset}/", timeout=60).raise_for_status()
    product.command("shell", "-v", "0", "-c", _EMPTY_THE_TRASH)


_EMPTY_THE_TRASH = """
from gallery import trash
from gallery.models import Asset
trash.doom(Asset.objects.exclude(trashed=None))
trash.sweep()
"""


@pytest.mark.product
def test_files_are_hard_links_of_the_gallery_and_for_their_owner_alone(product, backup):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    media = files_below(product.data_dir / "media")
    kept = files_below(backup / "media")
    assert kept
    assert all(path.samefile(media[name]) for name, path in kept.items())
    told = manifest(backup)
    assert told["project"] == PROJECT_VERSION
    assert "0001_initial" in told["migrations"]["gallery"]
    assert set(told["parts"]) == {"database.dump", "files.jsonl", "secret_key"}


@pytest.mark.product
def test_second_backup_is_hard_links_of_the_first(product, tmp_path):
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    parent = MEMORY / f"assetsearch-test-{os.getpid()}"
    parent.mkdir()
    try:
        first = product.command("backup", str(parent / "first"))
        assert " copied" in first.stdout
        second = product.command("backup", str(parent / "second"))
        assert " unchanged" in second.stdout
        assert " copied" not in second.stdout
        one, other = files_below(parent / "first" / "media"), files_below(parent / "second" / "media")
        media = files_below(product.data_dir / "media")
        assert one.keys() == other.keys()
        assert all(path.samefile(other[name]) for name, path in one.items())
        assert all(path.read_bytes() == media[name].read_bytes() for name, path in one.items())

        restored = Product(tmp_path / "data")
        assert " copied" in restored.command("restore", str(parent / "second")).stdout
        assert "all is well" in restored.command("check_integrity").stdout
    finally:
        shutil.rmtree(parent)


@pytest.mark.product
def test_restore_refuses_a_gallery_in_use_and_one_that_is_not_empty(product, backup, empty):
    refused = product.command("restore", str(backup), "--replace", check=False)
    assert refused.returncode == 1
    assert "AssetSearch is running over" in refused.stderr

    empty.command("restore", str(backup))
    refused = empty.command("restore", str(backup), check=False)
    assert refused.returncode == 1
    assert "This gallery is not empty" in refused.stderr

    script = "from django.db import connection as c; k = c.cursor(); print('here', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", script],
        cwd=ROOT, env=empty.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout.readline() == "here\n"
    refused = empty.command("restore", str(backup), "--replace", check=False)
    other.communicate("\n", timeout=60)
    assert "The database is in use, by 1 other connection" in refused.stderr


@pytest.mark.product
def test_replace_takes_away_what_was_there(product, backup, ready, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "other.jpg").write_bytes(encoded(drawn(77777)))
    ready.command("import_folder", str(tmp_path / "pictures"))
    assert len(files_below(ready.data_dir / "media")) == 3
    replaced = ready.command("restore", str(backup), "--replace")
    assert "3 file(s) of the gallery that was here before are deleted" in replaced.stdout
    assert set(files_below(ready.data_dir / "media")) == set(files_below(backup / "media"))
    assert ready.psql("SELECT count(*) FROM gallery_asset WHERE filename = 'other.jpg'") == "[(0,)]"


@pytest.mark.product
def test_restore_that_fails_midway_leaves_all_as_it_was(product, copied, ready):
    """The hash is that of the dump, yet Postgres cannot take it."""
    broken = copied / "database.dump"
    broken.write_bytes(broken.read_bytes()[:-2000])
    reseal(copied, "database.dump")
    before = rows_of(ready)
    refused = ready.command("restore", str(copied), check=False)
    assert refused.returncode == 1
    assert "The database took nothing of the backup" in refused.stderr
    assert rows_of(ready) == before
    assert files_below(ready.data_dir / "media") == {}


@pytest.mark.product
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_restore_interrupted_while_rows_come_ends_it_everywhere(backup, ready, tmp_path, sign):
    before = rows_of(ready)
    hold = "from django.db import connection as c; c.ensure_connection(); c.close(); print('here', flush=True); input()"
    holding = subprocess.Popen(  # or the server would be stopped with the restore, and all its work
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", hold],
        cwd=ROOT, env=ready.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holding.stdout.readline() == "here\n"
    arguments = with_program(backup, tmp_path, "pg_restore", '$PROGRAM "$@"; echo "SELECT pg_sleep(600);"')
    restoring_it = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=ready.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600);'"
    wait_for(lambda: ready.psql(asleep) == "[(1,)]", what="the last statement of the restore")
    restoring_it.send_signal(sign)
    said = restoring_it.communicate(timeout=60)[1]
    at_work = ready.psql(asleep)
    holding.communicate("\n", timeout=60)
    assert restoring_it.returncode == 130, said
    assert "Interrupted" in said
    assert at_work == "[(0,)]"
    assert psqls_of(ready) == []
    assert files_below(ready.data_dir / "media") == {}
    assert rows_of(ready) == before


@pytest.mark.product
def test_rows_whose_commit_was_not_answered_have_come(product, backup, empty, tmp_path):
    """The connection is lost while COMMIT is answered: psql fails, and the database has done it."""
    arguments = with_program(backup, tmp_path, "psql", '$PROGRAM "$@"; echo "connection lost" >&2; exit 2')
    done = empty.command(*arguments, check=False)
    assert done.returncode == 0, done.stderr
    assert "connection lost" in done.stderr
    assert rows_of(empty) == rows_of(product)
    assert contents(empty) == contents(product)
    assert "all is well" in empty.command("check_integrity").stdout


@pytest.mark.product
def test_restore_that_loses_the_database_keeps_the_files_and_says_so(backup, empty, tmp_path):
    kill = f"kill -KILL $(head -1 {empty.data_dir}/postgres/postmaster.pid)"
    arguments = with_program(backup, tmp_path, "psql", f'$PROGRAM "$@"; {kill}; exit 2')
    done = empty.command(*arguments, check=False)
    assert done.returncode == 1
    assert "It cannot be said whether the rows of the backup came" in done.stderr
    assert files_below(empty.data_dir / "media").keys() == files_below(backup / "media").keys()
    assert " there already" in empty.command("restore", str(backup), "--replace").stdout


def with_program(backup, folder, name, line):
    """Arguments of a restore in which one of Postgres' programs is a line of shell; $PROGRAM is the program itself."""
    script = folder / name
    script.write_text(f"#!/bin/sh\n{line}\n")
    script.chmod(0o700)
    return ["shell", "-v", "0", "-c", _WITH_PROGRAM.format(name=name, script=str(script), backup=str(backup))]


_WITH_PROGRAM = """
import os
from assetsearch.backups import tools
from django.core.management import call_command
find = tools.find
def replaced(*names):
    found = dict(zip(names, find(*names)))
    os.environ["PROGRAM"] = found[{name!r}]
    return [*(found | {{{name!r}: {script!r}}}).values()]
tools.find = replaced
call_command("restore", {backup!r})
"""


def psqls_of(product):
    return [process for process in product.processes() if process.name() == "psql"]


def reseal(folder, *parts, **changes):
    """Make the manifest say what is there now, as only its maker could."""
    told = Manifest.read(folder)
    for name in parts:
        told.parts[name] = held(folder / name)
    for name, value in changes.items():
        object.__setattr__(told, name, value)
    told.write(folder)


@pytest.mark.product
def test_damaged_picture_is_named_and_left_out_only_when_asked(product, copied, empty):
    names = sorted(name for name in files_below(copied / "media") if name.startswith("originals"))
    altered, lost = names[:2]
    (copied / "media" / altered).write_bytes(b"other bytes")
    (copied / "media" / lost).unlink()
    refused = empty.command("restore", str(copied), check=False)
    assert refused.returncode == 1
    assert f"media/{altered} was altered" in refused.stderr
    assert f"media/{lost} is missing" in refused.stderr
    assert not (empty.data_dir / "media").exists()

    restored = empty.command("restore", str(copied), "--leave-out-damaged", check=False)
    assert restored.returncode == 3
    assert f"left out  {altered} was altered" in restored.stdout
    assert len(files_below(empty.data_dir / "media")) == 3 * (len(SEEDS) + INDEXED) - 2
    checked = empty.command("check_integrity", check=False).stdout
    assert checked.count("original missing") == 3  # two, and the tally


def remove_manifest(folder):
    (folder / "manifest.json").unlink()


def cut_manifest(folder):
    os.truncate(folder / "manifest.json", 100)


def edit_manifest(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"0.1.0"', '"0.2.0"'))


def replace_manifest(folder):
    (folder / "manifest.json").write_text('{"name": "a web app", "icons": []}')


def alter_dump(folder):
    path = folder / "database.dump"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def remove_list(folder):
    (folder / "files.jsonl").unlink()


def lead_elsewhere(folder):
    with (folder / "files.jsonl").open("a") as listed:
        listed.write('["../../elsewhere", 1, "00"]\n')
    reseal(folder, "files.jsonl")


def make_newer(folder):
    reseal(folder, project="7.0", migrations={"gallery": ["0001_initial", "9999_from_the_future"]})


def make_of_newer_postgres(folder):
    reseal(folder, postgres="99.1")


def rename_as_unfinished(folder):
    remove_manifest(folder)
    (folder / "lock").touch()


@pytest.mark.product
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_manifest, "no backup, or only a part of one"),
        (cut_manifest, "manifest.json is damaged"),
        (edit_manifest, "manifest.json is damaged"),
        (replace_manifest, "is no backup of AssetSearch"),
        (alter_dump, "database.dump was altered"),
        (remove_list, "files.jsonl is missing"),
        (lead_elsewhere, "names a file outside the gallery"),
        (make_newer, "made by a newer AssetSearch, 7.0"),
        (make_of_newer_postgres, "was made with Postgres 99.1"),
        (rename_as_unfinished, "was interrupted before it was whole"),
        (shutil.rmtree, "is not a folder"),
    ],
)
def test_what_is_no_whole_backup_of_ours_is_refused(db, gallery_of_its_own, copied, damage, words):
    damage(copied)
    with pytest.raises(BackupError, match=words):
        restore(copied, replace=False, leave_out_damaged=True)
    assert files_below(gallery_of_its_own) == {}


@pytest.mark.product
def test_backup_of_an_older_version_gets_the_tables_of_this_one(ready, tmp_path):
    applied = "SELECT app, name FROM django_migrations ORDER BY 1, 2"
    before = ready.psql(applied)
    ready.command("migrate", "gallery", "0001")
    ready.command("backup", str(tmp_path / "older"))
    assert ready.psql(applied) != before
    ready.command("migrate")
    ready.command("restore", str(tmp_path / "older"))
    assert ready.psql(applied) == before
    assert ready.psql("SELECT username FROM auth_user") == "[('admin',)]"


@pytest.mark.product
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_backup_leaves_nothing_that_restore_would_take(product, empty, tmp_path, sign):
    parent = tmp_path / "backups"
    parent.mkdir()
    # its last original is a pipe that nobody writes to, so that it stands still there
    last = product.psql("SELECT original FROM gallery_asset ORDER BY id DESC LIMIT 1").split("'")[1]
    path = product.data_dir / "media" / last
    aside = path.rename(path.with_name("aside"))
    os.mkfifo(path)
    try:
        making_it = subprocess.Popen(
            [sys.executable, "manage.py", "backup", str(parent / "killed")],
            cwd=ROOT, env=product.environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(lambda: any(name.endswith(last) for name in files_below_all(parent)), what="the last file's turn")
        making_it.send_signal(sign)
        said = making_it.communicate(timeout=60)[1]
    finally:
        aside.replace(path)
    assert not (parent / "killed").exists()
    leftovers = list(parent.iterdir())
    if sign == signal.SIGKILL:
        [unfinished] = leftovers
        refused = empty.command("restore", str(unfinished), check=False)
        assert "was interrupted before it was whole" in refused.stderr
    else:
        assert making_it.returncode == 130
        assert "No backup was made" in said
        assert leftovers == []
    product.command("backup", str(parent / "next"))
    assert [path.name for path in parent.iterdir()] == ["next"]


def files_below_all(folder):
    return [path.as_posix() for path in folder.rglob("*")]


@pytest.mark.product
def test_lost_and_altered_originals_are_told_and_all_else_is_kept(product, backup, backups):
    names = sorted(name for name in files_below(backup / "media") if name.startswith("originals"))
    lost, altered = (product.data_dir / "media" / name for name in names[:2])
    before = {path: path.read_bytes() for path in (lost, altered)}
    lost.unlink()
    altered.unlink()
    altered.write_bytes(b"other bytes")
    try:
        done = product.command("backup", str(backups / "of losses"), check=False)
    finally:
        for path, content in before.items():
            path.unlink(missing_ok=True)
            path.write_bytes(content)
    assert done.returncode == 3
    assert f"{names[0]} of asset" in done.stdout
    assert "is missing from the gallery" in done.stdout
    assert "is not what was uploaded" in done.stdout
    assert len(manifest(backups / "of losses")["faults"]) == 2


@pytest.mark.product
def test_places_where_no_backup_can_be_are_refused(product, backup, tmp_path):
    (tmp_path / "file").touch()
    for target, words in (
        (backup, "exists"),
        (tmp_path, "exists"),
        (tmp_path / "no" / "such", "There is no folder"),
        (product.data_dir / "backup", "would be lost with what it is to save"),
        (product.data_dir / "media" / "backup", "would be lost with what it is to save"),
    ):
        refused = product.command("backup", str(target), check=False)
        assert refused.returncode == 1
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr


def test_folder_without_a_gallery_is_told(tmp_path):
    refused = Product(tmp_path / "data").command("backup", str(tmp_path / "backup"), check=False)
    assert "There is no gallery yet" in refused.stderr
    assert not (tmp_path / "backup").exists()


@pytest.fixture
def gallery_of_its_own(settings, tmp_path):
    """Its media folder."""
    settings.DATA_DIR = tmp_path / "data"
    settings.MEDIA_ROOT = tmp_path / "data" / "media"
    settings.MEDIA_ROOT.mkdir(parents=True)
    return settings.MEDIA_ROOT


@pytest.fixture
def stored(transactional_db, gallery_of_its_own, django_user_model, picture):
    """An asset in a gallery of this test's own."""
    return store_upload(picture(1), django_user_model.objects.create_user("ann")).asset


def test_asset_deleted_between_snapshot_and_its_file_is_no_fault(stored, picture, tmp_path, monkeypatch):
    kept = store_upload(picture(2), stored.owner).asset
    fetch = making.fetch

    def deleting(name, target):
        if name == stored.original.name:
            stored.delete()
        return fetch(name, target)

    monkeypatch.setattr(making, "fetch", deleting)
    made = making.make(tmp_path / "backup")
    assert made.manifest.faults == []
    assert made.manifest.counts["assets"] == 1
    assert set(files_below(tmp_path / "backup" / "media")) == {
        kept.original.name, kept.preview.name, kept.thumbnail.name
    }  # fmt: skip


def test_asset_deleted_after_the_snapshot_makes_it_take_another(stored, picture, tmp_path, monkeypatch):
    late = []
    complete, take, rounds = making._complete, making.Gathered.take, []

    def complete_with_one_more(gathered, program):
        if not late:
            late.append(store_upload(picture(2), stored.owner).asset)
        rounds.append(1)
        return complete(gathered, program)

    def take_after_deletion(self, names):
        if late and late[0].pk:
            delete_elsewhere(late[0])
        take(self, names)

    monkeypatch.setattr(making, "_complete", complete_with_one_more)
    monkeypatch.setattr(making.Gathered, "take", take_after_deletion)
    made = making.make(tmp_path / "backup")
    assert len(rounds) == 2
    assert made.manifest.faults == []
    assert made.manifest.counts["assets"] == 1
    assert stored.original.name in files_below(tmp_path / "backup" / "media")


def delete_elsewhere(asset):
    """By another connection than that of the snapshot, as another process would."""
    deleting = threading.Thread(target=lambda: (asset.delete(), connection.close()))
    deleting.start()
    deleting.join()


def test_full_disk_leaves_nothing(stored, tmp_path, monkeypatch):
    def full(name, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(making, "fetch", full)
    (tmp_path / "backups").mkdir()
    with pytest.raises(OSError, match="No space left"):
        making.make(tmp_path / "backups" / "one")
    assert list((tmp_path / "backups").iterdir()) == []


def test_programs_that_are_missing_are_named(db, monkeypatch):
    monkeypatch.setattr(tools, "server_version", lambda: 99)
    with pytest.raises(BackupError, match=r"pg_dump of Postgres 99 are needed.*postgresql-client-99"):
        tools.find("pg_dump")


def test_programs_of_the_server_are_found(db):
    (found,) = tools.find("pg_dump")
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"\d+", told)[0] == str(tools.server_version())


def test_version_told_is_that_of_the_project():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == PROJECT_VERSION


def test_backups_know_every_field_that_names_a_file():
    fields = [field for model in apps.get_models() for field in model._meta.get_fields()]
    of_files = {(field.model, field.name) for field in fields if isinstance(field, FileField)}
    assert of_files == {(Asset, "original"), (Asset, "preview"), (Asset, "thumbnail"), (QueryPicture, "preview")}
