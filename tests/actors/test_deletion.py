"""A deletion reaches each sink alone and in its place, whatever waits before and after it."""

import time
from threading import Event

from actors.commit import ALERT_SINK, Commit
from actors.partitions import OwnedPartition, Ownership, SinkPosition
from actors.sink_writer import SinkWriter
from fleetpulse.effects import DeviceSeen, Effects, Forgotten
from fleetpulse.ports import Advance, Claim
from tests.core.logs import PARTITIONS
from tests.core.test_pause_and_forget import begun, forget

SEEN = DeviceSeen(0, "default", "pump-1", "pump@1", 0)
GONE = Forgotten(0, 3, 0, "default", "pump-1")


class SlowSink:
    """Notes each write; the first one waits, so that the rest piles up behind it."""

    name = "slow"

    def __init__(self) -> None:
        self.writes: list[tuple[str, int, int]] = []
        self.go = Event()
        self.begun = Event()

    def claim(self, partitions: object) -> dict[int, Claim]:
        raise AssertionError("nobody claims here")

    def write(self, effects: Effects, advance: dict[int, Advance]) -> None:
        self.begun.set()
        self.go.wait(5)
        kind = f"{len(effects.devices)} seen, {len(effects.forgotten)} gone"
        step = advance[0]
        self.writes.append((kind, step.previous_offset, step.next_offset))

    def close(self) -> None: ...


def test_a_deletion_is_written_alone_between_what_came_before_and_after() -> None:
    sink = SlowSink()
    writer = SinkWriter(sink, interval_s=0.001, backlog_max=10)  # type: ignore[arg-type]
    seen, gone = Effects(devices=[SEEN]), Effects(forgotten=[GONE])
    for offset, effects in enumerate([seen, seen, seen, gone, seen, seen]):
        writer.submit(effects, {0: Advance(1, offset, offset + 1)})
        if not offset:
            assert sink.begun.wait(5)
    sink.go.set()
    writer.drain(time.monotonic() + 5)
    writer.close()
    assert sink.writes == [
        ("1 seen, 0 gone", 0, 1),
        ("2 seen, 0 gone", 1, 3),
        ("0 seen, 1 gone", 3, 4),
        ("2 seen, 0 gone", 4, 6),
    ]


def test_a_deletion_that_was_committed_before_a_crash_is_told_again() -> None:
    log = begun()
    forget(log, "pump-1")
    sinks = {ALERT_SINK: SinkPosition(1, len(log.keys))}
    owned = {each: OwnedPartition(0, sinks, 0) for each in range(PARTITIONS)}
    retold = Commit([], Ownership(owned)).take(log.batch(), Effects(forgotten=[GONE]), 0.0)
    assert retold.forgotten == [GONE]
