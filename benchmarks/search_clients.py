"""Searches by several processes at once. Imports no Django: each of them sets it up for itself."""

import multiprocessing
import os
import time
from typing import Any

import numpy as np

from benchmarks.search_peers import Floats, K

_START_S, _RUN_S = 60, 5.0


def throughput(encoder_id: int, queries: Floats, clients: int) -> float:
    """Searches a second by so many processes, each with its own connection, one search after the other."""
    context = multiprocessing.get_context("spawn")
    together, counts = context.Barrier(clients), context.Queue()
    workers = [
        context.Process(target=_search_on, args=(encoder_id, queries, together, counts), daemon=True)
        for _ in range(clients)
    ]
    for worker in workers:
        worker.start()
    rates = [counts.get(timeout=_START_S + 2 * _RUN_S) for _ in workers]
    for worker in workers:
        worker.join()
    return sum(rates)


def _search_on(encoder_id: int, queries: Floats, together: Any, counts: Any) -> None:
    import django

    django.setup()
    from django.db import connection

    from search.models import Encoder, IndexBuild
    from search.nearest import Through, nearest

    row = Encoder.objects.get(pk=encoder_id)
    made = IndexBuild.objects.select_related("encoder").get(encoder=row, state=IndexBuild.State.READY)
    assert made.tuned is not None
    through = Through(made, made.tuned.steps[0].effort)
    order = np.random.default_rng(os.getpid()).permutation(len(queries))
    for place in order[:20]:
        nearest(row, queries[place], K, through=through)
    together.wait(timeout=_START_S)
    asked, started = 0, time.perf_counter()
    while time.perf_counter() - started < _RUN_S:
        nearest(row, queries[order[asked % len(order)]], K, through=through)
        asked += 1
    counts.put(asked / (time.perf_counter() - started))
    connection.close()
