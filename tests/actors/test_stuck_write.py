"""A write that never returns: the shard gives its incarnation up and does not wait for it."""

import time
from collections.abc import Mapping, Sequence
from threading import Event

import pytest

from actors.sink_writer import SinkWriter
from fleetpulse.effects import Effects
from fleetpulse.errors import RetryLater
from fleetpulse.ports import Advance, Claim


class StuckSink:
    """As a call into a client library that ignores its time limit."""

    name = "kafka"

    def __init__(self) -> None:
        self.entered, self.let_go = Event(), Event()

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        return {partition: Claim(1, None) for partition in partitions}

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        self.entered.set()
        assert self.let_go.wait(30)

    def close(self) -> None:
        pass


def test_a_write_that_does_not_return_ends_the_incarnation() -> None:
    sink = StuckSink()
    overdue = Event()
    writer = SinkWriter(sink, interval_s=0.0, backlog_max=4, is_stuck=overdue.is_set)
    writer.submit(Effects(), {0: Advance(1, 0, 1)})
    assert sink.entered.wait(5)
    assert not writer.full, "it may still return"
    overdue.set()
    with pytest.raises(RetryLater, match="does not return"):
        assert writer.full
    begun_s = time.monotonic()
    writer.close()
    assert time.monotonic() - begun_s < 1.0, "nobody waits for what never returns"
    sink.let_go.set()
