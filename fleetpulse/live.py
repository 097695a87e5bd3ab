"""What a shard tells the live hub, and what a device handle answers: immutable copies."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F32, I64, AlertEvent, DeviceEvent


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """Where a shard is in one partition. lag: records between next_offset and the log's end."""

    partition: int
    next_offset: int
    lag: int
    log_time_us: int
    snapshot_offset: int
    state: str
    """running, recovering, paused or stopped."""
    remedy: str = ""
    """What a person can do about a stopped or paused partition."""
    behind_s: float = 0.0
    """How old the newest record is that was processed, while others wait; else 0."""
    busy_fraction: float = 0.0
    """Share of the last seconds that the shard spent with this partition."""
    restore_s: float = 0.0
    """How long its state took to come back when the shard took it over."""
    replay_s: float = 0.0
    """Processing time since the snapshot: what a replay would take."""
    snapshot_age_s: float = 0.0
    """Since the snapshot became valid, or since the shard took the partition over."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What goes wrong, how often of late, and since when. One of device and partition is known."""

    cause: str
    """A Reason, or a word of whoever found it."""
    count: int
    since_us: int
    device: str = ""
    """tenant/device, as the record's key says."""
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """A shard's counters since its start, and its partitions."""

    shard: str
    pid: int
    partitions: tuple[PartitionStatus, ...]
    records_total: int
    samples_total: int
    windows_total: int
    alerts_total: int
    dead_total: int
    late_total: int
    devices: int
    busy_fraction: float
    step_ms: float
    commit_ms: float
    paused_total: int = 0
    """Records of paused devices."""
    passive: int = 0
    """Devices whose state is stored, not in memory."""
    device_bytes: int = 0
    """Memory of the states of the others."""
    causes: tuple[Cause, ...] = ()
    """Devices whose records were refused, of the last minutes."""


@dataclass(frozen=True, slots=True)
class LiveSamples:
    """Newest samples of a watched device.

    t_us: int64 [n]; values: float32 [n, channels], NaN where absent.
    """

    device: bytes
    channels: tuple[str, ...]
    t_us: NDArray[np.int64]
    values: F32


@dataclass(frozen=True, slots=True)
class LiveAlert:
    """An alert event as it is published. stale: too old to call a person for."""

    event: AlertEvent
    stale: bool


@dataclass(frozen=True, slots=True)
class LiveScore:
    """One window's score of a watched device."""

    device: bytes
    end_us: int
    score: float
    threshold: float
    model: str


@dataclass(frozen=True, slots=True)
class LivePicture:
    """Devices that a shard heard since its last picture, each once.

    keys: record keys, those with a score first. scores, thresholds, score_us: of the newest window
    of each that has one; they are shorter than keys. latencies_ms: end of window -> decided by the
    shard, of a sample of the windows.
    """

    keys: list[bytes]
    scores: F32
    thresholds: F32
    score_us: I64
    latencies_ms: F32


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """One push of a shard. Alerts and events are in PostgreSQL; the rest may be ahead of it."""

    status: ShardStatus | None = None
    picture: LivePicture | None = None
    """With the status, once per period; what follows is pushed as soon as there is some."""
    scores: list[LiveScore] = field(default_factory=list)
    alerts: list[LiveAlert] = field(default_factory=list)
    events: list[DeviceEvent] = field(default_factory=list)
    samples: list[LiveSamples] = field(default_factory=list)
    forgotten: list[bytes] = field(default_factory=list)
    """Record keys of devices that were deleted; after the picture."""

    @property
    def empty(self) -> bool:
        """Whether it says nothing."""
        told = (self.scores, self.alerts, self.events, self.samples, self.forgotten)
        return self.status is None and self.picture is None and not any(told)


@dataclass(frozen=True, slots=True)
class LiveWish:
    """What the hub wants of a shard until the next push."""

    watched: frozenset[bytes]
    """Devices whose samples and scores somebody looks at."""
    picture_s: float
    """Period of status and picture."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device as its actor holds it, at one offset of its partition."""

    tenant: str
    device_id: str
    profile: str
    partition: int
    channels: tuple[str, ...]
    last_us: int
    """Event time of the newest sample."""
    last: tuple[float, ...]
    """Newest value per channel; NaN: never seen."""
    watermark_us: int
    window: F32
    """float32 [size, channels]: the newest slots, NaN where absent."""
    window_end_us: int
    score: float
    """Of the newest scored window; NaN: none yet."""
    score_end_us: int
    """0: none yet."""
    threshold: float
    alert_open: bool
    alert_id: str
    alert_raised_us: int
