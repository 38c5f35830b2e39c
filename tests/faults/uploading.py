"""Clients that upload side by side, and send again what was not acknowledged."""

import hashlib
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import requests

from tests.product import wait_for

#: Seconds that a client waits for an answer, that it pauses before it sends again, and after which it gives up.
_ANSWER_SECONDS, _PAUSE_SECONDS, _GIVE_UP_SECONDS = 60, 0.3, 240
_CLIENTS = 4
#: A decoder that was killed looks like one that took too much memory.
_KILLED_DECODER = "decode_memory"


@dataclass(frozen=True)
class Receipt:
    """An upload that was acknowledged; times by the clock of the machine."""

    asset_id: int
    data: bytes
    began: float
    ended: float

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class Uploads:
    def __init__(self, url: str, token: str) -> None:
        self._url, self._token, self._of_thread = url, token, threading.local()
        self._pool = ThreadPoolExecutor(_CLIENTS)
        self._futures: list[Future[None]] = []
        self._is_over = threading.Event()
        self.receipts: list[Receipt] = []
        #: Why uploads had to be sent again, and how often.
        self.sent_again: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._pool.shutdown(cancel_futures=True)

    def add(self, pictures: list[bytes]) -> None:
        self._futures += [self._pool.submit(self._upload, data) for data in pictures]

    def wait_for(self, count: int) -> None:
        """Until so many are acknowledged."""
        wait_for(lambda: len(self.receipts) >= count, seconds=_GIVE_UP_SECONDS, what=f"acknowledgement {count}")

    def finish(self) -> None:
        """Wait for all. Raises what went wrong."""
        for future in self._futures:
            future.result()

    def _upload(self, data: bytes) -> None:
        give_up_at = time.monotonic() + _GIVE_UP_SECONDS
        while reason := self._attempt(data):
            self.sent_again[reason] += 1
            assert time.monotonic() < give_up_at, f"never acknowledged, last {reason}"
            if self._is_over.wait(_PAUSE_SECONDS):
                return

    def _attempt(self, data: bytes) -> str:
        """Nothing if it was acknowledged, or the reason why it has to be sent again."""
        began = time.time()
        try:
            answer = self._session().post(
                f"{self._url}/api/v1/assets/", files={"file": ("picture.jpg", data)}, timeout=_ANSWER_SECONDS
            )
        except requests.RequestException as error:
            return type(error).__name__
        # any other error is the product's own, whatever was killed
        assert answer.status_code in {200, 201, 400, 503, 507}, f"{answer.status_code} {answer.text}"
        told = answer.json()
        if answer.status_code >= 400:
            assert answer.status_code >= 500 or told["code"] == _KILLED_DECODER, answer.text
            return f"{answer.status_code} {told['code']}"
        self.receipts.append(Receipt(told["id"], data, began, time.time()))
        return ""

    def _session(self) -> requests.Session:
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
            self._of_thread.session.headers["Authorization"] = self._token
        return self._of_thread.session
