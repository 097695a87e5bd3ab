"""Attended time: it passes while somebody accepts data, so an outage of ours silences nobody."""

from dataclasses import dataclass

from fleetpulse.columns import NEVER
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
