"""A stand-in for the model hub, on loopback: a folder served in the hub's layout, with faults to order."""

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest


@dataclass(frozen=True)
class Cut:
    """Drop the connection after so many bytes of the body."""

    after_bytes: int


@dataclass(frozen=True)
class Status:
    """Answer with this status instead."""

    code: int


@dataclass(frozen=True)
class Content:
    """Send these bytes, announced under the true file's name and length."""

    body: bytes


@dataclass(frozen=True)
class Request:
    method: str
    #: File name, without its repository and revision.
    file: str
    range: str | None


@dataclass
class Hub:
    """`folder` holds <owner>/<name>/<file>; any revision of a repository there answers."""

    folder: Path
    requests: list[Request] = field(default_factory=list)
    #: Bytes of bodies sent, by file name.
    sent_bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    #: Status that every request for a file gets, by file name.
    statuses: dict[str, int] = field(default_factory=dict)
    #: Faults of the next GETs of a file, one each, by file name.
    faults: dict[str, deque[Cut | Status | Content]] = field(default_factory=lambda: defaultdict(deque))
    hangs: bool = False
    ignores_range: bool = False
    #: URL of another stand-in, to which GETs are sent on, as the hub sends those of large files to its store.
    store: str = ""
    released: Event = field(default_factory=Event)
    _server: "_Server | None" = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """From now on the port refuses connections, and those that were open are closed; `url` stays."""
        assert self._server is not None
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.close_connections()

    def ranges(self, file: str) -> list[str | None]:
        """The Range header of each GET of a file, in order."""
        return [request.range for request in self.requests if (request.method, request.file) == ("GET", file)]


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder)
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


@contextmanager
def serve_this_process(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """As the hub of the process itself, which read the environment long ago."""
    from huggingface_hub import constants

    with serve(folder) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        yield served


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Clients keep connections open between requests, and a stopped server would still answer on them."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: tests read `requests`."""

    def _answer(self) -> None:
        hub = self.hub
        repository, _, rest = urlsplit(self.path).path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        hub.requests.append(Request(self.command, file or self.path, self.headers["Range"]))
        if hub.hangs:
            hub.released.wait()
        path = hub.folder / repository / file
        fault = hub.faults[file].popleft() if self.command == "GET" and hub.faults[file] else None
        status = fault.code if isinstance(fault, Status) else hub.statuses.get(file)
        if status is not None or not path.is_file():
            self._refuse(status or 404, file)
        elif hub.store:
            self._send_on(path.read_bytes(), revision)
        else:
            self._send(path.read_bytes(), revision, fault)

    def _refuse(self, status: int, file: str) -> None:
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Error-Message", f"no {file} here")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_on(self, published: bytes, revision: str) -> None:
        self.send_response(302)
        self.send_header("Location", self.hub.store + self.path)
        self.send_header("X-Repo-Commit", revision)
        self.send_header("X-Linked-Etag", f'"{hashlib.sha256(published).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(published)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, published: bytes, revision: str, fault: Cut | Status | Content | None) -> None:
        asked = None if self.hub.ignores_range else self.headers["Range"]
        start = int((asked or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if asked else 200)
        self.send_header("X-Repo-Commit", revision)
        self.send_header("ETag", f'"{hashlib.sha256(published).hexdigest()}"')
        self.send_header("Content-Length", str(len(published) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(published) - 1}/{len(published)}")
        self.end_headers()
        if self.command == "GET":
            self._write(fault.body if isinstance(fault, Content) else published, start, fault)

    def _write(self, content: bytes, start: int, fault: Cut | Status | Content | None) -> None:
        body = content[start : start + fault.after_bytes] if isinstance(fault, Cut) else content[start:]
        with suppress(ConnectionError):  # a client that was killed meanwhile
            self.wfile.write(body)
        self.hub.sent_bytes[Path(self.path).name] += len(body)
        self.close_connection = isinstance(fault, Cut)


def save_tiny_dinov2(folder: Path, *, hidden_size: int = 32, registers: bool = False, seed: int = 0) -> None:
    """A real DINOv2 with random weights and two layers, as published ones are saved.

    Weights are drawn ten times wider than for training, so that different pictures get different vectors.
    """
    import torch
    from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    shape: dict[str, Any] = {
        "hidden_size": hidden_size,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 518,
        "patch_size": 14,
        "initializer_range": 0.2,
    }
    torch.manual_seed(seed)
    model = (
        Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**shape))
        if registers
        else Dinov2Model(Dinov2Config(**shape))
    )
    model.save_pretrained(folder)
