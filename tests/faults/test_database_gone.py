"""The database goes away under a running product, and comes back."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import requests
from django.db import OperationalError
from django.test import Client as DjangoClient

from assetsearch import malformed, postgres
from tests.conftest import drawn, encoded
from tests.product import PASSWORD, Client, Product, wait_for

pytestmark = [pytest.mark.product, pytest.mark.alone]

#: Seconds that anyone waits for a refusal at most.
SOON = 5
#: Seconds after which workers are at work again: django-q's pause after it could not look for tasks, and some.
RECOVERED = 60
PICTURE = encoded(drawn(1))
#: Of the web server.
THREADS = 2


class Database:
    """A server that is this test's to stop; nobody starts it again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"postgres://{postgres.USER}@{quote(str(postgres.socket_dir(folder)), safe='')}/{postgres.DATABASE}"

    def processes(self) -> list[psutil.Process]:
        """The postmaster first."""
        server = psutil.Process(int((postgres.cluster_dir(self.folder) / "postmaster.pid").read_text().split()[0]))
        return [server, *server.children()]

    @contextmanager
    def killed(self) -> Iterator[None]:
        processes = self.processes()
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)
        try:
            yield
        finally:
            postgres.revive(self.folder)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Takes connections and whatever is sent, and answers nothing."""
        processes = self.processes()
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGCONT)


@dataclass
class People:
    product: Product
    database: Database
    client: Client
    pages: requests.Session

    def api(self, method: str, path: str, **options: object) -> requests.Response:
        return self.client.session.request(method, f"{self.client.url}{path}", timeout=30, **options)

    def page(self, path: str, **headers: str) -> requests.Response:
        return self.pages.get(f"{self.product.url}{path}", headers=headers, timeout=30, allow_redirects=False)

    def is_found(self, data: bytes) -> bool:
        hits = self.client.search(data, k=1)["results"]
        return bool(hits and hits[0]["similarity"] > 0.999)


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Iterator[People]:
    database = Database(tmp_path_factory.mktemp("database"))
    postgres.hold(database.folder)
    product = Product(tmp_path_factory.mktemp("gone") / "data", DATABASE_URL=database.url, WEB_THREADS=str(THREADS))
    product.start()
    try:
        yield People(product, database, product.sign_in(), _signed_in(product))
    finally:
        product.stop()
        postgres.release(database.folder)


def _signed_in(product: Product) -> requests.Session:
    session, address = requests.Session(), f"{product.url}/login/"
    form = session.get(address, timeout=30).text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form).group(1)
    fields = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert session.post(address, fields, headers={"Referer": address}, timeout=30).url != address
    return session


def timed(ask: Callable[[], requests.Response]) -> tuple[requests.Response, float]:
    started = time.monotonic()
    return ask(), time.monotonic() - started


ASKED: dict[str, Callable[[People], requests.Response]] = {
    "list": lambda people: people.api("GET", "/assets/"),
    "upload": lambda people: people.api("POST", "/assets/", files={"file": ("a.jpg", PICTURE)}),
    "search": lambda people: people.api("POST", "/search/", files={"image": ("a.jpg", PICTURE)}),
    "browsed": lambda people: people.api("GET", "/assets/", headers={"Accept": "text/html"}),
    "status": lambda people: people.api("GET", "/status/"),
    "page": lambda people: people.page("/"),
    "fragment": lambda people: people.page("/", **{"HX-Request": "true"}),
    "script": lambda people: people.page("/upload/", Accept="application/json"),
}


def assert_told(asked: str, answer: requests.Response, took: float) -> None:
    said = f"{asked}: {answer.status_code} after {took:.1f} s: {answer.text[:300]}"
    assert answer.status_code == 503, said
    assert took < SOON, said
    assert int(answer.headers["Retry-After"]) > 0, said
    assert "The database does not answer." in answer.text, said
    if asked not in {"page", "fragment"}:
        assert answer.json()["code"] == "unavailable", said
    assert ("<html" in answer.text) == (asked == "page"), said
    assert (answer.headers.get("X-Detail") == answer.text) == (asked == "fragment"), said


@pytest.mark.parametrize("way", [Database.killed, Database.frozen])
def test_every_request_is_told_soon_and_recovers_by_itself(people, way):
    before = {asked: ask(people).status_code for asked, ask in ASKED.items()}
    assert set(before.values()) <= {200, 201}, before
    with way(people.database):
        with ThreadPoolExecutor(THREADS) as pool:  # as many at once as there is somebody to answer
            told = pool.map(lambda asked: (asked, *timed(lambda: ASKED[asked](people))), ASKED)
        for asked, answer, took in told:
            assert_told(asked, answer, took)
        answer, took = timed(lambda: requests.get(f"{people.product.url}/readyz", timeout=30))
        assert (answer.status_code, answer.json()["missing"], took < SOON) == (503, ["database"], True)
        assert requests.get(f"{people.product.url}/healthz", timeout=SOON).status_code == 200
    assert {asked: ask(people).status_code for asked, ask in ASKED.items()} == {**before, "upload": 200}
    picture = encoded(drawn(len(way.__name__)))
    people.client.upload("later.jpg", picture)
    wait_for(lambda: people.is_found(picture), seconds=RECOVERED, what="embedding")
    assert not people.product.has_ended()


def test_connections_that_fall_silent_are_dropped_for_new_ones(people):
    """As when a backend is stuck and the server is not: nobody is refused."""
    assert people.api("GET", "/assets/").status_code == 200
    backends = [process for process in people.database.processes()[1:] if "[local]" in " ".join(process.cmdline())]
    for backend in backends:
        backend.send_signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            answer, took = timed(lambda: people.api("GET", "/assets/"))
            assert (answer.status_code, took < SOON) == (200, True)
    finally:
        for backend in backends:
            backend.send_signal(signal.SIGCONT)


def test_error_before_any_view_is_told_as_well(monkeypatch):
    """As where a large form is looked at, and who sends it is asked for."""

    def fail(request: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(malformed, "_is_large_and_a_strangers", fail)
    answer = DjangoClient(raise_request_exception=False).get("/upload/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "The database does not answer." in answer.content.decode()
