"""What people and programs ask of the warm store: the door, and the rows that come through it."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from fleetpulse.effects import SessionSummary

Resolution = Literal["minute", "hour", "day"]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device that was heard of."""

    tenant: str
    device_id: str
    profile: str
    first_seen_us: int
    alert_open: bool
    online: bool
    since_us: int
    """Log time of the newest change of `online`, or of the first record."""
    heard_us: int | None
    """Log time of the last record before it went offline."""


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


Measure = Literal["max", "mean", "over"]
"""Of a bucket's scores; over: how many were above the threshold."""


@dataclass(frozen=True, slots=True)
class TopQuestion:
    """Which devices of a tenant have the highest scores: so many of each bucket."""

    tenant: str
    resolution: Literal["hour", "day"]
    by: Measure
    buckets_us: range
    limit: int


@dataclass(frozen=True, slots=True)
class TopRow:
    """One device in one bucket."""

    bucket_us: int
    device_id: str
    profile: str
    score_count: int
    score_over: int
    score_max: float
    score_mean: float


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
    committed_at_us: int | None = field(default=None, compare=False)
    """Wall clock of the row's first commit, no result of the log; None: not known any more."""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert, and the view that it is of.

    view_epoch: 0 is the live view; else that of the recomputation that wrote the row last.
    withdrawn: by that recomputation. log_offset: up to where it read; None: not known any more.
    """

    row: AlertRow
    view_epoch: int = 0
    withdrawn: bool = False
    log_offset: int | None = None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session; ended_at_us and summary are None while it runs."""

    session_id: str
    tenant: str
    device_id: str
    profile: str
    started_at_us: int
    ended_at_us: int | None
    summary: SessionSummary | None


class PeriodKey(NamedTuple):
    """Where a page of alerts or sessions ended, newest first: the last one's begin and id."""

    begun_us: int
    name: str


@dataclass(frozen=True, slots=True)
class PeriodFilter:
    """Which alerts or sessions; None: no matter. Times are of the begin, `to_us` exclusive.

    open: whether it has not ended.
    """

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

    async def top(self, asked: TopQuestion) -> list[TopRow]:
        """Highest first within a bucket, oldest bucket first."""

    async def alerts(
        self, where: PeriodFilter, before: PeriodKey | None, limit: int
    ) -> list[AlertRow]:
        """Newest first, those older than `before`."""

    async def sessions(
        self, where: PeriodFilter, before: PeriodKey | None, limit: int
    ) -> list[SessionRow]:
        """Newest first, those older than `before`."""

    async def session(self, tenant: str, session_id: str) -> SessionRow | None:
        """One session."""

    async def offline_devices(self) -> set[bytes]:
        """Record keys of the devices that are offline."""

    async def open_alerts(self) -> set[bytes]:
        """Record keys of the devices with an open alert."""

    async def ping(self) -> None:
        """Return if the database answers."""

    async def close(self) -> None:
        """Give connections back."""
