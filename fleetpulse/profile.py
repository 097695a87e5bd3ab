"""Profiles: what a kind of device measures, how its windows are cut and when it alarms.

A profile revision is immutable. It reaches the shards as a control record in the log, so that
results stay a function of the log; nothing here reads a file or a registry.
"""

from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fleetpulse.errors import ConfigError

CHANNELS_MAX = 64
CHANNEL_NAME_MAX = 128
RING_VALUES_MAX = 1 << 23
"""Values kept per device: 32 MiB."""
RUN_NS_MAX = 2_000_000_000_000_000_000
"""Two frames at a device's rate; with a log time added it fits 63 bits."""
TEXT_MAX = 65_536
"""Characters of YAML: its parser takes milliseconds per kilobyte."""
SECOND_NS = 1_000_000_000
OFFLINE_AFTER_S = 30.0
OFFLINE_AFTER_MIN_S = 5.0


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WindowSpec(_Frozen):
    """Sliding windows of slots that the model scores."""

    size: int = Field(256, ge=1, le=65_536)
    """Slots per window."""
    hop: int = Field(128, ge=1, le=65_536)
    """Slots between the starts of two windows."""
    coverage_min: float = Field(0.9, gt=0, le=1)
    """Share of present values a window needs; below it the window is not scored."""
    aligned: bool = False
    """True starts every device's windows at the same slots; False spreads them by device."""


class ZScoreSpec(_Frozen):
    """Streaming z-score of window means, for profiles without a model."""

    half_life_windows: float = Field(500.0, gt=0)
    """Windows after which an observation weighs half in the running mean and variance."""
    warmup_windows: int = Field(100, ge=2)
    """Windows that only teach: they score 0."""
    deviation_floor: float = Field(1e-6, gt=0)
    """Smallest standard deviation used, in the channel's unit."""


class AlertRule(_Frozen):
    """When a device's scores become an alert, and when the alert ends."""

    threshold: float = Field(gt=0)
    """Scores above it count towards an alert."""
    raise_after: int = Field(2, ge=1, le=1000)
    """Consecutive windows above the threshold that raise an alert."""
    clear_ratio: float = Field(0.8, gt=0, le=1)
    """Hysteresis: scores below threshold * clear_ratio count towards clearing."""
    clear_after: int = Field(4, ge=1, le=1000)
    """Consecutive windows below that clear it."""
    dedup_s: float = Field(60.0, ge=0, le=1e9)
    """After an alert cleared, a new one is raised at the earliest this much event time later."""


class RateLimit(_Frozen):
    """How much more than its rate a device may send, measured in log time."""

    factor: float = Field(4.0, ge=1, le=1e6)
    """Times `rate_hz` that it may send for ever."""
    burst_s: float = Field(300.0, ge=0, le=1e7)
    """Seconds of data that it may send at once, as after an outage; at least two frames."""


class SessionSpec(_Frozen):
    """When a device is at work: a channel above a level."""

    channel: str
    above: float
    """A second is active if its largest value of the channel is above this."""
    gap_s: int = Field(60, ge=1, le=86_400)
    """Event time without an active second that ends a session."""


class Profile(_Frozen):
    """One revision of one kind of device."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    revision: int = Field(1, ge=1, lt=1 << 31)
    channels: tuple[str, ...] = Field(min_length=1, max_length=CHANNELS_MAX)
    rate_hz: float = Field(ge=1e-5, le=20_000)
    """Slots per second. At 20 kHz the samples of a day still fit the rollups' int32 counts."""
    lateness_ms: int = Field(0, ge=0, le=3_600_000)
    """How far a sample may be behind its device's newest one and still count."""
    past_bound_s: float = Field(86_400.0, gt=0, le=4e9)
    """How far event time may be behind log time."""
    future_bound_s: float = Field(5.0, gt=0, le=3600)
    """How far event time may be ahead of log time."""
    block_samples_max: int = Field(200, ge=1, le=65_536)
    """Longest frame that is accepted."""
    rate_limit: RateLimit | None = RateLimit()
    """Records beyond it are refused; None: whatever is sent is taken."""
    window: WindowSpec = WindowSpec()
    model: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+@[0-9]+$")
    """`name@version` of the ONNX model; None scores windows by `zscore`."""
    zscore: ZScoreSpec = ZScoreSpec()
    alert: AlertRule
    offline_after_s: float | None = Field(None, ge=0, le=1e7)
    """Silence that makes a device offline; at least 5. 0: never. None: 30, or three periods."""
    session: SessionSpec | None = None

    @field_validator("channels", mode="before")
    @classmethod
    def _ordered(cls, channels: object) -> object:
        if not isinstance(channels, list | tuple):
            why = "must be a list: the order of channels is that of the samples"
            raise ValueError(why)  # noqa: TRY004  # pydantic reports ValueError
        return channels

    @field_validator("channels")
    @classmethod
    def _usable_names(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(channels)) != len(channels):
            raise ValueError("channel names must be distinct")
        for name in channels:
            if not (name.isprintable() and 1 <= len(name) <= CHANNEL_NAME_MAX):
                raise ValueError(
                    f"channel names must be 1 to {CHANNEL_NAME_MAX} printable characters"
                )
        return channels

    @model_validator(mode="after")
    def _hop_within_window(self) -> Self:
        if self.window.hop > self.window.size:
            raise ValueError("window.hop must not exceed window.size")
        return self

    @model_validator(mode="after")
    def _silence_and_sessions(self) -> Self:
        if self.offline_after_s and self.offline_after_s < OFFLINE_AFTER_MIN_S:
            raise ValueError(f"offline_after_s must be 0 or at least {OFFLINE_AFTER_MIN_S:g}")
        if self.session is not None:
            if self.session.channel not in self.channels:
                raise ValueError("session.channel must be one of the channels")
            if not self.offline_after_us:
                raise ValueError("session needs offline_after_s: silence ends a session")
        return self

    @model_validator(mode="after")
    def _bounded_memory(self) -> Self:
        if self.ring_slots * len(self.channels) > RING_VALUES_MAX:
            raise ValueError(
                f"window.size, rate_hz, lateness_ms and block_samples_max need {self.ring_slots} "
                f"slots of {len(self.channels)} channels per device; at most {RING_VALUES_MAX} "
                "values are kept"
            )
        return self

    @model_validator(mode="after")
    def _bounded_account(self) -> Self:
        if self.rate_limit is not None and self.run_slots * self.period_ns > RUN_NS_MAX:
            raise ValueError(
                "rate_limit: two frames of block_samples_max samples last more than 60 years; "
                "null takes whatever is sent"
            )
        return self

    @property
    def ref(self) -> str:
        """`name@revision`."""
        return f"{self.name}@{self.revision}"

    @property
    def scorer(self) -> str:
        """What scores the windows: the model's `name@version`, or `zscore@1`."""
        return self.model or "zscore@1"

    @property
    def period_ns(self) -> int:
        """Distance of two slots."""
        return round(SECOND_NS / self.rate_hz)

    @property
    def offline_after_us(self) -> int:
        """Attended time without a record after which a device is offline; 0: never."""
        if self.offline_after_s is None:
            return max(round(OFFLINE_AFTER_S * 1e6), 3 * self.period_ns // 1000)
        return round(self.offline_after_s * 1e6)

    @property
    def lateness_slots(self) -> int:
        """The lateness bound, rounded up to slots."""
        return -(-self.lateness_ms * 1_000_000 // self.period_ns)

    @property
    def second_slots(self) -> int:
        """Most slots in one second; 1 for rates below 1 Hz."""
        return max(1, -(-SECOND_NS // self.period_ns))

    @property
    def run_slots(self) -> int:
        """Most slots that are applied to a device at once."""
        return 2 * self.block_samples_max

    @property
    def ring_slots(self) -> int:
        """Slots kept per device: the longest open unit, the lateness bound and one run."""
        return max(self.window.size, self.second_slots) + self.lateness_slots + self.run_slots

    def to_yaml(self) -> str:
        """The text a control record carries."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def profile_from_yaml(text: str, *, source: str = "profile") -> Profile:
    """Parse and validate; raises ConfigError naming source and field."""
    if len(text) > TEXT_MAX:
        raise ConfigError(f"{source}: is longer than {TEXT_MAX} characters")
    try:
        document = yaml.safe_load(text)
    except Exception as error:  # a hostile scalar or depth raises far more than YAMLError
        raise ConfigError(f"{source}: not valid YAML: {error}") from error
    try:
        return Profile.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "profile"
        raise ConfigError(f"{source}: {field}: {first['msg']}") from error
