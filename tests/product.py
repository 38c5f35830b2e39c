"""The product as a user starts it, over a data folder of its own, and a client that speaks to it by HTTP."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import requests

from assetsearch import postgres

ROOT = Path(__file__).parent.parent
PASSWORD = "for these tests"
#: On a machine that is busy with ten other things; it takes 5 s on one that is not.
_START_SECONDS = 180
_FAIL = """
    WITH failed AS (
        UPDATE search_embedding SET vector = NULL, embedded_at = NULL, error = %(error)s
        WHERE asset_id = %(asset)s RETURNING asset_id
    )
    UPDATE gallery_asset SET status = 'failed', error = %(error)s
    WHERE id IN (SELECT asset_id FROM failed) RETURNING id
"""
_OURS = re.compile(r"manage\.py|gunicorn|forkserver|postgres")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], *, seconds: float = 60, what: str = "it") -> Any:
    """What the condition gives once that is true. Looks at it often, and less so the longer it takes.

    Looking takes the product's processor time, and that of whatever else runs.
    """
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        if value := condition():
            return value
        threading.Event().wait(min(1, max(0.02, waited / 20)))
    raise AssertionError(f"{what} did not come about within {seconds} s")


class Product:
    """`manage.py up`, in a session of its own as a terminal gives it one.

    Its data folder may be a copy of one that is `prepared`: making that anew takes 3 s of processor time.
    """

    def __init__(self, data_dir: Path, *, prepared: Path | None = None, **environment: str) -> None:
        if prepared:
            subprocess.run(["cp", "-a", prepared, data_dir], check=True)  # Postgres' files belong to a user of its own
        self.data_dir, self.port = data_dir, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.parent / f"{data_dir.name}.log"
        inherited = {k: v for k, v in os.environ.items() if k not in {"ASSETSEARCH_TEST_DATA", "DATABASE_URL"}}
        self.environment = {
            **inherited,
            "DJANGO_SETTINGS_MODULE": "assetsearch.settings",
            "DATA_DIR": str(data_dir),
            "PORT": str(self.port),
            "ADMIN_PASSWORD": PASSWORD,
            "ENCODER": "descriptor",
            "API_RATE_TOKEN": "1000/min",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._session: str | None = None

    def launch(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def start(self) -> float:
        """Seconds until the product said that it is ready."""
        started, before = time.monotonic(), len(self.said())
        self.launch()
        wait_for(
            lambda: "is ready" in self.said()[before:] or self.has_ended(), seconds=_START_SECONDS, what="the product"
        )
        assert not self.has_ended(), self.said()
        return time.monotonic() - started

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> float:
        """Seconds until everything ended."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(sign)
        self.process.wait(60)
        return time.monotonic() - started

    def processes(self) -> list[psutil.Process]:
        """All processes of this product, Postgres among them."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE or not _OURS.search(" ".join(process.cmdline())):
                return False
            return process.environ().get("DATA_DIR") == str(self.data_dir) or str(self.data_dir) in process.cmdline()
        except psutil.Error:
            return False

    def workers(self) -> list[psutil.Process]:
        return [process for process in self.processes() if "qcluster" in process.cmdline()]

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, check=False, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done

    def sign_in(self) -> "Client":
        answer = requests.post(
            f"{self.url}/api/v1/token/", json={"username": "admin", "password": PASSWORD}, timeout=30
        )
        assert answer.ok, answer.text
        return Client(self.url, answer.json()["token"])

    def session_of_its_own(self) -> str:
        """The key of a session as signing in begins one, which takes half a second of processor time for the password.

        It is a copy of one that was begun so; what happens in it is its own.
        """
        if self._session is None:
            with requests.Session() as browser:
                page = browser.get(f"{self.url}/login/", timeout=60)
                asked = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
                browser.post(page.url, asked, headers={"Referer": page.url}, timeout=60).raise_for_status()
                self._session = browser.cookies["sessionid"]
        key = secrets.token_hex(16)
        copied = self.psql(
            f"INSERT INTO django_session SELECT '{key}', session_data, expire_date FROM django_session "
            f"WHERE session_key = '{self._session}' RETURNING 1"
        )
        assert copied == "[(1,)]", "the product could not be signed in to"
        return key

    def psql(self, sql: str) -> str:
        """What a query against the product's own database gives."""
        with self.database() as connection:
            return str(connection.execute(sql).fetchall())

    def fail(self, asset_id: int, reason: str) -> None:
        """Leave an asset as a worker does that could not read its picture.

        Assets are told by reason, and tests of one worker share a product: each has a reason of its own.
        """
        with self.database() as connection:
            connection.execute(_FAIL, {"asset": asset_id, "error": f"{reason}: lost"})

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection to the product's own database, whether the product runs or not."""
        postgres.hold(self.data_dir)
        host = str(postgres.socket_dir(self.data_dir))
        try:
            with psycopg.connect(host=host, user=postgres.USER, dbname=postgres.DATABASE) as connection:
                yield connection
        finally:
            postgres.release(self.data_dir)


@contextmanager
def running(data_dir: Path, *, prepared: Path, **environment: str) -> Iterator[Product]:
    """A product that is started, and stopped unless it has ended by then."""
    made = Product(data_dir, prepared=prepared, **environment)
    try:
        made.start()
        yield made
    finally:
        if not made.has_ended():
            made.stop()


class Client:
    def __init__(self, url: str, token: str) -> None:
        self.url, self.session = f"{url}/api/v1", requests.Session()
        self.session.headers["Authorization"] = f"Token {token}"

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.session.get(f"{self.url}{path}", params=parameters, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def upload(self, name: str, data: bytes, **details: str) -> Any:
        answer = self.session.post(f"{self.url}/assets/", files={"file": (name, data)}, data=details, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def search(self, data: bytes, **fields: Any) -> Any:
        answer = self.session.post(f"{self.url}/search/", files={"image": ("query.jpg", data)}, data=fields, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def bytes_of(self, url: str) -> bytes:
        answer = self.session.get(url, timeout=60)
        answer.raise_for_status()
        return answer.content

    def is_settled(self) -> bool:
        """Whether nothing is pending."""
        return bool(self.get("/status/")["assets"]["pending"] == 0)
