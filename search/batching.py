"""Pictures that the threads of a process encode at the same time go through their encoder together.

One batch is encoded at a time. What comes meanwhile waits and makes up the next, so that a picture alone waits for
nobody, and ten at once take two batches instead of ten. The threads that wait do the work: one of them at a time
encodes, for all of a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition

import numpy as np
from numpy.typing import NDArray

from search import vectors
from search.encoders import ImageEncoder
from search.vectors import FloatArray

#: Seconds that a batch waits for pictures that are being decoded, which most are in this time. Encoding one more
#: takes 40 ms if it goes along and 80 ms if it comes after (DINOv2-base, two cores).
PATIENCE_S = 0.005


@dataclass(eq=False)
class _Ticket:
    """A picture that is to be encoded, and what became of it."""

    encoder: ImageEncoder
    prepared: NDArray[np.uint8]
    vector: FloatArray | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.vector is not None or self.error is not None

    def result(self) -> FloatArray:
        if self.vector is None:
            raise self.error or RuntimeError("The picture was not encoded.")
        return self.vector


class Batcher:
    def __init__(self) -> None:
        self._changed = Condition()  # guards all below, and tells of every change
        self._waiting: list[_Ticket] = []
        self._decoding = 0  # callers whose pictures are on their way
        self._encoding = False

    def encode(self, encoder: ImageEncoder, prepare: Callable[[], Sequence[NDArray[np.uint8]]]) -> list[FloatArray]:
        """The (d,) unit vectors of the pictures that `prepare` makes ready; others wait a moment for it to do so.

        Raises what `prepare` raises, and what the encoder raises for one of these pictures when it is given it alone.
        """
        tickets = self._queue(encoder, prepare)
        try:
            while batch := self._next_batch(tickets):
                self._encode(batch)
        except BaseException:  # KeyboardInterrupt and the like: nobody is left to take these vectors
            self._withdraw(tickets)
            raise
        return [ticket.result() for ticket in tickets]

    def _queue(self, encoder: ImageEncoder, prepare: Callable[[], Sequence[NDArray[np.uint8]]]) -> list[_Ticket]:
        tickets: list[_Ticket] = []
        with self._changed:
            self._decoding += 1
        try:
            tickets += [_Ticket(encoder, prepared) for prepared in prepare()]
        finally:
            with self._changed:
                self._decoding -= 1
                self._waiting += tickets
                self._changed.notify_all()
        return tickets

    def _next_batch(self, own: Sequence[_Ticket]) -> list[_Ticket]:
        """What the calling thread is to encode now; nothing once its own tickets are done."""

        def is_my_turn_or_done() -> bool:
            return not self._encoding or _are_done(own)

        def is_complete_or_taken() -> bool:
            return self._encoding or _are_done(own) or self._is_complete()

        with self._changed:
            while not _are_done(own):
                self._changed.wait_for(is_my_turn_or_done)
                self._changed.wait_for(is_complete_or_taken, PATIENCE_S)
                if not self._encoding and not _are_done(own):
                    batch = self._batch()
                    self._waiting = [ticket for ticket in self._waiting if ticket not in batch]
                    self._encoding = True
                    return batch
        return []

    def _is_complete(self) -> bool:
        """Whether waiting longer would add nothing to the next batch."""
        return not self._decoding or len(self._batch()) == self._waiting[0].encoder.batch_size

    def _batch(self) -> list[_Ticket]:
        """Those that have waited longest, of one encoder."""
        encoder = self._waiting[0].encoder
        return [ticket for ticket in self._waiting if ticket.encoder is encoder][: encoder.batch_size]

    def _encode(self, batch: list[_Ticket]) -> None:
        try:
            _encode(batch)
        finally:
            with self._changed:
                self._waiting = [ticket for ticket in batch if not ticket.is_done] + self._waiting
                self._encoding = False
                self._changed.notify_all()

    def _withdraw(self, tickets: Sequence[_Ticket]) -> None:
        with self._changed:
            self._waiting = [ticket for ticket in self._waiting if ticket not in tickets]


def _are_done(tickets: Sequence[_Ticket]) -> bool:
    return all(ticket.is_done for ticket in tickets)


def _encode(batch: Sequence[_Ticket]) -> None:
    """Give every ticket its vector. If that fails, each is tried alone, so that one picture fails no other."""
    try:
        made = vectors.unit(batch[0].encoder.encode(np.stack([ticket.prepared for ticket in batch])))
        for ticket, vector in list(zip(batch, made, strict=True)):  # all, or none where the numbers differ
            ticket.vector = vector
    except Exception as error:
        if len(batch) == 1:
            batch[0].error = error
            return
        for ticket in batch:
            _encode([ticket])


_of_this_process = Batcher()
encode = _of_this_process.encode
