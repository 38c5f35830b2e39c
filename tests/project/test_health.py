import pytest
from django.db import DatabaseError, connection

from assetsearch import health
from assetsearch.unavailable import Unavailable


def test_ready_when_everything_is_there(client, encoder, settings):
    settings.MEDIA_ROOT.mkdir(exist_ok=True)
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_missing_encoder_is_named(client, db):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "encoder" in answer.json()["missing"][0]
    assert answer["Retry-After"]


@pytest.mark.parametrize("error", [DatabaseError, RuntimeError])
def test_missing_database_is_named_while_the_process_is_alive(client, db, monkeypatch, error):
    def fail(connection):
        raise error("gone")

    monkeypatch.setattr(health, "MigrationExecutor", fail)
    assert client.get("/readyz").json() == {"status": "unavailable", "missing": ["database"]}
    assert client.get("/healthz").status_code == 200


def test_missing_media_folder_is_named(client, encoder, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "nowhere"
    assert client.get("/readyz").json()["missing"] == ["media folder"]


@pytest.mark.django_db(transaction=True)
def test_connection_that_the_server_ended_is_dropped_before_it_is_used():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    ended = connection.connection
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()
    connection.health_check_done = False  # as where a request begins
    Unavailable(lambda request: None)(None)
    assert connection.connection is not ended
    connection.ensure_connection()
    assert connection.is_usable()
