"""A write whose proof of ownership is outdated waits for the loop's next poll, never for itself."""

import time
from collections.abc import Iterator, Mapping, Sequence
from threading import Event

import pytest

from actors.sink_writer import DRAIN_OUTDATED_S, SinkWriter
from fleetpulse.effects import Effects
from fleetpulse.errors import ProofOutdated
from fleetpulse.ports import Advance, Claim

TIMEOUT_S = 10.0


class GroupThatMovedOn:
    """Refuses writes until the loop has polled."""

    name = "outdated"

    def __init__(self) -> None:
        self.polled, self.refused, self.written = Event(), Event(), Event()

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        return {each: Claim(1, None) for each in partitions}

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        if not self.polled.is_set():
            self.refused.set()
            raise ProofOutdated("the group has moved on", retry_after_s=0.01)
        self.written.set()

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def group() -> GroupThatMovedOn:
    return GroupThatMovedOn()


@pytest.fixture
def writer(group: GroupThatMovedOn) -> Iterator[SinkWriter]:
    writer = SinkWriter(group, interval_s=0.001, backlog_max=10)
    writer.submit(Effects(), {0: Advance(1, 0, 1)})
    assert group.refused.wait(TIMEOUT_S)
    yield writer
    writer.close()


def test_a_claim_is_answered_meanwhile_so_that_the_loop_can_poll(
    writer: SinkWriter, group: GroupThatMovedOn
) -> None:
    begun_s = time.monotonic()
    assert writer.claim([3]) == {3: Claim(1, None)}
    assert time.monotonic() - begun_s < 2.0
    group.polled.set()
    assert group.written.wait(TIMEOUT_S)


def test_whoever_drains_learns_soon_that_the_partitions_are_gone(writer: SinkWriter) -> None:
    begun_s = time.monotonic()
    with pytest.raises(ProofOutdated):
        writer.drain(begun_s + 60.0)
    assert time.monotonic() - begun_s < DRAIN_OUTDATED_S + 2.0


def test_a_poll_in_time_lets_the_drain_finish(writer: SinkWriter, group: GroupThatMovedOn) -> None:
    group.polled.set()
    writer.drain(time.monotonic() + TIMEOUT_S)
    assert group.written.is_set()
