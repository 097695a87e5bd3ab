"""What holds for an engine between any two batches."""

import numpy as np

from fleetpulse.cohort import Cohort
from fleetpulse.columns import NEVER
from fleetpulse.directory import ABSENT, Directory
from fleetpulse.effects import RESOLUTION_S
from fleetpulse.engine import Engine
from fleetpulse.identity import phase_of


def check_invariants(engine: Engine) -> None:
    """Of directory, cohorts, rings, alerts and rollups."""
    check_directory(engine.directory)
    for cohort in engine.directory.cohorts:
        rows = np.flatnonzero(cohort.partitions >= 0)
        owned = set(cohort.partitions[rows].tolist())
        assert owned <= set(engine.partitions), "a device lives in a partition that is not owned"
        check_fresh(cohort, np.array(sorted(cohort._free), np.int64))
        for row in rows.tolist():
            check_ring(cohort, row)
            check_alert(cohort, row)
            check_rollups(cohort, row)
        waiting = [*cohort._windows, *cohort._seconds, *cohort._moved]
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
    for key, handle in handles.items():
        cohort_id, row = int(directory.cohort_of[handle]), int(directory.row_of[handle])
        cohort = directory.cohorts[cohort_id]
        places.add((cohort_id, row))
        assert cohort.keys[row] == key, "a device's row belongs to another"
        assert cohort.partitions[row] == directory.partition_of[handle], "two partitions of one"
        hop = cohort.profile.window.hop
        phase = 0 if cohort.profile.window.aligned else phase_of(key, hop)
        assert cohort.phases[row] == phase, "a device has another's phase"
    assert len(places) == len(handles), "two devices share a row"
    for cohort_id, cohort in enumerate(directory.cohorts):
        rows = {row for number, row in places if number == cohort_id}
        assert len(set(cohort._free)) == len(cohort._free), "a row is free twice"
        assert rows.isdisjoint(cohort._free), "a device's row is free"
        assert rows | set(cohort._free) == set(range(len(cohort.keys))), "a row is lost"
        assert {table.capacity for table in (cohort.rings, cohort.alerts)} <= {len(cohort.keys)}
    assert all(directory.partition_of[handle] == ABSENT for handle in free)


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
