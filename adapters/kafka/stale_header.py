"""How whoever reads topic `alerts` knows what calls nobody: a header, so that the message itself
stays a function of the log.
"""

import time
from typing import Final

from fleetpulse.effects import AlertEvent
from fleetpulse.stale import is_stale

Headers = list[tuple[str, str | bytes | None]]

STALE: Final[Headers] = [("stale", b"true")]
"""Of alerts that are written too late, and of all corrections."""


def headers_of(alert: AlertEvent, stale_after_s: float) -> Headers | None:
    """Of an alert that is written now."""
    stale = is_stale(alert.at_us, time.time_ns() // 1000, stale_after_s)
    return STALE if stale else None
