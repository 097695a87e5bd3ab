"""Nothing that can be written to the log makes the engine raise, or depend on its batches."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpulse.effects import Effects, Reason
from fleetpulse.identity import CONTROL_KEY, partition_of
from fleetpulse.profile import AlertRule, Profile, WindowSpec, ZScoreSpec
from tests.core import hostile
from tests.core.invariants import check_invariants
from tests.core.logs import PARTITIONS, T0_US, Log, difference, feed, fresh_engine

ODD = Profile(
    name="odd",
    channels=("x", "y"),
    rate_hz=10,
    lateness_ms=300,
    past_bound_s=3600,
    block_samples_max=4,
    window=WindowSpec(size=3, hop=1, coverage_min=0.3),
    zscore=ZScoreSpec(warmup_windows=2),
    alert=AlertRule(threshold=2, raise_after=1, clear_after=1, dedup_s=0),
)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    log = Log()
    log.profile(ODD)
    control = hostile.controls(ODD.to_yaml())
    for step in range(draw(st.integers(1, 30))):
        now_us = T0_US + step * 100_000
        key = draw(st.one_of(hostile.keys, st.sampled_from([b"t/d", b"t/e", CONTROL_KEY])))
        if key == CONTROL_KEY:
            log.append(draw(st.integers(0, PARTITIONS - 1)), key, draw(control), now_us)
            continue
        right = partition_of(key, PARTITIONS) if key else 0
        partition = draw(st.sampled_from([right, right, right, 1 - right]))
        value = draw(hostile.values(now_us, ODD.channels, ODD.period_ns))
        log.append(partition, key, value, now_us)
    return log


@settings(max_examples=60, deadline=None)
@given(log=logs())
def test_nothing_raises_and_no_record_is_lost(log: Log) -> None:
    engine, one_by_one = fresh_engine(), Effects()
    for i in range(len(log.keys)):
        one_by_one.extend(feed(engine, log.batch(i, i + 1)))
        check_invariants(engine)
    at_once = feed(fresh_engine(), log.batch())
    assert not difference(one_by_one, at_once), "a result depends on its batch"
    dead = Counter((r.partition, r.offset) for r in at_once.dead)
    assert not dead or max(dead.values()) == 1, "a record is refused once, for one reason"
    for rejection in at_once.dead:
        at = [
            i for i in range(len(log.keys))
            if (log.partitions[i], log.offsets[i]) == (rejection.partition, rejection.offset)
        ]  # fmt: skip
        assert [(log.keys[i], log.values[i]) for i in at] == [(rejection.key, rejection.value)], (
            "a refused record is kept as it was"
        )
        assert rejection.reason is not Reason.CORE_ERROR
