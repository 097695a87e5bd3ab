"""Finds the record that makes the core raise, so that it goes to `telemetry.dead` alone.

It outlives a shard's incarnations: the first failure marks the batch suspect; the next one takes
suspect records one by one and learns which of them is poison; the one after passes it by.
"""

from collections.abc import Iterator

import numpy as np

from fleetpulse.effects import Reason, Rejection
from fleetpulse.ports import RecordBatch

POISON_MAX = 10_000


class Quarantine:
    """Suspect offset ranges and poison records of a shard's partitions."""

    def __init__(self) -> None:
        self._suspect: dict[int, tuple[int, int]] = {}
        self._poison: dict[tuple[int, int], str] = {}

    def blame(self, batch: RecordBatch, error: Exception) -> None:
        """The core raised at this batch."""
        if len(batch) == 1:
            self._poison[int(batch.partitions[0]), int(batch.offsets[0])] = repr(error)[:500]
            if len(self._poison) > POISON_MAX:
                del self._poison[next(iter(self._poison))]
            return
        for partition in np.unique(batch.partitions).tolist():
            offsets = batch.offsets[batch.partitions == partition]
            first, last = int(offsets[0]), int(offsets[-1])
            low, high = self._suspect.get(partition, (first, last))
            self._suspect[partition] = (min(low, first), max(high, last))

    def singled_out(self, batch: RecordBatch) -> Iterator[tuple[RecordBatch, Rejection | None]]:
        """The batch, with suspect records alone; poison comes with its rejection."""
        if not self._suspect:
            yield batch, None
            return
        suspect = np.zeros(len(batch), bool)
        for partition, (first, last) in self._suspect.items():
            inside = (batch.offsets >= first) & (batch.offsets <= last)
            suspect |= (batch.partitions == partition) & inside
        begin = 0
        for i in np.flatnonzero(suspect).tolist():
            if begin < i:
                yield batch.slice(begin, i), None
            yield batch.slice(i, i + 1), self._rejection(batch, i)
            begin = i + 1
        if begin < len(batch):
            yield batch.slice(begin, len(batch)), None

    def _rejection(self, batch: RecordBatch, i: int) -> Rejection | None:
        at = int(batch.partitions[i]), int(batch.offsets[i])
        detail = self._poison.get(at)
        if detail is None:
            return None
        return Rejection(
            partition=at[0],
            offset=at[1],
            log_time_us=int(batch.log_time_us[i]),
            key=batch.keys[i],
            value=batch.values[i],
            reason=Reason.CORE_ERROR,
            detail=detail,
        )
