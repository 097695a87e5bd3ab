"""What a system emitted against what its log says: missing, doubled, different, unexpected."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isclose, isnan
from types import MappingProxyType
from typing import Literal, TypeVar

from benchmarks.offline.alerts import Alert
from benchmarks.offline.rollups import Rollup, Stats
from benchmarks.offline.sessions import Session

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

SCORE_TOLERANCE = 1e-5
STATISTICS_TOLERANCE = 1e-9
_ZERO = 1e-6
"""Scores this near to each other are equal: a relative bound means nothing near zero."""
Kind = Literal["missing", "doubled", "different", "unexpected"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in words."""

    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def compare_once(
    expected: Mapping[K, V],
    observed: Iterable[tuple[K, V]],
    name: Callable[[K], str],
    difference: Callable[[V, V], str],
    earlier: Mapping[K, Sequence[V]] = MappingProxyType({}),
) -> list[Finding]:
    """Everything expected must be observed exactly once, and nothing else.

    difference: expected, observed -> what differs, empty if nothing. earlier: what must be observed
    of a key ahead of what is expected of it, in order.
    """
    seen: defaultdict[K, list[V]] = defaultdict(list)
    for key, value in observed:
        seen[key].append(value)
    findings = [Finding("missing", name(key)) for key in expected if key not in seen]
    for key, values in seen.items():
        if key not in expected:
            findings.append(Finding("unexpected", name(key)))
            continue
        owed = [*earlier.get(key, ()), expected[key]]
        if len(values) != len(owed):
            kind: Kind = "doubled" if len(values) > len(owed) else "missing"
            text = f"{name(key)} is there {len(values)} times instead of {len(owed)}"
            findings.append(Finding(kind, text))
        owed += [expected[key]] * (len(values) - len(owed))
        texts = (difference(a, b) for a, b in zip(owed, values, strict=False))
        unlike = next(filter(None, texts), "")
        if unlike:
            findings.append(Finding("different", f"{name(key)}: {unlike}"))
    return findings


def score_name(key: tuple[bytes, int, int]) -> str:
    """A score in words."""
    device, start_us, end_us = key
    return f"score of {device.decode()} for {_time(start_us)} to {_time(end_us)}"


def rollup_name(key: tuple[bytes, int, int]) -> str:
    """A rollup in words."""
    device, resolution_s, bucket_us = key
    unit = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}[resolution_s]
    return f"{unit} {_time(bucket_us)} of {device.decode()}"


def alert_name(key: tuple[bytes, str, str]) -> str:
    """An alert event in words."""
    device, alert_id, kind = key
    return f"alert {alert_id} of {device.decode()} {kind}"


def presence_name(key: tuple[bytes, str, int]) -> str:
    """Offline or online in words."""
    device, kind, at_us = key
    return f"{device.decode()} {kind} at {_time(at_us)}"


def session_name(key: tuple[bytes, str, str]) -> str:
    """A session event in words."""
    device, session_id, kind = key
    return f"session {session_id} of {device.decode()} {kind}"


def rejection_name(key: tuple[int, int]) -> str:
    """A refused or late record in words."""
    partition, offset = key
    return f"record at offset {offset} of partition {partition}"


def score_difference(expected: float, observed: float) -> str:
    """Relative to the score."""
    same = isclose(expected, observed, rel_tol=SCORE_TOLERANCE, abs_tol=_ZERO)
    return "" if same else f"score {observed!r} instead of {expected!r}"


def rollup_difference(expected: Rollup, observed: Rollup) -> str:
    """Counts exactly; channels relative to their largest value, scores as scores."""
    if expected.score_over != observed.score_over:
        return f"{observed.score_over} scores over the threshold instead of {expected.score_over}"
    if len(expected.channels) != len(observed.channels):
        return f"{len(observed.channels)} channels instead of {len(expected.channels)}"
    for at, (a, b) in enumerate(zip(expected.channels, observed.channels, strict=True)):
        if text := _stats_difference(a, b, STATISTICS_TOLERANCE, 0.0):
            return f"channel {at}: {text}"
    text = _stats_difference(expected.scores, observed.scores, SCORE_TOLERANCE, _ZERO)
    return f"scores: {text}" if text else ""


def alert_difference(expected: Alert, observed: Alert) -> str:
    """Times exactly, scores as scores."""
    for field in ("at_us", "raised_at_us", "window_start_us", "window_end_us"):
        a, b = getattr(expected, field), getattr(observed, field)
        if a != b:
            return f"{field} {b} instead of {a}"
    for field in ("score", "peak_score"):
        if score_difference(getattr(expected, field), getattr(observed, field)):
            return f"{field} {getattr(observed, field)} instead of {getattr(expected, field)}"
    return ""


def presence_difference(expected: int, observed: int) -> str:
    """Of the times when the device was last heard."""
    return "" if expected == observed else f"last heard {observed} instead of {expected}"


def session_difference(expected: Session, observed: Session) -> str:
    """Times exactly, statistics as those of rollups."""
    for field in ("started_at_us", "ended_at_us"):
        a, b = getattr(expected, field), getattr(observed, field)
        if a != b:
            return f"{field} {b} instead of {a}"
    if expected.scores is None or observed.scores is None:
        return "" if expected.scores is observed.scores else "one of them has no statistics"
    return rollup_difference(
        Rollup(expected.channels, expected.scores, expected.score_over),
        Rollup(observed.channels, observed.scores, observed.score_over),
    )


def reason_difference(expected: str, observed: str) -> str:
    """Reasons of refusals are words."""
    return "" if expected == observed else f"{observed} instead of {expected}"


def device_difference(expected: bytes, observed: bytes) -> str:
    """Which device a record deletes."""
    return "" if expected == observed else f"{observed!r} instead of {expected!r}"


def summary(findings: Iterable[Finding]) -> str:
    """Counts by kind, for one line."""
    counts = Counter(finding.kind for finding in findings)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "equal"


def _stats_difference(a: Stats, b: Stats, tolerance: float, zero: float) -> str:
    if a.count != b.count:
        return f"count {b.count} instead of {a.count}"
    scale = 0.0 if not a.count else max(abs(a.min), abs(a.max))
    for field in ("min", "max", "mean", "std"):
        x, y = getattr(a, field), getattr(b, field)
        if isnan(x) and isnan(y):
            continue
        # against the largest value: the mean of a vibration is near zero, its rounding is not
        if not abs(x - y) <= tolerance * scale + zero:
            return f"{field} {y!r} instead of {x!r}"
    return ""


def _time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds")[11:23]
