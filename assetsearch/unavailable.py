"""Answers for the database while it does not: within 5 s, and with what to do."""

import sys
import time
from collections.abc import Callable
from multiprocessing.connection import wait

import psycopg
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.views import defaults
from psycopg.pq import ConnStatus
from psycopg.pq.abc import PGconn

from gallery.errors import Refused
from gallery.outages import as_json, outage
from gallery.web import wants_json

#: Seconds that the server has to say that it is there. A connection that is dropped in error costs some milliseconds.
_PATIENCE = 1.0


class Unavailable:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        _drop_silent_connection()
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        refused = error if isinstance(error, Refused) else outage(error)
        return _answer(request, refused) if refused else None


def server_error(request: HttpRequest) -> HttpResponse:
    """For what is raised before a view or after it."""
    refused = outage(sys.exc_info()[1])
    return _answer(request, refused) if refused else defaults.server_error(request)


def _answer(request: HttpRequest, refused: Refused) -> HttpResponse:
    if request.path.startswith("/api/") or wants_json(request):
        return as_json(refused)
    if "HX-Request" in request.headers:  # the page's script says it, and lets the page stand
        headers = {**refused.headers, "X-Detail": refused.detail}
        return HttpResponse(refused.detail, content_type="text/plain", status=refused.http_status, headers=headers)
    # without the request: who is asking is for the database to say
    page = render_to_string("503.html", {"refused": refused})
    return HttpResponse(page, status=refused.http_status, headers=refused.headers)


def _drop_silent_connection() -> None:
    """Look, as Django does before a request's first query, whether the connection is good, but not for ever.

    A server that is stopped takes whatever it is sent, and never answers.
    """
    checked = connection.health_check_done  # type: ignore[attr-defined]  # the stubs lack it
    if connection.connection is None or checked or connection.in_atomic_block:
        return
    if _answers(connection.connection.pgconn):
        connection.health_check_done = True  # type: ignore[attr-defined]
    else:
        connection.close()


def _answers(server: PGconn) -> bool:
    until = time.monotonic() + _PATIENCE
    try:
        server.send_query(b"SELECT 1")
        while server.flush() or server.is_busy():
            left = until - time.monotonic()
            if left < 0 or not wait([server.socket], left):
                return False
            server.consume_input()
        while server.get_result():
            pass
    except psycopg.Error:
        return False
    return server.status == ConnStatus.OK  # the answer may be that it ended the connection
