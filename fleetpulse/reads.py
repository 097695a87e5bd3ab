"""What people and programs ask of the warm store: the door, and the rows that come through it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Resolution = Literal["minute", "hour", "day"]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device that was heard of."""

    tenant: str
    device_id: str
    profile: str
    first_seen_us: int
    alert_open: bool


@dataclass(frozen=True, slots=True)
class RollupRow:
    """One bucket. Lists have one element per channel; None where nothing was counted."""

    bucket_us: int
    profile: str
    channels: list[str]
    revision: int
    view_epoch: int
    count: list[int]
    min: list[float]
    max: list[float]
    mean: list[float]
    std: list[float]
    score_count: int
    score_over: int
    score_min: float
    score_max: float
    score_mean: float
    score_std: float


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert from raise to clear."""

    alert_id: str
    tenant: str
    device_id: str
    raised_at_us: int
    cleared_at_us: int | None
    window_start_us: int
    window_end_us: int
    score: float
    peak_score: float
    threshold: float
    model: str
    profile: str


class AlertKey(NamedTuple):
    """Where a page of alerts ended; newest first."""

    raised_at_us: int
    alert_id: str


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts; None: no matter. `from_us` inclusive, `to_us` exclusive, of the raise."""

    tenant: str
    device_id: str | None = None
    open: bool | None = None
    from_us: int | None = None
    to_us: int | None = None


class Reads(Protocol):
    """Reads that answer within seconds or raise DatabaseUnavailable."""

    async def devices(self, tenant: str, search: str, after: str, limit: int) -> list[DeviceRow]:
        """In order of id, those after `after` whose id contains `search`."""

    async def device(self, tenant: str, device_id: str) -> DeviceRow | None:
        """One device."""

    async def rollups(
        self,
        tenant: str,
        device_id: str,
        resolution: Resolution,
        from_us: int,
        to_us: int,
        limit: int,
    ) -> list[RollupRow]:
        """Buckets that start in [from_us, to_us), oldest first."""

    async def alerts(
        self, where: AlertFilter, before: AlertKey | None, limit: int
    ) -> list[AlertRow]:
        """Newest first, those older than `before`."""

    async def open_alerts(self) -> set[bytes]:
        """Record keys of the devices with an open alert."""

    async def ping(self) -> None:
        """Return if the database answers."""

    async def close(self) -> None:
        """Give connections back."""
