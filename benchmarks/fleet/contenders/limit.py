"""The columnar bound: bare Kafka client, numpy over all devices, batched model. No guarantees.

One process: this thread consumes, parses and cuts windows; others run the model.
"""

import signal
import sys
from queue import Queue
from threading import Thread
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, Message, Producer
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from benchmarks.fleet.contenders.columns import OpenSeconds, Tails, WindowBatch
from benchmarks.fleet.contenders.order import HeldFrames
from benchmarks.fleet.contenders.runtime import JOB, PLAN, Model, note_first
from benchmarks.fleet.job import CHANNELS, SCORE, WINDOW

_CONSUME_RECORDS: Final = 10_000
_CONSUME_S: Final = 0.01
_MODEL_BATCH: Final = 64
_SCORERS: Final = 2
_FRAME: Final = np.dtype(
    [
        ("tag", "u1"),
        ("t0_us", "<i8"),
        ("header", "u1", JOB.header_bytes - 9),
        ("samples", "<f4", (JOB.frame_samples, CHANNELS)),
    ]
)


class Limit:
    """Takes batches of records in the main thread."""

    def __init__(self) -> None:
        keys = JOB.device_keys()
        self._keys = np.array(keys, object)
        self._index = {key: number for number, key in enumerate(keys)}
        self._seconds = OpenSeconds(JOB)
        self._tails = Tails(JOB, PLAN.start_us)
        self._held = HeldFrames(JOB, PLAN.start_us) if JOB.disorder else None
        self._model = Model()
        self._producer = Producer(
            {
                "bootstrap.servers": PLAN.bootstrap,
                "compression.type": "lz4",
                "linger.ms": 5,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 2_000_000,
                "acks": "all",
            }
        )
        self._batches: Queue[WindowBatch] = Queue(4)
        for _ in range(_SCORERS):
            Thread(target=self._score, daemon=True).start()

    def take(self, messages: list[Message]) -> None:
        """Records of any devices, each device's in log order."""
        if not messages:
            self._producer.poll(0)
            return
        note_first()
        frames = np.frombuffer(b"".join([m.value() or b"" for m in messages]), _FRAME)
        index = self._index
        device = np.array([index[m.key() or b""] for m in messages])
        order = np.argsort(device, kind="stable")
        device, start_us = device[order], frames["t0_us"][order]
        samples = frames["samples"][order]
        if self._held is not None:
            device, start_us, samples = self._held.ready(device, start_us, samples)
            if not len(device):
                return
        first = np.flatnonzero(np.append(True, device[1:] != device[:-1]))
        count = np.diff(np.append(first, len(device)))
        closed, rows = self._seconds.add(device[first], count, first, start_us, samples)
        if len(rows):
            self._send(PLAN.seconds, closed, rows)
        windows = self._tails.add(device[first], count, first, start_us, samples)
        if windows is not None:
            self._batches.put(windows)

    def _score(self) -> None:
        while True:
            batch = self._batches.get()
            step = batch.samples.strides[0]
            shape = (len(batch.samples) - WINDOW + 1, WINDOW, CHANNELS)
            view = as_strided(batch.samples, shape, (step, *batch.samples.strides))
            rows = np.empty(len(batch.device), SCORE)
            rows["start_us"] = batch.start_us
            for at in range(0, len(rows), _MODEL_BATCH):
                part = slice(at, at + _MODEL_BATCH)
                rows["score"][part] = self._model.scores(view[batch.row[part]])
            self._send(PLAN.scores, batch.device, rows)

    def _send(self, topic: str, device: NDArray[np.int64], rows: NDArray[Any]) -> None:
        raw, step = rows.tobytes(), rows.itemsize
        places = range(0, len(raw), step)
        records = [
            {"key": key, "value": raw[at : at + step]}
            for key, at in zip(self._keys[device].tolist(), places, strict=True)
        ]
        self._producer.produce_batch(topic, records)
        self._producer.poll(0)


def main() -> None:
    """Until a signal."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    limit = Limit()
    consumer = Consumer(
        {
            "bootstrap.servers": PLAN.bootstrap,
            "group.id": PLAN.group,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 65_536,
            # The default of 1000 starves a fast consumer whenever its queue was full.
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([PLAN.input])
    while True:
        limit.take(consumer.consume(_CONSUME_RECORDS, _CONSUME_S))


if __name__ == "__main__":
    main()
