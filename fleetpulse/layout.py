"""Slot arithmetic of a profile: how time becomes slots, windows, seconds and a ring.

slot = round(t / period) counted from the Unix epoch, so that it depends on nothing but the sample.
"""

from dataclasses import dataclass

import numpy as np

from fleetpulse.effects import I64
from fleetpulse.profile import SECOND_NS, Profile


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in slots, all from one profile, which says what they are."""

    channels: int
    period_ns: int
    window: int
    hop: int
    lateness: int
    second: int
    run_max: int
    ring: int

    @classmethod
    def of(cls, profile: Profile) -> "Layout":
        """The layout of a profile."""
        return cls(
            channels=len(profile.channels),
            period_ns=profile.period_ns,
            window=profile.window.size,
            hop=profile.window.hop,
            lateness=profile.lateness_slots,
            second=profile.second_slots,
            run_max=profile.run_slots,
            ring=profile.ring_slots,
        )

    @property
    def unit(self) -> int:
        """Slots of the longest unit: what lies further before settled is in none that is open."""
        return max(self.window, self.second)

    def slots_of(self, t_ns: I64) -> I64:
        """The nearest slot of each event time; halves round up."""
        return (t_ns + self.period_ns // 2) // self.period_ns

    def time_us(self, slots: I64) -> I64:
        """Event time of each slot."""
        return slots * self.period_ns // 1000

    def second_of(self, slots: I64) -> I64:
        """The second since the epoch that each slot lies in."""
        return slots * self.period_ns // SECOND_NS

    def second_start(self, seconds: I64) -> I64:
        """The first slot of each second."""
        return -(-seconds * SECOND_NS // self.period_ns)

    def windows_closed(self, settled: I64, phases: I64) -> I64:
        """Index of the newest window of a device that ends at or before `settled`.

        Window k covers slots [k * hop + phase, k * hop + phase + window).
        """
        return (settled - self.window - phases) // self.hop

    def window_end(self, index: I64, phases: I64) -> I64:
        """The slot after each window's last one."""
        return index * self.hop + phases + self.window

    def seconds_closed(self, settled: I64) -> I64:
        """Position of the newest closed second; positions are seconds, or slots below 1 Hz."""
        if self.second == 1:
            return settled - 1
        return self.second_of(settled) - 1

    def second_spans(self, positions: I64) -> tuple[I64, I64, I64]:
        """Of each position: its second since the epoch, first slot and number of slots."""
        if self.second == 1:
            return self.second_of(positions), positions, np.ones_like(positions)
        starts = self.second_start(positions)
        return positions, starts, self.second_start(positions + 1) - starts
