"""What holds for an engine between any two batches."""

import numpy as np

from fleetpulse.cohort import Cohort
from fleetpulse.columns import FOREVER, NEVER
from fleetpulse.directory import ABSENT, Directory
from fleetpulse.effects import RESOLUTION_S
from fleetpulse.engine import Engine, PartitionState
from fleetpulse.identity import partition_of, phase_of
from fleetpulse.rates import burst_ns
from fleetpulse.silence import STEP_MAX_US


def check_invariants(engine: Engine) -> None:
    """Of directory, silence, cohorts, rings, alerts, rollups and sessions."""
    check_directory(engine.directory)
    check_silence(engine)
    for cohort in engine.directory.cohorts:
        rows = np.flatnonzero(cohort.partitions >= 0)
        owned = set(cohort.partitions[rows].tolist())
        assert owned <= set(engine.partitions), "a device lives in a partition that is not owned"
        check_fresh(cohort, np.array(sorted(cohort._free), np.int64))
        for row in rows.tolist():
            check_ring(cohort, row)
            check_alert(cohort, row)
            check_rollups(cohort, row)
            check_session(cohort, row)
            check_rate(cohort, row, engine.partitions[int(cohort.partitions[row])])
        waiting = [*cohort._closed, *cohort._breaks]
        assert not waiting, "something closed and was not concluded"


def check_directory(directory: Directory) -> None:
    """Keys, handles and rows name each other; free ones are not in use."""
    handles = directory._handles
    used = set(handles.values())
    assert len(used) == len(handles), "two devices share a handle"
    free = directory._free
    assert len(set(free)) == len(free), "a handle is free twice"
    assert used.isdisjoint(free), "a device's handle is free"
    assert used | set(free) == set(range(len(directory.row_of))), "a handle is lost"
    places = set()
    passive = 0
    for key, handle in handles.items():
        cohort_id, row = int(directory.cohort_of[handle]), int(directory.row_of[handle])
        cohort = directory.cohorts[cohort_id]
        assert directory.keys[handle] == key, "a handle stands for another device"
        if row == ABSENT:
            passive += 1
            assert directory.copied[handle], "something happened to a passive device"
            assert not directory.unstored(np.array([handle]))[0], "a state is nowhere"
            continue
        places.add((cohort_id, row))
        assert not directory.owes[handle], "what an active device owes is in its row"
        assert cohort.keys[row] == key, "a device's row belongs to another"
        assert cohort.partitions[row] == directory.partition_of[handle], "two partitions of one"
        hop = cohort.profile.window.hop
        phase = 0 if cohort.profile.window.aligned else phase_of(key, hop)
        assert cohort.phases[row] == phase, "a device has another's phase"
    assert passive == directory.passive_total, "passive devices are miscounted"
    assert len(places) == len(handles) - passive, "two devices share a row"
    for cohort_id, cohort in enumerate(directory.cohorts):
        rows = {row for number, row in places if number == cohort_id}
        assert len(set(cohort._free)) == len(cohort._free), "a row is free twice"
        assert rows.isdisjoint(cohort._free), "a device's row is free"
        assert rows | set(cohort._free) == set(range(len(cohort.keys))), "a row is lost"
        assert min(cohort.rings.capacity, cohort.alerts.capacity) >= len(cohort.keys)
    blank = Directory()
    blank.grow(1)
    held, fresh = directory.export(np.array(free, np.int64)), blank.export(np.array([0]))
    for name, values in held.items():
        assert (values == fresh[name]).all(), f"{name} of a free handle is another device's"


def check_silence(engine: Engine) -> None:
    """Who is offline waits for nothing; who is online and was heard has a deadline."""
    directory = engine.directory
    for key, handle in directory._handles.items():
        cohort = directory.cohorts[directory.cohort_of[handle]]
        heard = bool(directory.accepted_us[handle] != NEVER)
        waits = bool(directory.deadline_us[handle] < FOREVER)
        online = heard and not directory.offline[handle]
        assert waits == (online and cohort.profile.offline_after_us > 0)
        assert heard or not directory.offline[handle]
        state = engine.partitions[int(directory.partition_of[handle])]
        assert key not in state.away
        assert directory.paused[handle] == state.control.is_paused(key)
        assert directory.accepted_us[handle] <= directory.heard_us[handle] <= state.log_time_us
        if waits and not directory.paused[handle]:
            deadline_us = int(directory.deadline_us[handle])
            newest_us = state.clock.attended_us + STEP_MAX_US
            assert deadline_us > state.clock.attended_us, "somebody is silent and not offline"
            assert deadline_us >= state.clock.quiet_until_us, "nobody would look in time"
            assert deadline_us <= newest_us + cohort.profile.offline_after_us
    for partition, state in engine.partitions.items():
        assert all(partition_of(key, engine.partitions_total) == partition for key in state.away)


def check_session(cohort: Cohort, row: int) -> None:
    """A session has a start and at least one second; none has neither."""
    sessions = cohort.sessions
    if sessions is None:
        return
    start, last = int(sessions.starts.second[row]), int(sessions.span.index[row])
    tail, settled = int(sessions.tail.index[row]), int(cohort.rings.settled[row])
    if last == NEVER:
        assert start == NEVER
        assert tail == NEVER, "seconds of no session are kept"
        return
    assert NEVER < start <= last < cohort.layout.second_of(np.array([settled]))[0]
    spec = cohort.profile.session
    assert spec is not None
    assert tail == NEVER or last < tail <= last + spec.gap_s


def check_rate(cohort: Cohort, row: int, state: PartitionState) -> None:
    """Nobody has used more than the burst."""
    limit = cohort.profile.rate_limit
    if cohort.rates is not None and limit is not None:
        ahead_ns = int(cohort.rates.paid_ns[row]) - state.log_time_us * 1000
        assert ahead_ns <= burst_ns(cohort.profile, limit)


def check_fresh(cohort: Cohort, rows: np.ndarray) -> None:
    """A free row holds nothing of its last device."""
    if not len(rows):
        return
    assert all(cohort.keys[row] == b"" for row in rows.tolist())
    assert (cohort.partitions[rows] == -1).all()
    state = cohort.export(rows)
    blank = Cohort(cohort.profile)
    row = blank.add(b"t/d", 0)
    for name, expected in blank.export(np.array([row])).items():
        same = np.array_equal(state[name], np.repeat(expected, len(rows), axis=0),
                              equal_nan=expected.dtype.kind == "f")  # fmt: skip
        assert same, f"{name} of a free row is another device's"


def check_ring(cohort: Cohort, row: int) -> None:
    """The invariants of fleetpulse.rings."""
    rings, layout = cohort.rings, cohort.layout
    head, settled = int(rings.head[row]), int(rings.settled[row])
    if head == NEVER:
        assert np.isnan(rings.ring[row]).all(), "a device without samples has values"
        return
    watermark = head - layout.lateness
    assert watermark <= settled <= head, "settled is between watermark and head"
    first = head - layout.ring
    values = rings.gather(np.array([row]), np.array([first]), layout.ring)[0]
    missing = np.isnan(values).any(axis=1)
    assert not missing[watermark - first : settled - first].any(), "a settled slot lacks a value"
    if settled < head:
        assert missing[settled - first], "settled stops only at an incomplete slot"
    after = values[max(0, int(rings.last_missing[row]) + 1 - first) :]
    assert not np.isnan(after).any(), "an incomplete slot lies behind last_missing"
    assert not np.isinf(values).any()


def check_alert(cohort: Cohort, row: int) -> None:
    """Counts, open state and times of an alert agree."""
    alerts, rule = cohort.alerts, cohort.profile.alert
    over, under = int(alerts.over[row]), int(alerts.under[row])
    raised_us, cleared_us = int(alerts.raised_us[row]), int(alerts.cleared_us[row])
    assert not (over and under), "a score is high or low, not both"
    if alerts.open[row]:
        assert NEVER < alerts.raised_start_us[row] < raised_us <= alerts.score_us[row]
        assert raised_us >= cleared_us + round(rule.dedup_s * 1e6), "raised within dedup_s"
        assert under < rule.clear_after, "an alert is open that should have cleared"
    else:
        assert cleared_us == NEVER or raised_us < cleared_us, "closed without clearing"
    settled = int(cohort.rings.settled[row])
    if alerts.score_us[row] != NEVER:
        assert alerts.score_us[row] <= settled * cohort.layout.period_ns // 1000, (
            "a window was scored that was not settled"
        )


def check_rollups(cohort: Cohort, row: int) -> None:
    """Running buckets are those that settled lies in or before, and hold whole parts only."""
    settled = int(cohort.rings.settled[row])
    settled_s = settled * cohort.layout.period_ns // 1_000_000_000
    for level, running in cohort.rollups.levels.items():
        index = int(running.index[row])
        if index == NEVER:
            assert not running.count[row].any(), f"a {level} without a time has counts"
            continue
        assert (index + 1) * RESOLUTION_S[level] > settled_s, f"an ended {level} is still running"
        assert running.count[row].any(), f"an empty {level} is running"
