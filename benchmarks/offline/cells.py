"""Which values of a device count: first in log order, not below the watermark."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.offline.records import Frame, Life


@dataclass(frozen=True, slots=True)
class Series:
    """Accepted samples of a device. slots: int64 [n] ascending; values: float32 [n, channels]."""

    slots: NDArray[np.int64]
    values: NDArray[np.float32]
    settled: int
    """Nothing below this slot can still change."""
    accepted: int
    """Cells that hold a value."""
    late_offsets: list[int]
    settled_at_silence: list[int]
    """What was settled each time the device went offline."""


def accept(life: Life, *, after_recompute: bool = False) -> Series:
    """Apply a device's frames one by one. after_recompute: nothing comes too late."""
    cells = _Cells(len(life.rules.channels), life.rules.period_ns)
    late_offsets = []
    settled_at: dict[int, int] = {}
    for number, frame in enumerate(life.frames, 1):
        head = cells.head
        late_below = None if head is None else head - life.rules.lateness_slots
        watermark = None if after_recompute else late_below
        remembered = None if head is None else head - life.rules.ring_slots
        if cells.take(frame, watermark, remembered):
            late_offsets.append(frame.offset)
        if number in life.silences:
            settled_at[number] = cells.settled(life.rules.lateness_slots)
    slots = sorted(cells.rows)
    values = np.array([cells.rows[slot] for slot in slots], np.float32)
    return Series(
        slots=np.array(slots, np.int64),
        values=values,
        settled=cells.settled(life.rules.lateness_slots),
        accepted=int((~np.isnan(values)).sum()),
        late_offsets=late_offsets,
        settled_at_silence=[settled_at[number] for number in life.silences],
    )


class _Cells:
    """rows: slot -> values per channel, NaN where none was accepted."""

    def __init__(self, channels: int, period_ns: int) -> None:
        self.rows: dict[int, list[float]] = {}
        self.head: int | None = None
        self._channels = range(channels)
        self._period_ns = period_ns

    def take(self, frame: Frame, watermark: int | None, remembered: int | None) -> bool:
        """Accept what is not below the watermark; True when the record is late."""
        late = False
        half = self._period_ns // 2
        for k, row in enumerate(frame.rows.tolist()):
            slot = (frame.t0_ns + k * frame.period_ns + half) // self._period_ns
            held = self.rows.get(slot)
            if watermark is not None and remembered is not None and slot < watermark:
                late = late or slot < remembered or self._fills(held, row)
            elif held is None:
                self.rows[slot] = row
                self.head = slot + 1 if self.head is None else max(self.head, slot + 1)
            else:
                for c in self._channels:
                    if _absent(held[c]):
                        held[c] = row[c]
        return late

    def settled(self, lateness_slots: int) -> int:
        """The first slot at or above the watermark that lacks a channel, at most head."""
        if self.head is None:
            return 0
        slot = self.head - lateness_slots
        while slot < self.head and slot in self.rows and not any(map(_absent, self.rows[slot])):
            slot += 1
        return slot

    def _fills(self, held: list[float] | None, row: list[float]) -> bool:
        if held is None:
            return True
        return any(_absent(held[c]) and not _absent(row[c]) for c in self._channels)


def _absent(value: float) -> bool:
    return value != value  # noqa: PLR0124  # NaN, without a call per value
