"""The report's form, and figures that are computed from samples."""

import json
import math

import pytest

from benchmarks.lag_watch import grows
from benchmarks.processes import Usage
from benchmarks.report import Latency, Measured
from benchmarks.score_watch import Received, longest_silence_s

KEYS = {
    "samples",
    "offered_samples_per_s",
    "accepted_samples_per_s",
    "scored_samples_per_s",
    "windows_expected",
    "windows_lost",
    "windows_doubled",
    "frame_to_score_ms",
    "frame_to_alert_ms",
    "device_view_ms",
    "stages_ms",
    "engine_cpu_s_per_million_samples",
    "limit_cpu_s_per_million_samples",
    "max_lag_messages",
    "processes",
}


def test_the_json_has_exactly_its_keys() -> None:
    latency = Latency.of([1000, 2000, 3000])
    nothing = Latency.of([])
    usages = [Usage("shard", 1, 2, [1, 2, 2])]
    stages = {"alert": {"broker": latency}}
    measured = Measured(
        9, 1.0, 1.0, 1.0, 3, 0, 0, latency, nothing, nothing, stages, math.nan, 0.2, 5, usages
    )
    report = json.loads(json.dumps(measured.to_json(), allow_nan=False))
    assert report.keys() == KEYS
    assert report["frame_to_score_ms"] == {"p50": 2.0, "p90": 2.8, "p99": 2.98, "max": 3.0}
    assert report["frame_to_alert_ms"]["p99"] is None, "nothing measured is null, not 0"
    assert report["stages_ms"]["alert"]["broker"]["p50"] == 2.0
    assert report["processes"] == [
        {"name": "shard", "cpu_s": 1, "memory_peak_mb": 2, "memory_thirds_mb": [1, 2, 2]}
    ]


@pytest.mark.parametrize(
    ("lag", "growing"),
    [([], False), ([500, 0] * 30, False), (list(range(0, 3000, 50)), True)],
)
def test_growing_lag_is_told_from_jitter(lag: list[int], growing: bool) -> None:
    assert grows(lag, bound=600) is growing


def test_the_longest_silence_is_that_of_the_worst_partition() -> None:
    received = [
        Received(b"default/a", 0, 0, partition, second * 1_000_000)
        for partition, seconds in ((0, range(10)), (1, (0, 1, 2, 7, 8, 9)))
        for second in seconds
    ]
    assert longest_silence_s(received, 0, 9_000_000) == 5.0
    assert longest_silence_s(received, 0, 20_000_000) == 11.0, "it may last to the end"
