"""django-q2's cluster, which ends as a whole when one of its processes is killed.

A process that waits for the next task holds the lock of its queue. Killed, it never lets go of that, and the process
that django-q2 puts in its place waits for ever. Who started the cluster starts it again, with queues of its own; and
may not while anything of the old one is left, which holds the lock of the data folder.
"""

import os
import signal
from collections.abc import Callable
from functools import wraps
from multiprocessing import parent_process
from typing import Any

import psutil
from django.conf import settings
from django_q import cluster
from django_q.management.commands import qcluster

from gallery.sandbox import end_with_parent


class Guard(cluster.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    def spawn_cluster(self) -> None:
        # at once, and not when it next looks at its processes: it may wait for a lock that the dead one holds
        signal.signal(signal.SIGCHLD, self._end_if_one_was_killed)
        super().spawn_cluster()

    def _end_if_one_was_killed(self, *_: object) -> None:
        if os.getpid() != self.pid:  # the processes of the cluster inherit this
            return
        if any(process and (process.exitcode or 0) < 0 for process in (*self.pool, self.monitor, self.pusher)):
            for process in psutil.Process().children():
                process.kill()  # else they take more tasks, for nobody to do
            os._exit(1)


def _ending_with_parent(target: Callable[..., object]) -> Callable[..., object]:
    """What a process does that multiprocessing starts, which ends when the one that started it is killed."""

    @wraps(target)
    def begin(*args: Any) -> object:
        parent = parent_process()
        assert parent is not None and parent.pid is not None  # noqa: S101, PT018 (for the types)
        end_with_parent(signal.SIGKILL, parent.pid)
        return target(*args)

    return begin


class Command(qcluster.Command):  # type: ignore[misc]  # django-q2 has no types
    #: `prepare` has made them: they load all pages and the API, for which workers have no use.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        # what the cluster's head starts, and what that starts in turn
        cluster.Sentinel = _ending_with_parent(Guard)
        cluster.worker, cluster.monitor, cluster.pusher = map(
            _ending_with_parent, (cluster.worker, cluster.monitor, cluster.pusher)
        )
        # by which the admin sees that it lives: each of its processes names its connections so
        os.environ["PGAPPNAME"] = f"assetsearch worker {os.environ.get('Q_CLUSTER_NAME', settings.Q_CLUSTER['name'])}"
        super().handle(*args, **options)
