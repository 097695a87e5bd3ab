"""The offline computation on logs whose outcome is computed by hand."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from benchmarks.offline.outcome import compute
from benchmarks.offline.rollups import Stats
from fleetpulse.identity import partition_of
from fleetpulse.profile import AlertRule, WindowSpec, ZScoreSpec
from fleetpulse.telemetry_pb2 import Assignment, Forget
from tests.verify.tiny_log import MINUTE_S, TinyLog, block, control, profile, sample

A = b"default/a"


def at_us(seconds: float) -> int:
    return MINUTE_S * 1_000_000 + round(seconds * 1e6)


def scores(log: TinyLog) -> list[tuple[float, float]]:
    """(window start in seconds after the minute, score)."""
    found = log.outcome().scores
    return [((start - at_us(0)) / 1e6, score) for (_, start, _), score in found.items()]


def test_windows_slide_by_the_hop(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile())
    log.add(block(MINUTE_S, [1, 2, 3, 4, 5, 6, 7, 8]))
    assert scores(log) == [(0.0, 2.5), (0.2, 4.5), (0.4, 6.5)]


def test_windows_are_shifted_by_the_hash_of_the_device(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile(window=WindowSpec(size=4, hop=4)))
    log.add(block(MINUTE_S, list(range(12))))
    start = (crc32(A) - MINUTE_S * 10) % 4
    assert scores(log)[0] == (start / 10, start + 1.5), "the first full window starts at the phase"


def test_the_first_value_of_a_slot_wins(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile(lateness_ms=400))
    log.add(block(MINUTE_S, [1, 2, 3, 4]))
    log.add(block(MINUTE_S, [9, 9, 9, 9]))
    assert scores(log) == [(0.0, 2.5)]
    assert not log.outcome().late, "a duplicate vanishes"


def test_order_within_the_lateness_bound_does_not_matter(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile(lateness_ms=400))
    log.add(block(MINUTE_S, [1, 2]))
    log.add(block(MINUTE_S + 0.4, [5, 6]))
    log.add(block(MINUTE_S + 0.2, [3, 4]))
    assert scores(log) == [(0.0, 2.5), (0.2, 4.5)]


def test_an_incomplete_window_waits_for_the_watermark(tmp_path: Path) -> None:
    log = TinyLog(
        tmp_path, profile(lateness_ms=400, window=WindowSpec(size=4, hop=4, aligned=True))
    )
    log.add(block(MINUTE_S, [1, 2]))
    log.add(block(MINUTE_S + 0.4, [5, 6]))
    assert scores(log) == [], "the slots between may still come"


def test_a_value_below_the_watermark_is_late(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile(lateness_ms=100))
    log.add(block(MINUTE_S, [1, 2]))
    log.add(block(MINUTE_S + 0.4, [5, 6]))
    offset = log.add(block(MINUTE_S + 0.2, [3, 4]))
    outcome = log.outcome()
    assert outcome.late == {(0, offset)}
    assert outcome.cells == 4, "neither of the late values counts"


def test_the_part_of_a_late_record_above_the_watermark_counts(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile(lateness_ms=100))
    log.add(block(MINUTE_S, [1, 2]))
    log.add(block(MINUTE_S + 0.4, [5]))
    offset = log.add(block(MINUTE_S + 0.3, [4, 9, 6]))
    outcome = log.outcome()
    assert outcome.late == {(0, offset)}, "slot 3 is below the watermark at slot 4"
    assert outcome.cells == 4, "slot 5 counts, slot 4 was there"


def test_gaps_are_held(tmp_path: Path) -> None:
    window = WindowSpec(size=4, hop=4, aligned=True, coverage_min=0.5)
    log = TinyLog(tmp_path, profile(window=window))
    log.add(block(MINUTE_S + 0.1, [2]))
    log.add(block(MINUTE_S + 0.3, [8]))
    assert scores(log) == [(0.0, (2 + 2 + 2 + 8) / 4)]


def test_a_window_without_one_channel_is_not_scored(tmp_path: Path) -> None:
    window = WindowSpec(size=2, hop=2, aligned=True, coverage_min=0.5)
    log = TinyLog(tmp_path, profile(channels=("x", "y"), window=window))
    log.add(sample(MINUTE_S, x=1))
    log.add(sample(MINUTE_S + 0.1, x=1))
    log.add(block(MINUTE_S + 0.2, [1, 3, 1, 3], channels=2))
    assert scores(log) == [(0.2, 2.0)]


def test_messages_with_different_channels_of_one_time_merge(tmp_path: Path) -> None:
    window = WindowSpec(size=1, hop=1, aligned=True)
    log = TinyLog(tmp_path, profile(channels=("x", "y"), window=window, lateness_ms=100))
    log.add(sample(MINUTE_S, x=1))
    assert scores(log) == []
    log.add(sample(MINUTE_S, y=4))
    assert scores(log) == [(0.0, 2.5)]


def test_seconds_and_minutes(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile(rate_hz=1, window=WindowSpec(size=30, hop=30, aligned=True)))
    log.now_s = MINUTE_S + 60
    log.add(block(MINUTE_S - 1, [*range(62)], period_ms=1000))
    rollups = log.outcome().rollups
    minute = rollups[A, 60, at_us(0)]
    assert minute.channels == (Stats(60, 1.0, 60.0, 30.5, float(np.std(np.arange(1.0, 61.0)))),)
    assert minute.scores == Stats(2, 15.5, 45.5, 30.5, 15.0)
    assert rollups[A, 1, at_us(7)].channels == (Stats(1, 8.0, 8.0, 8.0, 0.0),)
    assert (A, 60, at_us(-60)) in rollups, "the minute before closed with one second"
    assert (A, 60, at_us(60)) not in rollups, "the last minute is still open"


def test_alert_is_raised_cleared_and_held_down(tmp_path: Path) -> None:
    rule = AlertRule(threshold=5, raise_after=2, clear_ratio=0.5, clear_after=2, dedup_s=1)
    window = WindowSpec(size=1, hop=1, aligned=True)
    log = TinyLog(tmp_path, profile(window=window, alert=rule))
    #              .0 .1 .2 .3 .4 .5 .6 .7 .8 .9
    log.add(block(MINUTE_S, [1, 6, 4, 6, 7, 8, 3, 2, 1, 9]))
    log.add(block(MINUTE_S + 1.0, [9, 9, 9, 9, 9, 9, 9, 9, 9, 9]))
    events = [
        (event.kind, (event.at_us - at_us(0)) / 1e6, event.score, event.peak_score)
        for event in log.outcome().alerts.values()
    ]
    assert events == [
        ("raised", 0.5, 7.0, 7.0),
        ("cleared", 0.9, 1.0, 8.0),
        ("raised", 1.9, 9.0, 9.0),
    ]


def test_zscore_learns_then_scores(tmp_path: Path) -> None:
    learned = ZScoreSpec(half_life_windows=1, warmup_windows=2)
    window = WindowSpec(size=1, hop=1, aligned=True)
    log = TinyLog(tmp_path, profile(model=None, zscore=learned, window=window))
    log.add(block(MINUTE_S, [1, 3, 5, 2]))
    # mean 2, std 1: (5 - 2) / 1; then alpha 0.5: mean 3.5, var 0.5 * (1 + 0.5 * 9) = 2.75
    assert [score for _, score in scores(log)] == [
        0.0,
        0.0,
        3.0,
        pytest.approx(1.5 / 2.75**0.5),
    ]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"nobody", block(MINUTE_S, [1]), "bad_key"),
        (A, b"", "undecodable"),
        (A, b"\x41\x01", "undecodable"),
        (A, block(MINUTE_S, []), "wrong_shape"),
        (A, block(MINUTE_S, [1, 2, 3], channels=2), "wrong_shape"),
        (A, block(MINUTE_S, [1] * 401), "wrong_shape"),
        (A, sample(MINUTE_S, z=1), "unknown_channel"),
        (A, sample(MINUTE_S, x=float("nan")), "not_finite"),
        (A, block(MINUTE_S, [1, float("inf")]), "not_finite"),
        (A, block(MINUTE_S + 4.9, [1, 1, 1]), "future"),
        (A, block(MINUTE_S - 86_401, [1]), "past"),
    ],
)
def test_refusals(tmp_path: Path, key: bytes, value: bytes, reason: str) -> None:
    log = TinyLog(tmp_path, profile())
    offset = log.add(value, key=key)
    assert log.outcome().dead == {(0, offset): reason}


def test_log_time_never_goes_back(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile())
    log.now_s = MINUTE_S + 100
    log.add(b"", key=b"!tick")
    log.now_s = MINUTE_S
    log.add(block(MINUTE_S + 104, [1]))
    assert not log.outcome().dead, "the tick moved log time"


def test_the_newest_matching_assignment_decides(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile())
    other = profile(name="other", channels=("y",))
    log.add(control("3", profile_yaml=other.to_yaml()), key=b"!control")
    log.add(sample(MINUTE_S, x=1))
    refused = log.add(sample(MINUTE_S, y=1))
    assign = Assignment(device_pattern="a*", profile="other", profile_revision=1)
    log.add(control("4", assignment=assign), key=b"!control")
    log.add(sample(MINUTE_S + 1, y=1))
    log.add(control("2", assignment=assign), key=b"!control")
    log.add(sample(MINUTE_S + 1, x=1), key=b"default/b")
    outcome = log.outcome()
    assert outcome.dead == {(0, refused): "unknown_channel"}
    assert outcome.profiles == {A: "other@1", b"default/b": "tiny@1"}, "id 2 was seen before"


def test_a_record_of_another_partition_is_refused(tmp_path: Path) -> None:
    log = TinyLog(tmp_path, profile())
    keys = [f"default/d{i}".encode() for i in range(50)]
    for key in keys:
        log.add(block(MINUTE_S, [1]), key=key)
    outcome = compute({0: log.records, 1: []}, tmp_path)
    foreign = {(0, 2 + i) for i, key in enumerate(keys) if partition_of(key, 2) == 1}
    assert set(outcome.dead) == foreign
    assert set(outcome.dead.values()) == {"wrong_partition"}


def test_a_device_that_was_deleted_owes_the_same_again(tmp_path: Path) -> None:
    rule = AlertRule(threshold=5, raise_after=1)
    log = TinyLog(tmp_path, profile(alert=rule))
    log.add(block(MINUTE_S, [9] * 25))
    once = log.outcome()
    log.add(control("gone", forget=Forget(tenant="default", device_id="a")), key=b"!control")
    gone = log.outcome()
    assert gone.alerts.keys() <= gone.deleted
    assert gone.rollups.keys() <= gone.deleted
    log.add(block(MINUTE_S, [9] * 25))
    again = log.outcome()
    raised = {key for key in again.alerts if key[2] == "raised"}
    assert raised <= again.alerts.earlier.keys(), "by the life before"
    assert again.rollups.keys() == again.rollups.earlier.keys()
    assert not again.deleted & (raised | again.rollups.keys()), "the rows are there again"
    assert again.scores.earlier.keys() == once.scores.keys()
