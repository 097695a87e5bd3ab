"""What a benchmark run is: fleet, load, profile. Written as JSON for the processes that need it."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, Self

from fleetpulse.errors import ConfigError
from fleetpulse.identity import DEFAULT_TENANT
from fleetpulse.profile import Profile, profile_from_yaml
from fleetpulse.telemetry_pb2 import Assignment
from simulator.fleet import Fleet, FleetSpec
from simulator.schedule import Fault, FaultPlan
from simulator.transport import TransportPlan

Via = Literal["http", "kafka"]
GATEWAY_DEVICES: Final = 50
"""Whose frames share a request over HTTP."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A fleet that sends for a while. Its devices and its profile are of this run alone."""

    run: str
    devices: int
    rate_hz: float
    frame_samples: int
    seconds: float
    via: Via
    disorder: float
    duplicates: float
    lateness_ms: int
    ill: float
    """Share of devices that fall ill once."""
    profile_file: str
    behind_us: int = 0
    """How far event time is behind real time."""
    minute_after_s: float | None = None
    """Event time crosses a minute so long after the load's begin, at whatever time that is."""
    url: str = ""
    """Of the ingest, for `via` http."""
    at_a_word: bool = False
    """Say when ready and begin at a line of input, so that several begin together."""
    gather_ms: float = 2.0
    """So long a sender gathers frames that are due; over HTTP they share requests."""
    seed: int = 1
    late: float = 0.0
    """Share of frames that come after the lateness bound."""
    ahead_mb: int = 0
    """Memory for frames that are made before the load begins: making them takes CPU from others."""

    def __post_init__(self) -> None:
        if self.disorder and self.lateness_ms < 4 * self.frame_ms:
            raise ConfigError(
                f"--lateness-ms {self.lateness_ms}: reordered frames need at least"
                f" {4 * self.frame_ms:g}, or they are lost as late"
            )

    @property
    def frame_ms(self) -> float:
        """Time between two frames of a device."""
        return 1000 * self.frame_samples / self.rate_hz

    def begun_at(self, start_us: int) -> "LoadPlan":
        """The plan of a load that begins at this real time."""
        if self.minute_after_s is None:
            return self
        past_us = (start_us + round(self.minute_after_s * 1e6)) % 60_000_000
        return replace(self, behind_us=past_us)

    @property
    def rounds(self) -> int:
        """Frames per device."""
        return round(self.seconds * 1000 / self.frame_ms)

    @property
    def prefix(self) -> str:
        """Of the ids of this run's devices."""
        return f"bench{self.run}"

    @property
    def profile(self) -> Profile:
        """The base profile under this run's name, with its rate and lateness."""
        path = Path(self.profile_file)
        base = profile_from_yaml(path.read_text(), source=path.name)
        changes = {
            "name": self.prefix,
            "revision": 1,
            "rate_hz": self.rate_hz,
            "lateness_ms": self.lateness_ms,
            # Nobody goes offline while a run is being compared with its log.
            "offline_after_s": 3600.0,
            "block_samples_max": max(base.block_samples_max, self.frame_samples),
        }
        return Profile.model_validate(base.model_dump() | changes)

    @property
    def assignment(self) -> Assignment:
        """Of this run's devices to its profile."""
        return Assignment(
            tenant=DEFAULT_TENANT,
            device_pattern=f"{self.prefix}-*",
            profile=self.profile.name,
            profile_revision=self.profile.revision,
        )

    def fleet(self, *, start_us: int) -> Fleet:
        """The fleet, sending from `start_us` on."""
        faults = FaultPlan(
            probability=self.ill,
            round_s=self.seconds,
            duration_s=(3.0, 6.0),
            healthy_start_s=min(5.0, self.seconds / 4),
            faults=(Fault.IMBALANCE, Fault.BEARING),
        )
        transport = TransportPlan(
            reordered=self.disorder,
            duplicated=self.duplicates,
            late=self.late,
            lateness_s=self.lateness_ms / 1000,
        )
        spec = FleetSpec(
            devices=self.devices,
            rate_hz=self.rate_hz,
            frame_samples=self.frame_samples,
            seed=self.seed,
            faults=faults,
            transport=transport,
            gateway=GATEWAY_DEVICES if self.via == "http" else 1,
            prefix=self.prefix,
        )
        return Fleet(spec, start_us=start_us)

    def write(self, path: Path) -> None:
        """For another process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """As written."""
        return cls(**json.loads(path.read_text()))
