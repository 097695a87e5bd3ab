"""Which windows a fleet's complete frames make, and which frame completed each: arithmetic only."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fleetpulse.profile import Profile

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SentFleet:
    """What was sent: every device `samples` samples without a gap, in frames of `frame_samples`.

    first_us: event time of each device's first sample, int64 [devices]. due_us: when each frame's
    first copy was to be sent, sent_us: when it was, int64 [devices, frames].
    """

    keys: list[bytes]
    first_us: I64
    due_us: I64
    sent_us: I64
    frame_samples: int

    @property
    def samples(self) -> int:
        """Of each device."""
        return int(self.due_us.shape[1]) * self.frame_samples


@dataclass(frozen=True, slots=True)
class Tally:
    """Windows of a run."""

    expected: int
    lost: int
    doubled: int
    unexpected: int
    samples_scored: int
    """Distinct samples in at least one scored window."""


class WindowLedger:
    """Expected windows per device against those seen."""

    def __init__(self, profile: Profile, fleet: SentFleet) -> None:
        self._profile = profile
        self._fleet = fleet
        period = profile.period_ns
        self._device = {key: at for at, key in enumerate(fleet.keys)}
        self._first: I64 = (fleet.first_us * 1000 + period // 2) // period
        hop = profile.window.hop
        phase = [0 if profile.window.aligned else crc32(key) % hop for key in fleet.keys]
        self._phase = np.array(phase, np.int64)
        size = profile.window.size
        # A window may begin before the first sample by what coverage allows.
        spare = size - int(np.ceil(profile.window.coverage_min * size))
        self._k_first: I64 = -(-(self._first - spare - self._phase) // hop)
        # A window closes when every frame up to its end is there, also a delayed earlier one.
        self._due_us: I64 = np.maximum.accumulate(fleet.due_us, axis=1)
        self._sent_us: I64 = np.maximum.accumulate(fleet.sent_us, axis=1)
        self._k_end: I64 = (self._first + fleet.samples - size - self._phase) // hop + 1

    def tally(self, seen: list[tuple[bytes, int]]) -> Tally:
        """seen: (device key, window start in epoch microseconds) of each score."""
        counts = np.maximum(0, self._k_end - self._k_first)
        offsets = np.cumsum(counts) - counts
        found = np.zeros(int(counts.sum()), np.int64)
        unexpected = 0
        for key, start_us in seen:
            device = self._device.get(key, -1)
            k = self._index(device, start_us) if device >= 0 else -1
            if device < 0 or not 0 <= k < counts[device]:
                unexpected += 1
            else:
                found[offsets[device] + k] += 1
        window = self._profile.window
        scored = 0
        for device in range(len(counts)):
            mine = found[offsets[device] : offsets[device] + counts[device]] > 0
            apart = int(mine.sum() - (mine[1:] & mine[:-1]).sum())
            scored += int(mine.sum()) * window.hop + apart * (window.size - window.hop)
        return Tally(
            expected=len(found),
            lost=int((found == 0).sum()),
            doubled=int(np.maximum(0, found - 1).sum()),
            unexpected=unexpected,
            samples_scored=min(scored, len(counts) * self._fleet.samples),
        )

    def due_us(self, key: bytes, window_end_us: int) -> int:
        """When the frame that completes this window was to be sent."""
        return int(self._due_us[self._frame(key, window_end_us)])

    def sent_us(self, key: bytes, window_end_us: int) -> int:
        """When the frame that completes this window was sent."""
        return int(self._sent_us[self._frame(key, window_end_us)])

    def _frame(self, key: bytes, window_end_us: int) -> tuple[int, int]:
        period_us = self._profile.period_ns / 1000
        device = self._device[key]
        elapsed_us = window_end_us - period_us / 2 - int(self._fleet.first_us[device])
        frame = int(elapsed_us // (self._fleet.frame_samples * period_us))
        return device, frame

    def knows(self, key: bytes) -> bool:
        """Whether the device is of this run."""
        return key in self._device

    def _index(self, device: int, start_us: int) -> int:
        period = self._profile.period_ns
        slot = (start_us * 1000 + period // 2) // period
        k, rest = divmod(slot - int(self._phase[device]), self._profile.window.hop)
        return int(k - self._k_first[device]) if rest == 0 else -1
