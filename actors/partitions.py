"""Where a shard is in each partition it owns, and which effects a sink already has.

After a recovery the shard replays from its snapshot. A sink that is further drops what it has:
batches are cut exactly at each sink's progress, so that a cut's effects are wholly old or new.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from actors.meter import BusyShare
from fleetpulse.ports import Advance, RecordBatch


@dataclass(slots=True)
class SinkPosition:
    """A sink's fence and the offset up to which effects were handed to it."""

    owner_epoch: int
    next_offset: int


@dataclass(slots=True)
class OwnedPartition:
    """One partition of a shard. next_offset: first record that the engine has not taken."""

    next_offset: int
    sinks: dict[str, SinkPosition]
    snapshot_offset: int
    restore_s: float = 0.0
    """How long its state took to come back when it was taken over."""
    saved_s: float = field(default_factory=time.monotonic)
    """When its newest snapshot became valid, or else it was taken over; on monotonic's scale."""
    log_time_us: int = 0
    busy_s: float = 0.0
    """Processing time since the snapshot: what a replay would take."""
    busy: BusyShare = field(default_factory=BusyShare)

    @property
    def replay_until(self) -> int:
        """The furthest sink; at or beyond it nothing is dropped any more."""
        return max(position.next_offset for position in self.sinks.values())


@dataclass(slots=True)
class Ownership:
    """All partitions of a shard; `stopped` ones are owned but not fetched, with their remedy."""

    owned: dict[int, OwnedPartition] = field(default_factory=dict)
    stopped: dict[int, str] = field(default_factory=dict)

    def cuts(self, batch: RecordBatch) -> Iterator[RecordBatch]:
        """Split a batch where a sink's progress lies, so that each cut is old or new to a sink."""
        recovering = {
            p: np.unique([s.next_offset for s in own.sinks.values()])
            for p, own in self.owned.items()
            if own.next_offset < own.replay_until
        }
        if not recovering:
            yield batch
            return
        segment = np.zeros(len(batch), np.int64)
        for partition, borders in recovering.items():
            mine = batch.partitions == partition
            segment[mine] = np.searchsorted(borders, batch.offsets[mine], side="right")
        for number in np.unique(segment):
            yield batch.take(np.flatnonzero(segment == number))

    def take(self, batch: RecordBatch, busy_s: float) -> dict[str, dict[int, Advance]]:
        """Note that the engine took a cut; answers what each sink must advance by.

        A partition that is absent from a sink's answer is old news to it: drop its effects there.
        """
        advances: dict[str, dict[int, Advance]] = {}
        for partition in batch.present():
            own = self.owned[partition]
            mine = np.flatnonzero(batch.partitions == partition)
            own.next_offset = int(batch.offsets[mine[-1]]) + 1
            own.log_time_us = max(own.log_time_us, int(batch.log_time_us[mine].max()))
            mine_s = busy_s * len(mine) / len(batch)
            own.busy_s += mine_s
            own.busy.spend(mine_s)
            for name, sink in own.sinks.items():
                if own.next_offset > sink.next_offset:
                    step = Advance(sink.owner_epoch, sink.next_offset, own.next_offset)
                    advances.setdefault(name, {})[partition] = step
                    sink.next_offset = own.next_offset
        return advances
