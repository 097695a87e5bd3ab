"""No engine: the same code per device as the engines run, behind a bare Kafka client."""

import signal
import sys

from confluent_kafka import Consumer, Producer

from benchmarks.fleet.contenders.device import Device
from benchmarks.fleet.contenders.runtime import PLAN, Model, note_first, packed_score

_CONSUME_RECORDS = 1000
_CONSUME_S = 0.02


class Devices:
    """State and outputs of all devices that this process has seen."""

    def __init__(self) -> None:
        self._devices: dict[bytes, Device] = {}
        self._model = Model()
        self._producer = Producer(
            {
                "bootstrap.servers": PLAN.bootstrap,
                "compression.type": "lz4",
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
                "acks": "all",
            }
        )

    def take(self, key: bytes, value: bytes) -> None:
        """One record."""
        note_first()
        device = self._devices.get(key)
        if device is None:
            device = self._devices[key] = Device(key)
        seconds, windows = device.add(value)
        for second in seconds:
            self._producer.produce(PLAN.seconds, second, key)
        for start_us, samples in windows:
            score = packed_score(start_us, self._model.score(samples))
            self._producer.produce(PLAN.scores, score, key)
        self._producer.poll(0)


def consumer() -> Consumer:
    """Of the input, from its beginning."""
    opened = Consumer(
        {
            "bootstrap.servers": PLAN.bootstrap,
            "group.id": PLAN.group,
            "auto.offset.reset": "earliest",
            # The default of 1000 starves a fast consumer whenever its queue was full.
            "fetch.queue.backoff.ms": 5,
        }
    )
    opened.subscribe([PLAN.input])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return opened


def main() -> None:
    """Until a signal."""
    source, devices = consumer(), Devices()
    while True:
        for message in source.consume(_CONSUME_RECORDS, _CONSUME_S):
            devices.take(message.key() or b"", message.value() or b"")


if __name__ == "__main__":
    main()
