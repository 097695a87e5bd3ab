"""What a step decides: rows for the sinks, in columns, each tagged with its partition.

A shell performs effects; it never changes them. Arrays of one batch share their first axis [n].
`devices` holds record keys (`tenant/device`). Event times are epoch microseconds.
"""

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from fleetpulse.profile import Profile

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Keys = list[bytes]


class Reason(StrEnum):
    """Why a record went to `telemetry.dead` or `telemetry.late`."""

    UNDECODABLE = "undecodable"
    BAD_KEY = "bad_key"
    BAD_CONTROL = "bad_control"
    WRONG_PARTITION = "wrong_partition"
    NO_PROFILE = "no_profile"
    WRONG_SHAPE = "wrong_shape"
    UNKNOWN_CHANNEL = "unknown_channel"
    NOT_FINITE = "not_finite"
    FUTURE = "future"
    PAST = "past"
    OVER_RATE = "over_rate"
    LATE = "late"
    CORE_ERROR = "core_error"


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Closed windows of one profile that wait for their scores.

    samples: float32 [n, size, channels], no NaN; row r of every other array belongs to it.
    """

    profile: Profile
    rows: I64
    end_slots: I64
    samples: F32


@dataclass(frozen=True, slots=True)
class ScoreRows:
    """Scores of one profile's windows. A window's end is exclusive."""

    profile: Profile
    partitions: I32
    devices: Keys
    window_start_us: I64
    window_end_us: I64
    scores: F32
    model: str
    threshold: float


Resolution = Literal["second", "minute", "hour", "day"]
RESOLUTION_S: dict[Resolution, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class RollupRows:
    """Closed buckets of one profile: statistics per channel and of the scores.

    count: int32 [n, channels]; min, max, mean, std: float64 [n, channels], NaN where count is 0.
    score_*: of the windows that ended in the bucket; NaN where score_count is 0.
    std is that of the population.
    """

    resolution: Resolution
    profile: Profile
    partitions: I32
    devices: Keys
    bucket_us: I64
    count: I32
    min: F64
    max: F64
    mean: F64
    std: F64
    score_count: I32
    score_over: I32
    score_min: F64
    score_max: F64
    score_mean: F64
    score_std: F64


AlertKind = Literal["raised", "cleared", "withdrawn"]
"""withdrawn: a recomputation found that the alert should not have been (never from a step)."""


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """An alert begins or ends. `alert_id` is a function of the device and the raising window."""

    partition: int
    alert_id: str
    tenant: str
    device_id: str
    kind: AlertKind
    at_us: int
    raised_at_us: int
    window_start_us: int
    window_end_us: int
    score: float
    peak_score: float
    threshold: float
    model: str
    profile: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that the core could not use (`dead`), or that came after its window (`late`)."""

    partition: int
    offset: int
    log_time_us: int
    key: bytes
    value: bytes
    reason: Reason
    detail: str
    first_us: int = 0
    last_us: int = 0


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """A device's first record in its current profile, by log time."""

    partition: int
    tenant: str
    device_id: str
    profile: str
    first_seen_us: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A device was deleted at this record: rows of it that were written before are to go."""

    partition: int
    offset: int
    log_time_us: int
    tenant: str
    device_id: str


PresenceKind = Literal["offline", "online"]


@dataclass(frozen=True, slots=True)
class Presence:
    """A device fell silent, or is heard again. Log times; heard_us: its last record before."""

    partition: int
    tenant: str
    device_id: str
    kind: PresenceKind
    at_us: int
    heard_us: int


SessionKind = Literal["started", "ended", "withdrawn"]
"""withdrawn: a recomputation found that it should not have been (never from a step)."""


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """Of a session's seconds: per channel, and of the scores; NaN where nothing was counted."""

    channels: tuple[str, ...]
    count: tuple[int, ...]
    min: tuple[float, ...]
    max: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    score_count: int
    score_over: int
    score_min: float
    score_max: float
    score_mean: float
    score_std: float


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """A session begins or ends. `session_id` is a function of the device and the start.

    ended_at_us and summary: None while it runs, and of one that was withdrawn.
    """

    partition: int
    session_id: str
    tenant: str
    device_id: str
    profile: str
    kind: SessionKind
    started_at_us: int
    ended_at_us: int | None
    summary: SessionSummary | None


DeviceEvent = Presence | SessionEvent | Forgotten


@dataclass(frozen=True, slots=True)
class SavepointAsked:
    """A partition's state right after this step is to be kept under a name."""

    partition: int
    name: str


@dataclass(slots=True)
class Effects:
    """Everything one or more steps decided, in log order per device."""

    scores: list[ScoreRows] = field(default_factory=list)
    rollups: list[RollupRows] = field(default_factory=list)
    alerts: list[AlertEvent] = field(default_factory=list)
    dead: list[Rejection] = field(default_factory=list)
    late: list[Rejection] = field(default_factory=list)
    devices: list[DeviceSeen] = field(default_factory=list)
    forgotten: list[Forgotten] = field(default_factory=list)
    """Come after all else of their step, and before all of the next."""
    presences: list[Presence] = field(default_factory=list)
    sessions: list[SessionEvent] = field(default_factory=list)
    savepoints: list[SavepointAsked] = field(default_factory=list)
    """For the shard; no sink writes them."""

    def extend(self, other: "Effects") -> None:
        """Append another step's effects."""
        self.scores += other.scores
        self.rollups += other.rollups
        self.alerts += other.alerts
        self.dead += other.dead
        self.late += other.late
        self.devices += other.devices
        self.forgotten += other.forgotten
        self.presences += other.presences
        self.sessions += other.sessions
        self.savepoints += other.savepoints

    def without(self, partitions: frozenset[int]) -> "Effects":
        """These effects less those of some partitions."""
        if not partitions:
            return self
        return Effects(
            scores=_kept(self.scores, partitions),
            rollups=_kept(self.rollups, partitions),
            alerts=[event for event in self.alerts if event.partition not in partitions],
            dead=[record for record in self.dead if record.partition not in partitions],
            late=[record for record in self.late if record.partition not in partitions],
            devices=[seen for seen in self.devices if seen.partition not in partitions],
            forgotten=[gone for gone in self.forgotten if gone.partition not in partitions],
            presences=[each for each in self.presences if each.partition not in partitions],
            sessions=[event for event in self.sessions if event.partition not in partitions],
            savepoints=[each for each in self.savepoints if each.partition not in partitions],
        )

    @property
    def empty(self) -> bool:
        """True when there is nothing to write."""
        return not any(getattr(self, part.name) for part in fields(self))


Rows = TypeVar("Rows", ScoreRows, RollupRows)


def _kept(batches: list[Rows], dropped: frozenset[int]) -> list[Rows]:
    """The rows of other partitions than the dropped ones; batches without any are left out."""
    kept = [np.flatnonzero(~np.isin(rows.partitions, list(dropped))) for rows in batches]
    return [taken(rows, keep) for rows, keep in zip(batches, kept, strict=True) if len(keep)]


def taken(rows: Rows, keep: I64) -> Rows:
    """Some of the rows, by index."""
    changed: dict[str, Any] = {"devices": [rows.devices[i] for i in keep.tolist()]}
    for spec in fields(rows):
        column = getattr(rows, spec.name)
        if isinstance(column, np.ndarray):
            changed[spec.name] = column[keep]
    return replace(rows, **changed)
