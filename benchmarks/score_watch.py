"""Receives every committed score as it appears, and when."""

import time
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event, Thread

from confluent_kafka import TopicPartition as Place

from benchmarks.topics import consumer, end_offsets
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Score

_BATCH = 1000
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Received:
    """A score. received_us: when a read_committed consumer had it."""

    key: bytes
    start_us: int
    end_us: int
    partition: int
    received_us: int


@dataclass(slots=True)
class ScoreWatch:
    """Reads topic `scores` from where it ends at `start`, in a thread of its own."""

    settings: KafkaSettings
    _raw: list[tuple[int, int, bytes, bytes]] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Watch from here on."""
        ends = end_offsets(self.settings, "scores")
        self._thread = Thread(target=self._run, args=(ends,), name="score-watch", daemon=True)
        self._thread.start()

    @property
    def count(self) -> int:
        """Scores so far."""
        return len(self._raw)

    def stop(self) -> list[Received]:
        """End watching; everything in order of receipt."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        received = []
        for at_us, partition, key, value in self._raw:
            score = Score.FromString(value)
            received.append(
                Received(key, score.window_start_us, score.window_end_us, partition, at_us)
            )
        return received

    def _run(self, ends: dict[int, int]) -> None:
        topic = self.settings.topic("scores")
        with consumer(self.settings, **{"enable.partition.eof": False}) as reader:
            reader.assign([Place(topic, partition, end) for partition, end in ends.items()])
            while not self._stop.is_set():
                # consume alone would wait until the batch is full
                first = reader.poll(_POLL_S)
                if first is None:
                    continue
                messages = [first, *reader.consume(_BATCH, 0)]
                now_us = time.time_ns() // 1000
                for message in messages:
                    key, value, partition = message.key(), message.value(), message.partition()
                    if not message.error() and key and value and partition is not None:
                        self._raw.append((now_us, partition, key, value))


def longest_silence_s(received: list[Received], from_us: int, until_us: int) -> float:
    """The longest time that any partition went without a score between the two."""
    longest = 0
    for partition in {each.partition for each in received}:
        times = [from_us, until_us]
        times += [
            each.received_us
            for each in received
            if each.partition == partition and from_us < each.received_us < until_us
        ]
        times.sort()
        longest = max(longest, *(b - a for a, b in pairwise(times)))
    return longest / 1e6


def longest_pauses_s(received: list[Received], from_us: int) -> dict[bytes, float]:
    """Per device, the longest time between two of its scores since then."""
    last_us: dict[bytes, int] = {}
    longest: dict[bytes, float] = {}
    for each in received:
        if each.received_us >= from_us and each.key in last_us:
            pause_s = (each.received_us - last_us[each.key]) / 1e6
            longest[each.key] = max(longest.get(each.key, 0.0), pause_s)
        last_us[each.key] = each.received_us
    return longest
