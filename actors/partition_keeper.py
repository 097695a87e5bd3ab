"""Makes and drops the database's time partitions now and then, off the shard's loop."""

import logging
from threading import Event, Thread
from typing import Final, Protocol

from fleetpulse.errors import FleetpulseError

FIRST_S: Final = 10.0
"""After a start: what recovers has the machine to itself."""
logger = logging.getLogger(__name__)


class Tending(Protocol):
    """One round; at most seconds long."""

    def tend(self) -> list[str]:
        """Names of the partitions that were dropped; raises FleetpulseError."""


class PartitionKeeper:
    """Owns a thread. Every shard has one; the database lets one of them work at a time."""

    def __init__(self, partitions: Tending, *, interval_s: float) -> None:
        self._partitions = partitions
        self._interval_s = interval_s
        self._closing = Event()
        self._thread = Thread(target=self._run, name="partition-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        wait_s = min(FIRST_S, self._interval_s)
        while not self._closing.wait(wait_s):
            wait_s = self._interval_s
            try:
                if dropped := self._partitions.tend():
                    logger.info("retention dropped %s", ", ".join(dropped))
            except FleetpulseError as error:
                logger.warning("partitions are tended again in %g s: %s", wait_s, error)
            except Exception:
                logger.exception("partitions are tended again in %g s", wait_s)
