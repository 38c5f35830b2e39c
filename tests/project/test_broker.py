from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django_q.brokers import get_broker, orm
from django_q.models import OrmQ
from django_q.tasks import async_task

from assetsearch import broker
from tests.product import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

_WAITING = (
    "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() "
    "AND state = 'idle' AND query LIKE 'SELECT%django_q_ormq%'"
)


def answer_to(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


@pytest.fixture
def looks(monkeypatch):
    """What a worker found, each time it looked for tasks."""
    found, look = [], orm.ORM.dequeue

    def dequeue(self):
        found.append(look(self))
        return found[-1]

    monkeypatch.setattr(orm.ORM, "dequeue", dequeue)
    return found


@pytest.fixture
def waiting(monkeypatch, looks):
    """A worker's next tasks, which it waits for by now. It looks by itself long after it is to have been told."""
    monkeypatch.setattr(broker, "_LOOK_SECONDS", 30)

    def tasks():
        queue = get_broker("interactive")
        try:
            while not (taken := queue.dequeue()):
                pass
            return taken
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(tasks)
        wait_for(lambda: answer_to(f"SELECT count(*) {_WAITING}") == [(1,)], what="the worker")
        yield future


def test_worker_that_waits_is_told_of_a_task(waiting: Future):
    async_task("operator.add", 1, 2, cluster="interactive")
    assert len(waiting.result(timeout=10)) == 1


def test_worker_is_told_of_its_own_queue_alone_and_of_what_is_committed(waiting: Future, looks):
    async_task("operator.add", 1, 2, cluster="bulk")
    with transaction.atomic():
        async_task("operator.add", 1, 2, cluster="interactive")
    [(taken, _)] = waiting.result(timeout=10)
    assert OrmQ.objects.get(pk=taken).key == "interactive"
    assert len(looks) == 2


def test_worker_whose_connection_is_lost_goes_on_with_another(waiting: Future):
    assert answer_to(f"SELECT pg_terminate_backend(pid) {_WAITING}") == [(True,)]
    async_task("operator.add", 1, 2, cluster="interactive")
    assert len(waiting.result(timeout=10)) == 1


def test_worker_looks_again_at_once_where_another_was_faster(monkeypatch):
    monkeypatch.setattr(broker, "_LOOK_SECONDS", 30)
    monkeypatch.setattr(orm.ORM, "dequeue", lambda _: [])
    monkeypatch.setattr(broker.Broker, "_wait", lambda _: pytest.fail("it waited"))
    assert get_broker("interactive").dequeue() == []


def test_worker_listens_again_after_its_connection_was_replaced(monkeypatch):
    monkeypatch.setattr(broker, "_LOOK_SECONDS", 0)
    queue = get_broker("interactive")
    for _ in range(2):
        assert not queue.dequeue()
        assert answer_to("SELECT pg_listening_channels()") == [("tasks of interactive",)]
        connection.close()
