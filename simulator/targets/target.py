"""What every target can do."""

from typing import Protocol

from simulator.framing import Frames
from simulator.tally import Tally


class Target(Protocol):
    """Takes frames from one thread, in order of their due time."""

    tally: Tally

    def send(self, frames: Frames) -> None:
        """Hand frames over; blocks while as much as allowed is under way."""

    def close(self, timeout_s: float) -> None:
        """Wait until all that was handed over has an outcome; what has none by then failed."""
