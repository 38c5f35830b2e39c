"""django-q2's cluster, which ends as a whole when one of its processes is killed.

A process that waits for the next task holds the lock of its queue. Killed, it never lets go of that, and the process
that django-q2 puts in its place waits for ever. Who started the cluster starts it again, with queues of its own.
"""

import os
import signal
from typing import Any

import psutil
from django.conf import settings
from django_q import cluster
from django_q.management.commands import qcluster


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


class Command(qcluster.Command):  # type: ignore[misc]  # django-q2 has no types
    def handle(self, *args: Any, **options: Any) -> None:
        cluster.Sentinel = Guard
        # by which the admin sees that it lives: each of its processes names its connections so
        os.environ["PGAPPNAME"] = f"assetsearch worker {os.environ.get('Q_CLUSTER_NAME', settings.Q_CLUSTER['name'])}"
        super().handle(*args, **options)
