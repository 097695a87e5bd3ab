"""A device that sends too much: what is cut, by what rule, and that nobody else notices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpulse.effects import Effects, Reason
from fleetpulse.errors import ConfigError
from fleetpulse.profile import AlertRule, Profile, RateLimit, profile_from_yaml
from fleetpulse.rates import RateAccounts, burst_ns, sample_cost_ns
from tests.core.logs import T0_US, Log, difference, feed, frame, fresh_engine, per_device
from tests.core.one_device import profile_of

LIMIT = RateLimit(factor=4, burst_s=10)
PROFILE = profile_of(rate_limit=LIMIT, zscore={"warmup_windows": 2}, model=None)
FRAME_US = 1_000_000
"""What a frame of 10 samples lasts."""


def log_of(frames_per_s: dict[str, int], seconds: int) -> Log:
    """Devices that send one second of samples `frames_per_s` times in each second."""
    log = Log()
    log.profile(PROFILE)
    for second in range(seconds):
        for number, (device, times) in enumerate(frames_per_s.items()):
            value = frame(PROFILE, number, second * 10, 10)
            for _ in range(times):
                log.device(device, value, T0_US + (second + 1) * FRAME_US)
    return log


def cut(effects: Effects, device: str) -> int:
    key = f"default/{device}".encode()
    return sum(r.key == key and r.reason == Reason.OVER_RATE for r in effects.dead)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_up_to_its_factor_a_device_may_send_for_ever(times: int) -> None:
    effects = feed(fresh_engine(), log_of({"pump-1": times}, 60).batch())
    assert cut(effects, "pump-1") == 0


def test_a_hundredfold_rate_is_cut_to_the_factor_and_the_burst() -> None:
    effects = feed(fresh_engine(), log_of({"pump-1": 100}, 60).batch())
    assert cut(effects, "pump-1") == 60 * 100 - (4 * 59 + 10)
    assert "4 times 10 Hz" in effects.dead[0].detail


def test_neighbours_get_the_same_results_beside_a_flood() -> None:
    calm = {"pump-1": 1, "pump-2": 1, "pump-3": 1, "pump-4": 1}
    alone = feed(fresh_engine(), log_of(calm, 30).batch())
    beside = feed(fresh_engine(), log_of(calm | {"flood": 100}, 30).batch())
    expected, found = per_device(alone), per_device(beside)
    mine = {
        name: rows for name, rows in found.items() if "flood" not in name and "dead" not in name
    }
    assert mine == expected
    assert cut(beside, "flood") == 30 * 100 - (4 * 29 + 10)


@pytest.mark.parametrize("size", [1, 7, 333])
def test_the_cut_does_not_depend_on_batches(size: int) -> None:
    log = log_of({"pump-1": 1, "flood": 7, "pump-2": 5}, 20)
    whole = feed(fresh_engine(), log.batch())
    engine, parts = fresh_engine(), Effects()
    for begin in range(0, len(log.keys), size):
        parts.extend(feed(engine, log.batch(begin, min(begin + size, len(log.keys)))))
    assert not difference(parts, whole)
    assert cut(whole, "flood")
    assert cut(whole, "pump-2")


def test_the_allowance_comes_back_with_log_time() -> None:
    log = log_of({"pump-1": 20}, 1)
    log.device("pump-1", frame(PROFILE, 0, 10, 10), T0_US + FRAME_US + 250_000)
    log.device("pump-1", frame(PROFILE, 0, 20, 10), T0_US + FRAME_US + 250_000)
    effects = feed(fresh_engine(), log.batch())
    assert cut(effects, "pump-1") == 10 + 1, "a quarter of a second pays one more frame"


def test_two_whole_frames_always_fit() -> None:
    limit = RateLimit(factor=1, burst_s=0)
    slow = profile_of(rate_hz=0.01, rate_limit=limit)
    assert burst_ns(slow, limit) == 2 * 10 * 100 * 10**9
    assert sample_cost_ns(slow, limit) == 100 * 10**9


def test_an_account_of_years_is_exact_to_the_nanosecond() -> None:
    limit = RateLimit(factor=1.7, burst_s=0)
    slow = Profile(
        name="slow", channels=("a",), rate_hz=1e-5, block_samples_max=10_000,
        rate_limit=limit, alert=AlertRule(threshold=1),
    )  # fmt: skip
    accounts = RateAccounts(slow, limit)
    accounts.grow(1)
    row, all_of_it = np.zeros(1, np.int64), np.array([20_000])
    assert not accounts.refused(row, all_of_it, np.array([T0_US])).any()
    later_us = 17 * sample_cost_ns(slow, limit) // 1000  # 5 ns too early for 17 more
    again = np.array([17]), np.array([T0_US + later_us])
    assert accounts.refused(row, *again).all()


def test_a_profile_without_a_limit_takes_a_replay() -> None:
    free = PROFILE.model_copy(update={"rate_limit": None})
    log = Log()
    log.profile(free)
    for number in range(500):
        log.device("pump-1", frame(free, 0, number * 10, 10, t0_us=T0_US - 500 * FRAME_US), T0_US)
    assert not feed(fresh_engine(), log.batch()).dead


def test_a_limit_that_would_not_fit_an_account_is_refused() -> None:
    slow = "name: x\nchannels: [a]\nrate_hz: 0.00001\nblock_samples_max: 65536\n"
    alert = "alert: {threshold: 1}\n"
    with pytest.raises(ConfigError, match="rate_limit"):
        profile_from_yaml(slow + alert)
    assert profile_from_yaml(f"{slow}rate_limit: null\n{alert}").rate_limit is None


RECORDS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 12), st.sampled_from([0, 0, 0, 10, 500_000])),
    max_size=60,
)


@given(records=RECORDS, cuts=st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_columns_say_what_the_rule_says(
    records: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    profile: Profile = profile_of(rate_limit=RateLimit(factor=1.5, burst_s=1))
    limit = profile.rate_limit
    assert limit is not None
    accounts = RateAccounts(profile, limit)
    accounts.grow(4)
    cost_ns, most_ns = sample_cost_ns(profile, limit), burst_ns(profile, limit)
    paid_ns = dict.fromkeys(range(4), 0)
    expected, times, now_us = [], [], T0_US
    for row, count, step_us in records:
        now_us += step_us
        times.append(now_us)
        after_ns = max(paid_ns[row], now_us * 1000) + count * cost_ns
        over = after_ns > now_us * 1000 + most_ns
        expected.append(over)
        paid_ns[row] = paid_ns[row] if over else after_ns
    found: list[bool] = []
    turn = 0
    while len(found) < len(records):
        part = slice(len(found), len(found) + cuts[turn % len(cuts)])
        rows, counts = (np.array([r[i] for r in records[part]], np.int64) for i in (0, 1))
        found += accounts.refused(rows, counts, np.array(times[part], np.int64)).tolist()
        turn += 1
    assert found == expected
