"""Posts frames over HTTP as gateways do: one request carries a Batch of several devices."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final

import numpy as np

from fleetpulse.effects import I64
from fleetpulse.errors import RetryLater
from simulator.framing import Frames, device_field, encode_batch
from simulator.http_client import Answer, HttpConnection
from simulator.tally import Tally

WORKERS: Final = 8
"""Connections; each has one request under way."""
QUEUE_BATCHES: Final = 64
"""Batches that may wait per connection; beyond it `send` blocks."""
GIVE_UP_S: Final = 30.0
"""A batch that is not accepted within this time failed."""
_QUEUE_WAIT_S: Final = 0.2
_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_BUSY: Final = frozenset({429, 502, 503, 504})

Accepted = Callable[[I64, I64], None]
"""Device and frame numbers, int64 [n]."""


@dataclass(frozen=True, slots=True)
class _Batch:
    body: bytes
    samples: int
    device: I64
    sequence: I64


class HttpTarget:
    """A gateway's batches keep their order: they always take the same connection."""

    def __init__(
        self,
        url: str,
        device_ids: list[str],
        gateways: I64,
        *,
        frame_samples: int,
        stop: threading.Event | None = None,
        accepted: Accepted = lambda _device, _sequence: None,
    ) -> None:
        """gateways: int64 [devices], the gateway of each device. stop: `send` no longer waits.

        accepted: told, by several threads, which frames were answered 202.
        """
        self.tally = Tally()
        self._fields = [device_field(name) for name in device_ids]
        self._gateways = gateways
        self._frame_samples = frame_samples
        self._stop = stop or threading.Event()
        self._ending = threading.Event()
        self._workers = [_Worker(url, self.tally, accepted, self._ending) for _ in range(WORKERS)]

    def send(self, frames: Frames) -> None:
        """One batch per gateway that has frames here; blocks while a connection's queue is full."""
        gateway = self._gateways[frames.device]
        order = np.argsort(gateway, kind="stable")
        bounds = np.flatnonzero(np.diff(gateway[order])) + 1
        for rows in np.split(order, bounds):
            named = [frames.values[row] + self._fields[frames.device[row]] for row in rows]
            samples = len(named) * self._frame_samples
            self.tally.add_sent(samples)
            worker = self._workers[int(gateway[rows[0]]) % WORKERS]
            batch = _Batch(encode_batch(named), samples, frames.device[rows], frames.sequence[rows])
            worker.take(batch, self._stop)

    def close(self, timeout_s: float) -> None:
        """Let the queues drain, then end the threads."""
        deadline = time.monotonic() + timeout_s
        for worker in self._workers:
            worker.finish(max(0.0, deadline - time.monotonic()))
        self._ending.set()
        self.tally.settle()


class _Worker:
    """One connection and the thread that owns it."""

    def __init__(self, url: str, tally: Tally, accepted: Accepted, ending: threading.Event) -> None:
        self._queue: queue.Queue[_Batch | None] = queue.Queue(QUEUE_BATCHES)
        self._tally, self._accepted, self._ending = tally, accepted, ending
        self._connection = HttpConnection(url)
        self._thread = threading.Thread(target=self._run, name="http-target", daemon=True)
        self._thread.start()

    def take(self, batch: _Batch, stop: threading.Event) -> None:
        """Queue a batch; it fails if the queue does not move for as long as a batch may take."""
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return self._queue.put(batch, timeout=_QUEUE_WAIT_S)
            except queue.Full:
                if stop.is_set() or time.monotonic() > deadline:
                    return self._tally.add_failed(batch.samples, "the connection's queue is full")

    def finish(self, timeout_s: float) -> None:
        """No more batches follow; wait for those in the queue."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        with self._connection:
            while not self._ending.is_set():
                try:
                    batch = self._queue.get(timeout=_QUEUE_WAIT_S)
                except queue.Empty:
                    continue
                if batch is None:
                    return
                self._deliver(batch)

    def _deliver(self, batch: _Batch) -> None:
        begun = time.monotonic()
        for backoff_s in chain(_BACKOFF_S, repeat(_BACKOFF_S[-1])):
            problem, wait_s = self._attempt(batch, begun)
            if problem is None:
                return
            wait_s = wait_s or backoff_s
            if time.monotonic() + wait_s - begun > GIVE_UP_S or self._ending.wait(wait_s):
                self._tally.add_failed(batch.samples, problem)
                return
            self._tally.add_retry()

    def _attempt(self, batch: _Batch, begun: float) -> tuple[str | None, float | None]:
        """None when the batch has an outcome, else the problem and how long to wait."""
        try:
            answer = self._connection.post("/telemetry", batch.body)
        except RetryLater as error:
            return str(error), None
        if answer.status in _BUSY:
            return answer.reason, answer.retry_after_s
        self._count(answer, batch, time.monotonic() - begun)
        return None, None

    def _count(self, answer: Answer, batch: _Batch, duration_s: float) -> None:
        if answer.status == 202:
            self._tally.add_accepted(batch.samples, duration_s)
            self._accepted(batch.device, batch.sequence)
        else:
            self._tally.add_refused(batch.samples, answer.reason)
