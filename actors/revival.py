"""How often something that ends by itself is started again."""

import time
from collections.abc import Callable

FIRST_WAIT_S = 0.5
WAIT_MAX_S = 30.0
STEADY_S = 60.0
"""What lived so long since its last start begins with a short wait again."""


class Revival:
    """At once the first time; then after a wait that doubles while it keeps ending."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wait_s = 0.0
        self._started_s = clock()

    def due(self) -> bool:
        """Asked when it has ended; True means that the caller starts it now."""
        now_s = self._clock()
        alive_s = now_s - self._started_s
        if alive_s > STEADY_S:
            self._wait_s = 0.0
        if alive_s < self._wait_s:
            return False
        self._wait_s = min(WAIT_MAX_S, max(FIRST_WAIT_S, 2 * self._wait_s))
        self._started_s = now_s
        return True
