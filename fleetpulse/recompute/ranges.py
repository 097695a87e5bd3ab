"""Which results a range of event time touches, and where computing them must begin."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from fleetpulse.effects import RESOLUTION_S, Resolution
from fleetpulse.profile import Profile
from fleetpulse.rollups import LEVELS

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Event time [from_us, to_us)."""

    from_us: int
    to_us: int

    def touches(self, start_us: int, end_us: int) -> bool:
        """Whether [start_us, end_us) shares a moment with it."""
        return start_us < self.to_us and end_us > self.from_us

    def buckets(self, resolution: Resolution) -> Iterator[int]:
        """Starts of the buckets that it touches."""
        length_us = RESOLUTION_S[resolution] * 1_000_000
        return iter(range(self.from_us // length_us * length_us, self.to_us, length_us))


def left_out(changed: TimeRange, exact_from_us: int) -> Literal["nothing", "a part", "all"]:
    """How much of the buckets of a range begins before `exact_from_us`: the first one is its day.

    All: nothing of the range itself comes later.
    """
    if exact_from_us >= changed.to_us:
        return "all"
    return "a part" if exact_from_us > changed.from_us // DAY_US * DAY_US else "nothing"


def reach_us(profiles: Iterable[Profile]) -> int:
    """How far behind a sample the windows end that hold it."""
    return max(
        ((each.window.size + 1) * each.period_ns // 1000 + 1 for each in profiles), default=0
    )


def begin_log_time_us(
    changed: TimeRange, profile: Profile | None, session_us: int | None
) -> int | None:
    """The log time from which on records are needed; None: all that there are.

    Buckets begin with their day, sessions when none before can have gone on until then. Learned
    statistics go back to the device's first sample. session_us: when the first session started
    that reaches the range; None: there is none.
    """
    if profile is None or profile.model is None:
        return None
    first_us = changed.from_us // DAY_US * DAY_US
    if profile.session is not None:
        started_us = changed.from_us // 1_000_000 * 1_000_000
        if session_us is not None:
            started_us = min(started_us, session_us)
        first_us = min(first_us, started_us - profile.session.gap_s * 1_000_000)
    return first_us - warm_up_us(profile) - round(profile.future_bound_s * 1e6)


def warm_up_us(profile: Profile) -> int:
    """Event time after which windows, counters of the alert policy and deduplication are full."""
    rule, window = profile.alert, profile.window
    slots = window.size + window.hop * (rule.raise_after + rule.clear_after + 1)
    return slots * profile.period_ns // 1000 + round(rule.dedup_s * 1e6)


def learning_us(profile: Profile) -> int:
    """Event time in which a scorer that learns says nothing."""
    if profile.model is not None:
        return 0
    slots = profile.zscore.warmup_windows * profile.window.hop
    return slots * profile.period_ns // 1000


def open_buckets(touched: TimeRange, settled_us: int) -> list[tuple[Resolution, int]]:
    """Touched minutes, hours and days that had not ended at `settled_us`."""
    return [
        (level, start_us)
        for level in LEVELS
        for start_us in TimeRange(
            max(touched.from_us, min(settled_us, touched.to_us - 1)), touched.to_us
        ).buckets(level)
        if start_us + RESOLUTION_S[level] * 1_000_000 > settled_us
    ]
