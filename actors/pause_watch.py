"""Which partitions a person has paused, as of the last seconds: asked off the shard's loop."""

import logging
from collections.abc import Mapping
from threading import Event, Thread
from typing import Final

from fleetpulse.errors import FleetpulseError
from fleetpulse.ports import PartitionPause, PartitionPauses

INTERVAL_S: Final = 1.0
logger = logging.getLogger(__name__)


class PauseWatch:
    """Owns `pauses` and a thread. While the database is away the last answer holds."""

    def __init__(self, pauses: PartitionPauses) -> None:
        """Asks once at once, so that a restarted shard fetches nothing that is paused."""
        self._pauses = pauses
        self.current: Mapping[int, PartitionPause] = pauses.current()  # replaced, never changed
        self._closing = Event()
        self._thread = Thread(target=self._run, name="pause-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._closing.wait(INTERVAL_S):
            try:
                self.current = self._pauses.current()
            except FleetpulseError as error:
                logger.warning("paused partitions: %s", error)
        self._pauses.close()
