"""Attended time: it passes while somebody accepts data, so an outage of ours silences nobody."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import NEVER
from fleetpulse.effects import I64
from fleetpulse.profile import OFFLINE_AFTER_MIN_S

STEP_MAX_US = 2_000_000
"""Ticks come every second; what passes between two of them beyond this was not attended."""
LOOK_US = round(OFFLINE_AFTER_MIN_S * 1e6)
"""Whoever is heard has at least so long until it may be silent."""


@dataclass(slots=True)
class AttendedClock:
    """A partition's attended time at its last tick, and that tick's log time."""

    attended_us: int = 0
    tick_us: int = NEVER
    quiet_until_us: int = 0
    """Attended time before which no device can fall silent; a bound, found anew at need."""

    def follow(self, log_time_us: I64, ticks: NDArray[np.bool_] | None) -> I64:
        """Attended time at each record of a batch, given their log times and which are ticks."""
        if ticks is None or not ticks.any():
            return self.attended_us + np.minimum(log_time_us - self.tick_us, STEP_MAX_US)
        tick_us = np.concatenate(([self.tick_us], log_time_us[ticks]))
        steps = np.minimum(np.diff(tick_us), STEP_MAX_US)
        attended_us = self.attended_us + np.concatenate(([0], np.cumsum(steps)))
        newest = np.cumsum(ticks)
        self.attended_us, self.tick_us = int(attended_us[-1]), int(tick_us[-1])
        return attended_us[newest] + np.minimum(log_time_us - tick_us[newest], STEP_MAX_US)
