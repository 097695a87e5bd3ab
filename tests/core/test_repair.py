"""Recomputing after late data gives what an orderly run of the same data gives, bit for bit."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpulse.effects import Effects
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.profile import AlertRule, Profile, SessionSpec, WindowSpec, ZScoreSpec
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.telemetry_pb2 import Telemetry
from tests.core.logs import (
    PARTITIONS,
    T0_US,
    Log,
    difference,
    feed,
    frame,
    fresh_engine,
)
from tests.core.repairs import repaired

DEVICE = "pump-1"
KEY = DeviceKey("default", DEVICE).encode()
PARTITION = partition_of(KEY, PARTITIONS)
PROFILE = Profile(
    name="machine", channels=("a", "b"), rate_hz=50, lateness_ms=200, block_samples_max=12,
    future_bound_s=3600, window=WindowSpec(size=16, hop=5, coverage_min=0.5), model="any@1",
    alert=AlertRule(threshold=1.5, raise_after=1, clear_after=1, dedup_s=1), offline_after_s=5,
    session=SessionSpec(channel="a", above=5, gap_s=1),
)  # fmt: skip
LEARNING = PROFILE.model_copy(update={"model": None, "zscore": ZScoreSpec(warmup_windows=2)})
ALL_TIME = TimeRange(0, 1 << 60)
NOW_US = T0_US + 3_000_000_000


def log_of(profile: Profile, values: list[bytes]) -> Log:
    log = Log()
    log.profile(profile)
    for value in values:
        log.device(DEVICE, value, NOW_US)
    return log


def results(effects: Effects) -> Effects:
    """What a recomputation may change; of each session its newest event."""
    sessions = {each.session_id: each for each in effects.sessions}
    return replace(
        effects, dead=[], late=[], devices=[], presences=[], sessions=list(sessions.values())
    )


def orderly(profile: Profile, values: list[bytes]) -> Effects:
    return results(feed(fresh_engine(), log_of(profile, values).batch()))


@pytest.mark.parametrize("profile", [PROFILE, LEARNING], ids=["model", "zscore"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_late_frames_give_what_orderly_ones_give(profile: Profile, data: st.DataObject) -> None:
    frames = [frame(profile, 1, 10 * n, 10) for n in range(60)]
    missing = data.draw(st.sets(st.integers(0, 59), max_size=6))
    kept = [value for n, value in enumerate(frames) if n not in missing]
    order = list(range(len(kept)))
    for n in data.draw(st.sets(st.integers(0, len(kept) - 1), max_size=8)):
        order.append(order.pop(min(n, len(order) - 1)))
    shuffled = [kept[n] for n in order]
    found = results(repaired(log_of(profile, shuffled), data.draw(st.sampled_from([3, 11, 1000]))))
    assert not difference(found, orderly(profile, kept))


def test_the_first_value_of_a_cell_wins_however_late_the_second_comes() -> None:
    frames = [frame(PROFILE, 1, 10 * n, 10) for n in range(60)]
    others = [frame(PROFILE, 2, 10 * n, 10) for n in range(60)]
    missing, late = frames[:20] + frames[22:], [others[20], frames[20], others[3], frames[21]]
    found = results(repaired(log_of(PROFILE, missing + late)))
    assert not difference(found, orderly(PROFILE, [*frames[:20], others[20], *frames[21:]]))


def test_channels_that_come_late_one_by_one_fill_their_cells() -> None:
    frames = [frame(PROFILE, 1, 10 * n, 10) for n in range(40)]
    t_ms = (T0_US + 105 * 20_000) // 1000
    singles = [
        Telemetry(ts=t_ms, metrics=metrics).SerializeToString()
        for metrics in ({"a": 1.0}, {"b": 2.0, "a": 9.0})
    ]
    holed = [value for n, value in enumerate(frames) if n != 10]
    found = results(repaired(log_of(PROFILE, holed + singles)))
    both = Telemetry(ts=t_ms, metrics={"a": 1.0, "b": 2.0}).SerializeToString()
    assert not difference(found, orderly(PROFILE, [*frames[:10], both, *frames[11:]]))


def test_each_life_is_repaired_within_itself() -> None:
    second = PROFILE.model_copy(update={"revision": 2, "window": WindowSpec(size=9, hop=9)})

    def two_lives(first: list[int], then: list[int]) -> Log:
        log = log_of(PROFILE, [frame(PROFILE, 1, 10 * n, 10) for n in first])
        log.profile(second)
        for n in then:
            log.device(DEVICE, frame(second, 1, 10 * n, 10), NOW_US)
        return log

    found = results(repaired(two_lives([*range(9), 10, 11, 12, 9], [30, 32, 33, 34, 35, 31]), 4))
    expected = feed(fresh_engine(), two_lives([*range(13)], [*range(30, 36)]).batch())
    assert not difference(found, results(expected))


def test_without_late_records_nothing_changes() -> None:
    log = log_of(PROFILE, [frame(PROFILE, 1, 10 * n, 10) for n in range(40)])
    assert not difference(results(repaired(log)), results(feed(fresh_engine(), log.batch())))
