"""Log time: how far the log has come, by the broker's clock; it bounds what devices may claim."""

import pytest

from fleetpulse.effects import Effects
from fleetpulse.profile import AlertRule, Profile
from tests.core.logs import PARTITIONS, T0_US, Log, feed, frame, fresh_engine, reborn

PUMP = Profile(
    name="pump", channels=("a",), rate_hz=50, past_bound_s=60, future_bound_s=5,
    alert=AlertRule(threshold=1),
)  # fmt: skip
SECOND_US = 1_000_000


def read(log: Log, *, one_by_one: bool) -> Effects:
    """Everything a log says; one by one, with a restart after each record."""
    engine, effects = fresh_engine(), Effects()
    if not one_by_one:
        return feed(engine, log.batch())
    for at in range(len(log.keys)):
        effects.extend(feed(engine, log.batch(at, at + 1)))
        engine = reborn(engine)
    return effects


@pytest.mark.parametrize("one_by_one", [False, True])
def test_log_time_never_goes_back(one_by_one: bool) -> None:
    log = Log()
    log.profile(PUMP)
    log.tick(T0_US + 100 * SECOND_US)
    log.tick(T0_US)
    log.device("d", frame(PUMP, 0, 105 * 50, 1), T0_US)
    log.device("d", frame(PUMP, 0, 105 * 50 + 1, 1), T0_US)
    log.device("d", frame(PUMP, 0, 40 * 50 - 1, 1), T0_US)
    effects = read(log, one_by_one=one_by_one)
    refused = [(r.reason, (r.log_time_us - T0_US) // SECOND_US) for r in effects.dead]
    assert refused == [("future", 100), ("past", 100)], (
        "105.00 s is within 5 s of log time, 105.02 s is not, 39.98 s is more than 60 s behind"
    )


@pytest.mark.parametrize("one_by_one", [False, True])
def test_each_partition_has_its_own(one_by_one: bool) -> None:
    log = Log()
    log.profile(PUMP)
    log.append(0, b"!tick", b"", T0_US + 100 * SECOND_US)
    names = {}
    for number in range(10):
        log.device(f"d{number}", frame(PUMP, number, 50 * 50, 1), T0_US)
        names[f"d{number}"] = log.partitions[-1]
    effects = read(log, one_by_one=one_by_one)
    assert {r.partition for r in effects.dead} == {1}, "50 s ahead there, behind here"
    assert len(effects.dead) == sum(partition == 1 for partition in names.values())
    assert set(names.values()) == set(range(PARTITIONS))


def test_a_tick_is_nothing_but_time() -> None:
    log = Log()
    log.profile(PUMP)
    log.tick(T0_US + SECOND_US)
    engine = fresh_engine()
    assert feed(engine, log.batch()).empty
    assert {state.log_time_us for state in engine.partitions.values()} == {T0_US + SECOND_US}
