"""django-q2's queue in Postgres, which tells workers of each task: they look for it at once, and seldom else."""

from contextlib import suppress
from typing import Any

from django.db import Error, connections
from django_q.brokers import orm
from django_q.conf import Conf
from psycopg import Connection

#: Seconds after which a worker looks all the same: for tasks whose worker died, where a pooler between us and Postgres
#: passes nothing on, and where a task seems to be of the future since its host's clock is ahead.
_LOOK_SECONDS = 1.0


class Broker(orm.ORM):  # type: ignore[misc]  # django-q2 has no types
    _listening: Connection[Any] | None = None

    def enqueue(self, task: str) -> Any:
        number = super().enqueue(task)
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [self._channel])  # which comes when the transaction is committed
        return number

    def dequeue(self) -> list[tuple[int, str]] | None:
        """Some tasks; none where another worker was faster, or, None, where there were none when it looked."""
        self._listen()  # first, so that what comes while it looks is told as well
        tasks: list[tuple[int, str]] | None = super().dequeue()
        if tasks is None:
            self._wait()
        return tasks

    def _wait(self) -> None:
        """Until told of a task, or it is time to look. A connection that is lost meanwhile is made anew to look."""
        database = connections[Conf.ORM]
        if self._listening is database.connection:  # of another, as Django begins one now and then, nothing is heard
            with suppress(Error), database.wrap_database_errors:
                for _ in self._listening.notifies(timeout=_LOOK_SECONDS, stop_after=1):
                    pass

    def _listen(self) -> None:
        self.get_connection()  # which closes one that is too old
        database = connections[Conf.ORM]
        database.ensure_connection()
        if self._listening is not database.connection:
            with database.cursor() as cursor:
                cursor.execute(f'LISTEN "{self._channel}"')
            self._listening = database.connection

    @property
    def _channel(self) -> str:
        return f"tasks of {self.list_key}"
