"""What a benchmark run measured, as JSON and for people."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from benchmarks.processes import Usage


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds; NaN when nothing was measured."""

    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, latencies_us: list[int]) -> Self:
        """Of latencies in microseconds."""
        if not latencies_us:
            return cls(math.nan, math.nan, math.nan, math.nan)
        p50, p90, p99, most = np.percentile(np.array(latencies_us) / 1000, (50, 90, 99, 100))
        return cls(*(round(float(value), 2) for value in (p50, p90, p99, most)))


@dataclass(frozen=True, slots=True)
class Measured:
    """The report; its fields are the keys of the JSON."""

    samples: int
    """Accepted."""
    offered_samples_per_s: float
    accepted_samples_per_s: float
    scored_samples_per_s: float
    windows_expected: int
    windows_lost: int
    windows_doubled: int
    frame_to_score_ms: Latency
    frame_to_alert_ms: Latency
    device_view_ms: Latency
    """A device's state through its handle, asked from another process during the load."""
    stages_ms: dict[str, dict[str, Latency]]
    """Of sampled alerts and scores, what each stage took: see benchmarks.stages."""
    engine_cpu_s_per_million_samples: float
    limit_cpu_s_per_million_samples: float
    max_lag_messages: int
    processes: list[Usage]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what was not measured is null."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(slots=True)
class Run:
    """The report, and what is only for people."""

    measured: Measured
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why the run is no success."""


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
