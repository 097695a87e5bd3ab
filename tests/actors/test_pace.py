"""A shard that works off a backlog writes less often, and still at once what people wait for."""

import time
from collections.abc import Iterator, Mapping, Sequence
from queue import Queue

import pytest

from actors.sink_writer import BEHIND_FACTOR, SinkWriter
from fleetpulse.effects import Effects
from fleetpulse.ports import Advance, Claim

INTERVAL_S = 0.1
TIMEOUT_S = 10.0


class TimedSink:
    """Notes when each write came."""

    name = "timed"

    def __init__(self) -> None:
        self.written_s: Queue[float] = Queue()

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        raise AssertionError("nobody claims here")

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        self.written_s.put(time.monotonic())

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def sink() -> TimedSink:
    return TimedSink()


@pytest.fixture
def writer(sink: TimedSink) -> Iterator[SinkWriter]:
    urgent = iter([False, True])
    writer = SinkWriter(
        sink, interval_s=INTERVAL_S, backlog_max=10, urgent=lambda _: next(urgent, False)
    )
    yield writer
    writer.close()


def gap_s(writer: SinkWriter, sink: TimedSink) -> float:
    """Between the first write and the next one, which waited from then on."""
    writer.submit(Effects(), {0: Advance(1, 0, 1)})
    first_s = sink.written_s.get(timeout=TIMEOUT_S)
    writer.submit(Effects(), {0: Advance(1, 1, 2)})
    return sink.written_s.get(timeout=TIMEOUT_S) - first_s


def test_a_shard_that_is_behind_writes_less_often(sink: TimedSink) -> None:
    writer = SinkWriter(sink, interval_s=INTERVAL_S, backlog_max=10)
    writer.behind = True
    try:
        assert gap_s(writer, sink) > INTERVAL_S * BEHIND_FACTOR * 0.9
    finally:
        writer.close()


def test_what_is_urgent_does_not_wait_for_a_backlog(writer: SinkWriter, sink: TimedSink) -> None:
    writer.behind = True
    assert gap_s(writer, sink) < INTERVAL_S * BEHIND_FACTOR * 0.9


def test_a_writer_at_its_bound_writes_at_once_so_that_nobody_pauses_for_its_rest(
    sink: TimedSink,
) -> None:
    writer = SinkWriter(sink, interval_s=60.0, backlog_max=10)
    try:
        writer.submit(Effects(), {0: Advance(1, 0, 1)})
        sink.written_s.get(timeout=TIMEOUT_S)
        for offset in range(1, 11):
            writer.submit(Effects(), {0: Advance(1, offset, offset + 1)})
        sink.written_s.get(timeout=TIMEOUT_S)
        assert not writer.full
    finally:
        writer.close()
