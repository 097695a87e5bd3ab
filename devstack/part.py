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


class Part(Protocol):
    """Something that a stack starts and stops."""

    name: str

    def start(self, settings: Settings) -> Started:
        """Start and wait until it serves; raises FleetpulseError."""

    def stop(self, timeout_s: float) -> None:
        """End it within `timeout_s`. Called also when `start` failed half way."""

    def tend(self) -> str | None:
        """Start it again if it ended; returns what happened, None when all is well."""
