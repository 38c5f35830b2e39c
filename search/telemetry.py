"""What is counted of searches. `assetsearch.telemetry` shows it to Prometheus."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from gallery.errors import Code, Refused
from search.answers import Answer

#: Seconds, from what an index takes at best to what nobody waits for.
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

counted = CollectorRegistry()
_searches = Counter(
    "assetsearch_searches", "Searches answered, by how.", ["exact", "index", "filters"], registry=counted
)
_errors = Counter("assetsearch_search_errors", "Searches not answered, by why.", ["code"], registry=counted)
_search_seconds = Histogram(
    "assetsearch_search_seconds", "Time to find the nearest vectors.", buckets=_BUCKETS, registry=counted
)
_encode_seconds = Histogram(
    "assetsearch_encode_seconds", "Time to make vectors of pictures.", buckets=_BUCKETS, registry=counted
)


def record(answer: Answer) -> None:
    how = answer.search
    _searches.labels("true" if how.exact else "false", how.index or "none", how.filters or "none").inc()
    _search_seconds.observe(answer.took_ms["search"] / 1000)


def encoding() -> AbstractContextManager[object]:
    """What is done within is to make vectors, of one picture or of several together."""
    return _encode_seconds.time()


@contextmanager
def searching() -> Iterator[None]:
    """What is raised within leaves a search without an answer."""
    try:
        yield
    except Refused as refused:
        _errors.labels(refused.code).inc()
        raise
    except Exception:
        _errors.labels(Code.INTERNAL).inc()
        raise
