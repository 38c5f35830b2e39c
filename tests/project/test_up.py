"""The product, started as its users start it."""

import fcntl
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
import requests

from assetsearch import postgres as embedded
from assetsearch.supervisor import Service, _begin
from tests.conftest import drawn, encoded
from tests.faults.processes import alive
from tests.hub import save_tiny_dinov2, serve
from tests.product import ROOT, Product, wait_for

pytestmark = pytest.mark.product


@pytest.fixture(scope="module")
def product(tmp_path_factory, prepared):
    made = Product(tmp_path_factory.mktemp("up") / "data", prepared=prepared)
    yield made
    if made.process and not made.has_ended():
        made.stop()


@pytest.fixture
def running(product):
    if product.process is None or product.has_ended():
        product.start()
    return product


@pytest.fixture
def filled(running):
    """Three assets, ready."""
    client = running.sign_in()
    for seed in range(3):
        client.upload(f"{seed}.jpg", encoded(drawn(seed)))
    wait_for(client.is_settled, what="embedding")
    return client


def hit_names(client):
    return [hit["asset"]["filename"] for hit in client.search(encoded(drawn(1)))["results"]]


def first_answer_after(postmaster, running, client):
    """What is found as soon as something is, once another process took the place of this one.

    Before that a process which outlived its server may answer, and the next question finds no database."""

    def hits():
        if not set(alive(running, "postmaster")) - {postmaster}:
            return []
        try:
            return hit_names(client)
        except requests.RequestException:
            return []

    return wait_for(hits, what="an answer")


@pytest.mark.alone
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_stop_ends_everything_soon_and_the_next_start_has_everything(running, filled, sign):
    before = hit_names(filled)
    assert running.stop(sign) < 15
    assert running.processes() == []
    assert running.process.returncode == 0
    assert running.start() < 10
    assert hit_names(running.sign_in()) == before
    assert before[0] == "1.jpg"


def test_killed_whole_the_next_start_has_everything(running, filled):
    before = hit_names(filled)
    for process in running.processes():
        process.kill()  # and no waiting for their ends: the next start has to
    running.process.wait()
    running.start()
    assert hit_names(running.sign_in()) == before


@pytest.mark.parametrize("also", [[], ["web server", "interactive worker", "bulk worker"]], ids=["alone", "with heads"])
def test_supervisor_killed_leaves_no_process_behind(running, filled, also):
    heads = [wait_for(lambda kind=kind: alive(running, kind), what=f"the {kind}")[0] for kind in also]
    for process in (running.process, *heads):
        process.kill()
    running.process.wait()
    leftovers = set(running.processes())
    running.start()
    assert [process for process in running.processes() if process in leftovers and process.name() != "postgres"] == []
    assert len(hit_names(running.sign_in())) == 3


def test_database_that_dies_is_started_again(running, filled):
    [postmaster] = alive(running, "postmaster")
    postmaster.kill()
    postmaster.wait(10)
    assert first_answer_after(postmaster, running, filled)[0] == "1.jpg"


def test_database_that_dies_over_a_long_query_is_started_again(running, filled):
    """A process that is busy outlives its server, and Postgres starts no other beside it."""
    long = "SELECT count(*) FROM generate_series(1, 1e11)"
    script = f"from django.db import connection as c; c.cursor().execute({long!r})"
    asking = subprocess.Popen([sys.executable, "manage.py", "shell", "-c", script], cwd=ROOT, env=running.environment)
    asked = f"SELECT count(*) FROM pg_stat_activity WHERE query = '{long}' AND state = 'active'"
    wait_for(lambda: running.psql(asked) == "[(1,)]", what="the query")
    [postmaster] = alive(running, "postmaster")
    postmaster.kill()
    asking.kill()
    asking.wait()
    assert first_answer_after(postmaster, running, filled)[0] == "1.jpg"


def test_file_of_a_killed_database_may_name_another_process(running, filled):
    """Numbers are given again: in a container that is started again, the same ones."""
    [postmaster] = alive(running, "postmaster")
    file = running.data_dir / "postgres/postmaster.pid"
    left, user = file.read_text(), postmaster.username()
    running.stop()
    with subprocess.Popen(["sleep", "300"], user=user) as other:
        file.write_text(left.replace(str(postmaster.pid), str(other.pid), 1))
        try:
            running.start()
            assert other.poll() is None
        finally:
            other.kill()
    assert hit_names(running.sign_in())[0] == "1.jpg"


def test_file_of_a_database_is_kept_where_its_process_may_not_be_looked_into(tmp_path):
    """As that of another user's: only its name is told then."""
    data_dir, program = tmp_path / "data", tmp_path / "postgres"
    file = data_dir / "postgres/postmaster.pid"
    file.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "import time; time.sleep(300)"], cwd="/") as other:
        try:
            wait_for(lambda: psutil.Process(other.pid).name() == "postgres", what="its name")
            file.write_text(f"{other.pid}\n")
            embedded._remove_remains(data_dir)
            assert file.exists()
        finally:
            other.kill()
    embedded._remove_remains(data_dir)
    assert not file.exists()


def test_reviving_the_database_keeps_nobody_waiting(tmp_path, monkeypatch):
    """Recovery may take minutes, and who revives it sees to all the other processes."""
    waited = []

    def pg_ctl(data_dir, action, *_, timeout):
        waited.append(timeout)
        raise subprocess.CalledProcessError(1, "pg_ctl")

    monkeypatch.setattr(embedded, "_server", lambda _: Mock(pgdata=tmp_path / "postgres"))
    monkeypatch.setattr(embedded, "_pg_ctl", pg_ctl)
    monkeypatch.setattr(embedded, "_REVIVE_SECONDS", 1)
    embedded.revive(tmp_path)
    assert set(waited) == {1}


def test_stop_while_it_is_made_ready_leaves_no_process_behind(tmp_path, model_hub):
    model_hub.hangs = True
    product = Product(tmp_path / "data", ENCODER="dinov2-base", HF_ENDPOINT=model_hub.url, HF_HOME=str(tmp_path))
    try:
        product.launch()
        wait_for(lambda: "Loading the encoder" in product.said(), what="the encoder's turn")
        assert product.stop() < 15
        assert product.processes() == []
    finally:
        model_hub.hangs = False
        model_hub.released.set()


def test_service_that_was_killed_has_let_go_of_its_locks(tmp_path):
    """With all that it started: the database stops with the last who holds it."""
    with (tmp_path / "lock").open("w") as lock, (tmp_path / "lock").open() as other:
        fcntl.flock(lock, fcntl.LOCK_SH)
        script = f"for i in $(seq 200); do sleep 600 & done; touch {tmp_path}/all; wait"
        service = Service("sleepers", ["sh", "-c", script])
        service.start(keep_open=[lock.fileno()])
        wait_for((tmp_path / "all").exists, what="what it starts")
        lock.close()
        service.kill()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_service_whose_supervisor_ended_just_before_ends_too():
    handler = signal.signal(signal.SIGTERM, lambda *_: None)  # as the supervisor has one
    try:
        begun = subprocess.Popen(["sleep", "60"], preexec_fn=partial(_begin, os.getppid(), 0))  # noqa: PLW1509 (one thread)
    finally:
        signal.signal(signal.SIGTERM, handler)
    try:
        assert begun.wait(20) == -signal.SIGTERM
    finally:
        begun.kill()


def test_server_for_a_network_says_that_it_is_ready(tmp_path, prepared):
    product = Product(tmp_path / "data", prepared=prepared, HOST="0.0.0.0", ALLOWED_HOSTS="assets.example.org")
    product.start()
    named = requests.get(f"{product.url}/login/", headers={"Host": "assets.example.org"}, timeout=30)
    product.stop()
    assert named.status_code == 200


def test_workers_let_the_web_server_go_first(running):
    def nice(process):
        """As the process has it, and as its session has it among others, where processors are shared so."""
        try:
            return process.nice(), int(Path(f"/proc/{process.pid}/autogroup").read_text().split()[-1])
        except (OSError, IndexError):
            return process.nice(), process.nice()

    web = next(process for process in running.processes() if "gunicorn" in " ".join(process.cmdline()))
    assert nice(web) == (0, 0)
    wait_for(lambda: {nice(process) for process in alive(running, "interactive worker")} == {(2, 2)}, what="niceness 2")
    wait_for(lambda: {nice(process) for process in alive(running, "bulk worker")} == {(5, 5)}, what="niceness 5")


def test_worker_that_dies_is_started_again(running, filled):
    dead = running.workers()
    for worker in dead:
        worker.kill()
    filled.upload("after.jpg", encoded(drawn(50)))
    wait_for(filled.is_settled, seconds=90, what="embedding by a new worker")
    assert not {worker.pid for worker in dead} & {worker.pid for worker in running.workers()}


def whole_worker(product):
    """The five processes of the worker; none while they are not all there."""
    there = alive(product, "interactive worker")
    return there if len(there) == 5 else []


@pytest.mark.parametrize("position", [0, 1], ids=["who does the tasks", "who notes them down"])
def test_worker_process_killed_while_it_waits_is_replaced(running, filled, position):
    """It waits with a lock held, which a process in its place would never get."""
    queued = "SELECT count(*) FROM django_q_ormq WHERE key = 'interactive'"
    wait_for(lambda: running.psql(queued) == "[(0,)]", what="an empty queue")
    head, *_ = before = wait_for(lambda: whole_worker(running), what="a worker")
    guard = next(process for process in before if process.parent() == head)
    killed = sorted(guard.children(), key=lambda child: child.pid)[position]
    killed.kill()
    wait_for(lambda: killed not in (whole_worker(running) or [killed]), what="a worker")
    filled.upload("after.jpg", encoded(drawn(60 + position)))
    wait_for(lambda: running.psql(queued) == "[(0,)]", what="an empty queue")
    wait_for(filled.is_settled, seconds=20, what="embedding")  # before a sweep sees to it


def test_second_start_over_the_same_data_is_refused(running):
    second = running.command("up", check=False)
    assert second.returncode != 0
    assert "running already" in second.stderr


def test_port_in_use_is_named(running, tmp_path):
    other = Product(tmp_path / "data", PORT=str(running.port))
    refused = other.command("up", check=False)
    assert f"Cannot listen on 127.0.0.1:{running.port}" in refused.stderr
    assert other.processes() == []


@pytest.fixture(scope="module")
def model_hub(tmp_path_factory):
    """A stand-in hub that publishes a DINOv2 of two layers, as wide as the real one, with random weights."""
    folder = tmp_path_factory.mktemp("hub")
    save_tiny_dinov2(folder / "facebook/dinov2-base", hidden_size=768)
    with serve(folder) as served:
        yield served


def test_built_in_encoder_serves_until_dinov2_is_brought_in(tmp_path, model_hub):
    product = Product(
        tmp_path / "data", ENCODER="dinov2-base", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "hub")
    )
    product.start()
    said = " ".join(product.said().split())
    assert "The encoder dinov2-base cannot be used:" in said
    assert "manage.py embed --encoder dinov2-base" in said
    client = product.sign_in()
    for seed in range(3):
        client.upload(f"{seed}.jpg", encoded(drawn(seed)))
    wait_for(client.is_settled, what="embedding")
    encoder = client.get("/status/")["encoder"]
    assert (encoder["name"], encoder["wanted"]) == ("descriptor", "dinov2-base")

    product.environment["HF_ENDPOINT"] = model_hub.url
    product.command("embed", "--encoder", "dinov2-base")
    product.command("activate", "dinov2-base")
    client.upload("later.jpg", encoded(drawn(9)))
    wait_for(client.is_settled, what="embedding by the new encoder")
    answer = client.search(encoded(drawn(9)))
    assert answer["encoder"] == "dinov2-base"
    assert answer["results"][0]["asset"]["filename"] == "later.jpg"
    assert len(answer["results"]) == 4

    product.stop()
    product.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    product.start()
    assert product.sign_in().search(encoded(drawn(9)))["results"][0]["similarity"] > 0.999
    product.stop()


def test_first_start_downloads_the_encoder_and_shows_progress(tmp_path, model_hub):
    product = Product(
        tmp_path / "data", ENCODER="dinov2-base", HF_ENDPOINT=model_hub.url, HF_HOME=str(tmp_path / "hub")
    )
    product.start()
    encoder = product.sign_in().get("/status/")["encoder"]
    product.stop()
    assert encoder["name"] == "dinov2-base"
    assert "model.safetensors" in product.said()
    assert "dinov2-base runs in" in product.said()


def test_commands_start_the_database_themselves_and_stop_it(tmp_path):
    product = Product(tmp_path / "data")
    product.command("prepare")
    assert product.psql("SELECT 1") == "[(1,)]"
    assert product.processes() == []


@pytest.mark.parametrize("name", ["it's here", "a" * 120])
def test_data_folder_may_have_any_name(tmp_path, name):
    product = Product(tmp_path / name)
    product.command("prepare")
    assert product.psql("SELECT 1") == "[(1,)]"
    assert product.processes() == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "99999"),
        ("LOG_LEVEL", "LOUD"),
        ("TIME_ZONE", "Mars/X"),
        ("API_RATE_ANON", "60/foo"),
        ("ENCODER", "dino"),
    ],
)
def test_setting_that_does_not_fit_is_named_without_a_traceback(tmp_path, variable, value):
    refused = Product(tmp_path / "data", **{variable: value}).command("prepare", check=False)
    assert refused.returncode != 0
    assert f"{variable}='{value}' does not fit" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_commands_side_by_side_share_the_database(tmp_path, prepared):
    product = Product(tmp_path / "data", prepared=prepared)
    script = "from django.db import connection as c; k = c.cursor(); k.execute('SELECT pg_sleep(0.3)'); print('done')"
    started = [
        subprocess.Popen(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", script],
            cwd=ROOT, env=product.environment, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    assert [process.communicate(timeout=60)[0].strip() for process in started] == ["done"] * 4
    assert product.processes() == []


@pytest.mark.parametrize(("module", "told"), [("os", "collected\n"), ("assetsearch", "")])
def test_memory_of_a_process_that_ends_is_not_looked_through(module, told):
    script = (
        f"import {module}\nclass Loop:\n    def __del__(self): print('collected')\nloop = Loop()\nloop.itself = loop"
    )
    assert subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True) == told
