"""What a stack starts and stops."""

from dataclasses import dataclass
from typing import Protocol

from fleetpulse.settings import Settings


@dataclass(frozen=True, slots=True)
class Started:
    """settings: what the next parts see. detail: for people, such as an address."""

    settings: Settings
    detail: str
    ray_address: str = ""


class Lost(Exception):
    """A part has ended, and what runs on it with it: all of that must be started anew."""


class Part(Protocol):
    """Something that a stack starts and stops."""

    name: str

    def start(self, settings: Settings) -> Started:
        """Start and wait until it serves; raises FleetpulseError. Also after `abandon`."""

    def stop(self, timeout_s: float) -> None:
        """End it within `timeout_s`. Called also when `start` failed half way."""

    def tend(self) -> str | None:
        """Start it again if it ended; returns what happened, None when all is well.

        Raises Lost when that cannot be done without those who run on it.
        """

    def abandon(self) -> None:
        """What it runs on has ended: let go of it without a word to it."""
