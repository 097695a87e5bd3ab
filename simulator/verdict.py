"""Compares alerts with the truth: which illnesses were met, which alerts were false."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

GRACE_US: Final = 3_000_000
"""An alert may come this long after an illness: two windows that still hold ill samples."""


@dataclass(frozen=True, slots=True)
class Illness:
    """What really happened to a device, in event time; the end is exclusive."""

    device_id: str
    kind: str
    start_us: int
    end_us: int
    noticeable: bool = True
    """False if the run ended so soon that nobody can ask for an alert: it cannot be missed."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A raised alert. raised_us: end of the window that raised it, event time."""

    device_id: str
    raised_us: int
    score: float


@dataclass(frozen=True, slots=True)
class Kind:
    """Of one kind of illness. seconds_p50: from onset to the alert."""

    begun: int
    met: int
    seconds_p50: float | None

    @property
    def missed(self) -> int:
        """Illnesses without an alert."""
        return self.begun - self.met


@dataclass(frozen=True, slots=True)
class Verdict:
    """By kind of illness, and the alerts that no illness explains."""

    kinds: dict[str, Kind]
    false_alerts: tuple[Alert, ...]
    alerts: int


def judge(illnesses: Iterable[Illness], alerts: Sequence[Alert], grace_us: int) -> Verdict:
    """An alert within an illness of its device, or `grace_us` after it, meets it."""
    by_device: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in sorted(alerts, key=lambda alert: alert.raised_us):
        by_device[alert.device_id].append(alert)
    explained: set[Alert] = set()
    delays_s: defaultdict[str, list[float]] = defaultdict(list)
    begun: defaultdict[str, int] = defaultdict(int)
    for illness in illnesses:
        during = [
            alert
            for alert in by_device[illness.device_id]
            if illness.start_us <= alert.raised_us < illness.end_us + grace_us
        ]
        explained.update(during)
        begun[illness.kind] += illness.noticeable or bool(during)
        if during:
            delays_s[illness.kind].append((during[0].raised_us - illness.start_us) / 1e6)
    kinds = {
        kind: Kind(
            begun=count,
            met=len(delays_s[kind]),
            seconds_p50=round(statistics.median(delays_s[kind]), 2) if delays_s[kind] else None,
        )
        for kind, count in sorted(begun.items())
    }
    false = tuple(alert for alert in alerts if alert not in explained)
    return Verdict(kinds, false, len(alerts))
