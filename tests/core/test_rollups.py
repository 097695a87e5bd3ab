"""Seconds, minutes, hours and days of a device, and the scores in them."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from fleetpulse.cohort import Conclusion
from fleetpulse.effects import RESOLUTION_S
from fleetpulse.profile import WindowSpec
from tests.core.one_device import NAN, OneDevice

MINUTE = 60 * 10
DAY = 24 * 60 * MINUTE
Closed = dict[str, list[tuple[int, int, int]]]


def closed(*conclusions: Conclusion) -> Closed:
    """Resolution -> (bucket start in seconds, samples of the first channel, scores)."""
    out: Closed = defaultdict(list)
    for conclusion in conclusions:
        for resolution, buckets in conclusion.rollups.items():
            for index, count in zip(buckets.index, buckets.stats.count, strict=True):
                start = int(index) * RESOLUTION_S[resolution]
                out[resolution].append((start, int(count[0]), int(count[-1])))
    return out


def test_a_second_closes_when_its_last_slot_is_final() -> None:
    device = OneDevice()
    device.runs(100, 9)
    assert closed(device.concludes())["second"] == []
    device.runs(109, 12)
    assert closed(device.concludes())["second"] == [(10, 10, 2), (11, 10, 3)], (
        "of the windows that end at 104, 108, … 120 two have their last slot in second 10"
    )


@pytest.mark.parametrize("rate_hz", [1000, 3, 2.5, 1])
def test_seconds_have_the_slots_that_lie_in_them(rate_hz: float) -> None:
    device = OneDevice(rate_hz=rate_hz, window=WindowSpec(size=50, hop=50))
    begin = round(1_750_000_000 * rate_hz)
    device.runs(begin, 5000)
    second_of = [
        slot * device.cohort.layout.period_ns // 10**9 for slot in range(begin, begin + 5000)
    ]
    expected = sorted(Counter(second_of).items())[:-1]
    seconds = [(start, count) for start, count, _ in closed(device.concludes())["second"]]
    assert seconds[: len(expected)] == expected, "3 Hz: now and then a second has four slots"


def test_below_one_hertz_each_sample_is_its_second() -> None:
    device = OneDevice(rate_hz=1 / 300, window=WindowSpec(size=2, hop=1, aligned=True))
    device.runs(0, 300)
    rollups = closed(device.concludes(1.0))
    assert rollups["second"] == [(300 * n, 1, 1 if n else 0) for n in range(300)]
    assert rollups["minute"] == rollups["second"], "a minute with a sample each 5 minutes"
    assert rollups["hour"] == [(3600 * n, 12, 12 if n else 11) for n in range(25)]
    assert rollups["day"] == [(0, 288, 287)]


def test_minutes_hours_and_days_are_merged_from_what_was_emitted() -> None:
    device = OneDevice(block_samples_max=1000)
    device.runs(0, 2 * MINUTE + 5)
    device.sends(60 * MINUTE, 1.0)
    device.sends(DAY + 9, 1.0)
    rollups = closed(device.concludes())
    assert [(s, n) for s, n, _ in rollups["minute"]] == [(0, 600), (60, 600), (120, 5), (3600, 1)]
    assert [(s, n) for s, n, _ in rollups["hour"]] == [(0, 1205), (3600, 1)]
    assert [(s, n) for s, n, _ in rollups["day"]] == [(0, 1206)]


def test_a_minute_is_not_emitted_before_settled_reaches_its_end() -> None:
    device = OneDevice(lateness_ms=2000)
    device.runs(0, MINUTE)
    assert [s for s, _, _ in closed(device.concludes())["minute"]] == [0], "orderly: no waiting"
    device.runs(MINUTE, MINUTE - 1)
    device.sends(2 * MINUTE, 1.0)
    assert closed(device.concludes())["minute"] == [], "its last slot may still come"
    device.sends(2 * MINUTE - 1, 1.0)
    assert [(s, n) for s, n, _ in closed(device.concludes())["minute"]] == [(60, 600)]


def test_seconds_without_values_do_not_exist() -> None:
    device = OneDevice(channels=("x", "y"))
    device.sends(100, *[(NAN, 1.0)] * 10)
    device.sends(130, *[(1.0, 1.0)] * 10)
    assert closed(device.concludes())["second"] == [(10, 0, 0), (13, 10, 2)], (
        "one channel is enough; windows without the other have no score"
    )


def test_scores_in_a_second_without_values_are_counted_nowhere() -> None:
    window = WindowSpec(size=10, hop=10, coverage_min=0.1, aligned=True)
    for silence in (11, 40, 10_000):
        device = OneDevice(window=window, rate_hz=9, block_samples_max=1)
        device.sends(100, 5.0)
        device.sends(100 + silence, 1.0)
        device.runs(101 + silence, 30)
        conclusion = device.concludes(1.0)
        # the window of slots 100 to 109 ends in second 12; slot 100 lies in second 11
        seconds = closed(conclusion)["second"]
        assert len(conclusion.windows.rows) >= 3
        expected = {11: 0}
        for end in conclusion.windows.ends.tolist():
            second = int(device.cohort.layout.second_of(np.array([end - 1]))[0])
            expected[second] = expected.get(second, 0) + 1
        emitted = {start for start, _, _ in seconds}
        assert {s: n for s, _, n in seconds if n} == {
            s: n for s, n in expected.items() if n and s in emitted
        }, f"after {silence} slots of silence"


def test_scores_over_the_threshold_are_counted() -> None:
    device = OneDevice(window=WindowSpec(size=2, hop=2, aligned=True))
    device.runs(100, 20)
    seconds = device.concludes(0.5, 1.0, 1.5, 2.0, 3.0).rollups["second"]
    assert seconds.over.tolist() == [3, 5], "1.0 is not above 1"
    assert seconds.stats.mean[:, -1].tolist() == [1.6, 3.0]
    assert seconds.stats.max[0, -1] == 3.0


def test_no_number_depends_on_where_batches_are_cut() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=3000)
    results = []
    for cut in (10, 70, 3000):
        device = OneDevice(block_samples_max=10)
        means: list[float] = []
        for at in range(0, 3000, 10):
            device.sends(at, *values[at : at + 10].tolist())
            if at % cut == 0 or at == 2990:
                minutes = device.concludes(1.0).rollups.get("minute")
                means += [] if minutes is None else minutes.stats.m2[:, 0].tolist()
        results.append(means)
    assert len(results[0]) == 5
    assert results[0] == results[1] == results[2]
