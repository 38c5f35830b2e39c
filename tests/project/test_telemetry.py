import os
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.conf import settings as project
from django.db import DatabaseError, InterfaceError
from prometheus_client.parser import text_string_to_metric_families

from assetsearch import telemetry as served
from gallery.errors import Code, Refused
from gallery.models import Asset
from search import telemetry
from search.answers import Answer, How
from search.models import IndexBuild
from tests.conftest import drawn, encoded
from tests.gallery.test_admin import make_asset
from tests.product import Product, wait_for
from tests.project.test_docker import location
from tests.search.test_admin import make_build, make_encoder, make_measurement

APPROXIMATE = How(exact=False, index="hnsw", filters="iterated")


def parsed(response):
    """{(name, labels as a sorted tuple): value} of all samples."""
    return {
        (sample.name.removeprefix("assetsearch_"), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def answer(how=APPROXIMATE, *, search_ms=3.0):
    return Answer("encoder-1", how, [], {"search": search_ms})


def grown(client, act):
    """What has become more in /metrics through the act, and by how much."""
    before = parsed(client.get("/metrics"))
    act()
    after = parsed(client.get("/metrics"))
    return {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}


# --- what is counted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "labels"),
    [
        (How(exact=True), {"exact": "true", "index": "none", "filters": "none"}),
        (How(exact=True, filters="ranked"), {"exact": "true", "index": "none", "filters": "ranked"}),
        (APPROXIMATE, {"exact": "false", "index": "hnsw", "filters": "iterated"}),
    ],
)
def test_searches_are_counted_by_how_they_were_done(client, db, how, labels):
    more = grown(client, lambda: telemetry.record(answer(how)))
    assert more["searches_total", *sorted(labels.items())] == 1


def test_time_of_a_search_is_put_among_its_like(client, db):
    more = grown(client, lambda: telemetry.record(answer(search_ms=3.0)))
    assert more["search_seconds_count",] == 1
    assert more["search_seconds_sum",] == pytest.approx(0.003)
    assert more["search_seconds_bucket", ("le", "0.005")] == 1
    assert ("search_seconds_bucket", ("le", "0.002")) not in more


def test_time_of_encoding_is_counted(client, db):
    def encode():
        with telemetry.encoding():
            pass

    more = grown(client, encode)
    assert more["encode_seconds_count",] == 1
    assert 0 < more["encode_seconds_sum",] < 1


@pytest.mark.parametrize(
    ("error", "code"), [(Refused(Code.NOT_SEARCHABLE, "not yet"), "not_searchable"), (OSError("gone"), "internal")]
)
def test_searches_that_are_not_answered_are_counted_and_still_raise(client, db, error, code):
    @telemetry.searching()
    def search():
        raise error

    def attempt():
        with pytest.raises(type(error)):
            search()

    assert grown(client, attempt)["search_errors_total", ("code", code)] == 1


# --- what is asked of the database --------------------------------------------------------------------------


def test_assets_are_told_by_status(client, user):
    for number, status in enumerate([Asset.Status.PENDING, Asset.Status.READY, Asset.Status.READY]):
        make_asset(number, user, status=status)
    told = parsed(client.get("/metrics"))
    counts = {status: told["assets", ("status", status)] for status in Asset.Status.values}
    assert counts == {"pending": 1, "ready": 2, "failed": 0}


@pytest.fixture
def serving_build(db):
    return make_build(1, make_encoder(1, active=True), kind="hnsw", state=IndexBuild.State.READY)


def test_index_that_serves_is_told_as_last_checked(client, serving_build):
    make_measurement(1, serving_build, recall=0.5)
    make_measurement(9, serving_build, recall=0.97, recall_filtered=0.95, p50_ms=2.5)
    make_measurement(2, serving_build, recall=0.6, purpose="tuning")
    told = {key[0]: value for key, value in parsed(client.get("/metrics")).items() if ("kind", "hnsw") in key}
    assert told.pop("index_measured_timestamp_seconds") > 1_700_000_000
    assert told == {
        "index_info": 1, "index_rows": 1009, "index_recall": 0.97, "index_recall_filtered": 0.95,
        "index_p50_seconds": 0.0025,
    }  # fmt: skip


def test_index_not_yet_measured_is_told_without_figures(client, serving_build):
    told = parsed(client.get("/metrics"))
    assert told["index_info", ("kind", "hnsw")] == 1
    assert not any(key[0] == "index_recall" for key in told)


def test_index_that_does_not_serve_is_not_told(client, db):
    make_measurement(1, make_build(1, make_encoder(1, active=True)))
    make_measurement(1, make_build(2, make_encoder(2), state=IndexBuild.State.READY))
    assert not any(key[0].startswith("index_") for key in parsed(client.get("/metrics")))


def test_metrics_take_three_queries(client, serving_build, user, django_assert_num_queries):
    make_measurement(1, serving_build)
    make_asset(1, user)
    with django_assert_num_queries(3):
        assert parsed(client.get("/metrics"))["database_up",] == 1


@pytest.mark.parametrize("error", [DatabaseError, InterfaceError, RuntimeError])
def test_what_was_counted_is_told_while_the_database_is_away(client, db, monkeypatch, error):
    def fail():
        raise error("gone")

    monkeypatch.setattr(served, "_index", fail)
    telemetry.record(answer())
    response = client.get("/metrics")
    told = parsed(response)
    assert response.status_code == 200
    assert told["database_up",] == 0
    assert told["search_seconds_count",] >= 1
    assert not any(key[0] == "assets" for key in told)


def test_names_of_nobody_and_nothing_are_told(client, serving_build, user):
    make_asset(1, user, title="Secret shoe", filename="secret.jpg")
    told = client.get("/metrics").content.decode()
    assert "ecret" not in told
    assert user.username not in told.split()


# --- who may ask --------------------------------------------------------------------------------------------


def test_metrics_are_open_where_no_token_is_set(client, db):
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer s3cret", 200),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        ("s3cret", 401),
        ("Bearer s3crét", 401),
        (None, 401),
    ],
)
def test_token_is_asked_for_where_one_is_set(client, db, settings, header, status):
    settings.METRICS_TOKEN = "s3cret"
    response = client.get("/metrics", headers={"Authorization": header} if header else {})
    assert response.status_code == status
    assert (b"assetsearch_" in response.content) == (status == 200)
    assert response.get("WWW-Authenticate") == (None if status == 200 else "Bearer")


def test_metrics_are_only_read(client, db):
    assert client.post("/metrics").status_code == 405


def test_proxy_tells_metrics_to_nobody():
    assert location("= /metrics").split() == ["return", "404;"]


# --- several processes --------------------------------------------------------------------------------------

IN_A_PROCESS = """
import django; django.setup()
from search import telemetry
from search.answers import Answer, How
for _ in range({count}):
    telemetry.record(Answer("e", How(exact=True), [], {{"search": 1.0}}))
"""
AS_TOLD = """
import django; django.setup()
from prometheus_client import generate_latest
from assetsearch import telemetry
print(generate_latest(telemetry._everywhere()).decode())
"""


def in_a_process(program, counts):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(counts)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=project.BASE_DIR,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture
def counts(tmp_path, settings, monkeypatch):
    """The folder that gunicorn makes for what its processes count, when it starts."""
    settings.DATA_DIR = tmp_path
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    stale = tmp_path / "metrics" / "counter_1.db"
    stale.parent.mkdir()
    stale.write_bytes(b"of the last start")
    runpy.run_path(str(project.BASE_DIR / "assetsearch/gunicorn.py"))["on_starting"](None)
    return tmp_path / "metrics"


def test_server_starts_with_nothing_counted(counts):
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(counts)
    assert list(counts.iterdir()) == []


def test_what_all_processes_counted_is_told_together_also_of_those_that_ended(counts):
    in_a_process(IN_A_PROCESS.format(count=2), counts)
    in_a_process(IN_A_PROCESS.format(count=3), counts)
    told = in_a_process(AS_TOLD, counts)
    assert 'assetsearch_searches_total{exact="true",filters="none",index="none"} 5.0' in told
    assert "assetsearch_search_seconds_count 5.0" in told


@pytest.mark.product
def test_product_of_two_processes_counts_each_search_once_whichever_answers(tmp_path, prepared):
    product, answers = Product(tmp_path / "data", prepared=prepared, WEB_PROCESSES="2"), []
    picture = encoded(drawn(1), "PNG")

    def search(_):
        return product.sign_in().search(picture)  # by a connection of its own, which either may take

    def both_have_searched():
        answers.extend(pool.map(search, range(8)))
        return len(list((tmp_path / "data/metrics").glob("counter_*.db"))) == 2

    product.start()
    try:
        client = product.sign_in()
        client.upload("one.png", picture)
        wait_for(client.is_settled, what="embedding")
        with ThreadPoolExecutor(8) as pool:
            wait_for(both_have_searched, what="a search by each process")
        for _ in range(4):
            told = requests.get(f"{product.url}/metrics", timeout=10).text
            assert sum_of(told, "assetsearch_searches_total") == len(answers)
            assert 'assetsearch_assets{status="ready"} 1.0' in told
    finally:
        product.stop()


def sum_of(told, name):
    samples = [sample for family in text_string_to_metric_families(told) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name)
