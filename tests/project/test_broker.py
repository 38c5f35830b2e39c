from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.tasks import async_task

from assetsearch import broker
from tests.product import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() "
    "AND state = 'idle' AND query LIKE 'SELECT%django_q_ormq%'"
)


def somebody_waits():
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        return cursor.fetchone()[0] == 1


@pytest.fixture
def waiting(monkeypatch):
    """A worker's next tasks, which it waits for by now; it looks by itself in an hour."""
    monkeypatch.setattr(broker, "_LOOK_SECONDS", 3600)

    def tasks():
        queue = get_broker("interactive")
        try:
            while not (taken := queue.dequeue()):
                pass
            return taken
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(tasks)


def test_worker_that_waits_is_told_of_a_task(waiting: Future):
    wait_for(somebody_waits, what="the worker")
    async_task("operator.add", 1, 2, cluster="interactive")
    assert len(waiting.result(timeout=10)) == 1


def test_worker_is_told_when_the_task_is_committed_and_of_its_own_queue_alone(waiting: Future):
    wait_for(somebody_waits, what="the worker")
    async_task("operator.add", 1, 2, cluster="bulk")
    with transaction.atomic():
        async_task("operator.add", 1, 2, cluster="interactive")
        assert not waiting.done()
    [(taken, _)] = waiting.result(timeout=10)
    assert OrmQ.objects.get(pk=taken).key == "interactive"


def test_worker_listens_again_after_its_connection_was_replaced(monkeypatch):
    monkeypatch.setattr(broker, "_LOOK_SECONDS", 0)
    queue = get_broker("interactive")
    for _ in range(2):
        assert not queue.dequeue()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_listening_channels()")
            assert cursor.fetchall() == [("tasks of interactive",)]
        connection.close()
