"""A partitioned log in memory, and the readers that share it as one group."""

import time
from collections.abc import Mapping, Sequence
from threading import Condition

import numpy as np

from fleetpulse.errors import PartitionStopped
from fleetpulse.ports import AssignmentListener, RecordBatch

Record = tuple[int, int, int, bytes, bytes]
"""Partition, offset, log time, key, value."""


class MemoryLog:
    """Records in order, and which reader owns which partition."""

    def __init__(self, partitions: int) -> None:
        self.records: list[list[Record]] = [[] for _ in range(partitions)]
        self.members: list[MemoryLogReader] = []
        self.owners: dict[int, MemoryLogReader] = {}
        self.changed = Condition()

    def append(self, partition: int, log_time_us: int, key: bytes, value: bytes) -> None:
        """Add a record at the end of a partition."""
        with self.changed:
            records = self.records[partition]
            records.append((partition, len(records), log_time_us, key, value))
            self.changed.notify_all()

    def meant_for(self, member: "MemoryLogReader") -> set[int]:
        """What a member should own: partitions are dealt out in turn."""
        if member not in self.members:
            return set()
        return set(range(self.members.index(member), len(self.records), len(self.members)))


class MemoryLogReader:
    """LogReader on a MemoryLog; a member from its construction until close."""

    def __init__(self, log: MemoryLog, listener: AssignmentListener) -> None:
        self._log = log
        self._listener = listener
        self._owned: set[int] = set()
        self._next: dict[int, int] = {}
        self._paused: set[int] = set()
        with log.changed:
            log.members.append(self)
            log.changed.notify_all()

    def poll(self, records_max: int, timeout_s: float) -> RecordBatch:
        """Next records; runs assignment callbacks. Raises PartitionStopped as the real one does."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._rebalance()
            with self._log.changed:
                taken = self._take(records_max)
                rest_s = deadline - time.monotonic()
                if taken or rest_s <= 0:
                    return _columns(taken)
                self._log.changed.wait(rest_s)

    def start(self, offsets: Mapping[int, int]) -> None:
        """Begin, or begin anew, at these offsets; also ends a pause."""
        self._next |= offsets
        self._paused -= offsets.keys()

    def pause(self, partitions: Sequence[int]) -> None:
        """Stop fetching, stay the owner."""
        self._paused |= set(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Fetch again."""
        self._paused -= set(partitions)

    def end_offset(self, partition: int) -> int | None:
        """The log's end."""
        return len(self._log.records[partition])

    def close(self) -> None:
        """Leave the group."""
        with self._log.changed:
            self._log.members = [each for each in self._log.members if each is not self]
        self._rebalance()

    def _rebalance(self) -> None:
        meant = self._log.meant_for(self)
        if gone := sorted(self._owned - meant):
            self._listener.revoked(gone)
            with self._log.changed:
                for each in gone:
                    del self._log.owners[each]
                    self._next.pop(each, None)
                self._owned -= set(gone)
                self._paused -= set(gone)
                self._log.changed.notify_all()
        with self._log.changed:
            added = sorted(meant - self._log.owners.keys())
            self._log.owners |= dict.fromkeys(added, self)
            self._owned |= set(added)
        if added:
            self._listener.assigned(added)

    def _take(self, records_max: int) -> list[Record]:
        taken: list[Record] = []
        for partition in sorted(self._next.keys() - self._paused):
            self._check(partition, self._next[partition])
        for partition in sorted(self._next.keys() - self._paused):
            offset = self._next[partition]
            found = self._log.records[partition][offset : offset + records_max - len(taken)]
            self._next[partition] = offset + len(found)
            taken += found
        return taken

    def _check(self, partition: int, offset: int) -> None:
        end = len(self._log.records[partition])
        if not 0 <= offset <= end:
            del self._next[partition]
            raise PartitionStopped(
                partition,
                f"the log does not have offset {offset}, only offsets 0 to {end}",
                remedy="start within this range",
            )


def _columns(records: list[Record]) -> RecordBatch:
    return RecordBatch(
        partitions=np.array([each[0] for each in records], np.int32),
        offsets=np.array([each[1] for each in records], np.int64),
        log_time_us=np.array([each[2] for each in records], np.int64),
        keys=[each[3] for each in records],
        values=[each[4] for each in records],
    )
