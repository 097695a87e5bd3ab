"""What must be replaced: the live run and the repaired run of one device, compared."""

from dataclasses import dataclass

import numpy as np

from fleetpulse.cohort import Cohort
from fleetpulse.columns import NEVER
from fleetpulse.effects import I64, RESOLUTION_S, Resolution, RollupRows, ScoreRows, taken
from fleetpulse.outcome import rollup_rows
from fleetpulse.recompute.ledger import AlertLife, Ledger, changed_rollups, changed_scores
from fleetpulse.recompute.ranges import TimeRange, open_buckets
from fleetpulse.recompute.sessions import SessionCorrection, compare_sessions, ends_us
from fleetpulse.rollups import Buckets, OpenBucket

FOREVER_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Correction:
    """A promotion's content, for one device."""

    key: bytes
    rollups: list[RollupRows]
    """Closed minutes, hours and days."""
    withheld: list[RollupRows]
    """Touched buckets that are still open, as they are so far: hidden, and live's never shown."""
    alerts: list[AlertLife]
    """Every alert of that time, as it should have been."""
    alerts_changed: frozenset[str]
    """Ids of those that live's run does not give as well: the others live has, or had before the
    log that is left."""
    alerts_before: list[str]
    """Ids that live has given in that time."""
    alert_range: TimeRange
    """Alerts raised in it that are not in `alerts` are withdrawn."""
    sessions: SessionCorrection
    scores: list[ScoreRows]
    seconds: list[RollupRows]
    minutes: list[RollupRows]
    """With other bits than live's: what Kafka must be told."""
    complete: bool
    """Nothing touched is open any more, and live goes on from the same alert state."""
    settled_us: int
    exact_from_us: int
    """What begins earlier stays as it was: the runs lack records of it. 0: they have all."""
    open_until_us: int
    """When something touched that is open can end at the earliest; 0: nothing is."""
    scored: bool
    """False: of values alone. Scores, alerts and score statistics stay as live made them, so no
    bucket is withheld that is not yet: live's would be refused with its scores."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """Where a run has left a device. ended: it has another profile since, or none."""

    cohort: Cohort
    row: int
    ended: bool

    @property
    def settled_us(self) -> int:
        """Event time below which nothing is open."""
        if self.ended:
            return FOREVER_US
        settled = int(self.cohort.rings.settled[self.row])
        return settled if settled == NEVER else settled * self.cohort.layout.period_ns // 1000

    @property
    def newest_us(self) -> int:
        """Event time of the newest sample."""
        head = int(self.cohort.rings.head[self.row])
        return head if head == NEVER else (head - 1) * self.cohort.layout.period_ns // 1000

    @property
    def session_ends_us(self) -> int:
        """When the session that runs can end at the earliest."""
        return ends_us(self.cohort, self.row)

    def running(self, level: Resolution, start_us: int) -> RollupRows:
        """A bucket that has not ended, as far as it goes."""
        buckets = self.cohort.rollups.levels[level]
        index = start_us // (RESOLUTION_S[level] * 1_000_000)
        if int(buckets.index[self.row]) != index:
            return rollup_rows(self.cohort, level, _empty(self.cohort, self.row, index))
        return rollup_rows(self.cohort, level, buckets.read(np.array([self.row])))


def compare(
    touched: TimeRange,
    reach_us: int,
    exact_from_us: int,
    gap_us: int,
    before: Ledger,
    after: Ledger,
    live: RunEnd | None,
    next_: RunEnd,
) -> Correction:
    """What replaces live's view of `touched`.

    reach_us: how far behind a sample it still touches a window.
    exact_from_us: both runs lack records from before it; buckets that begin earlier, and alerts
    that were raised earlier, stay as they are. gap_us: see `compare_sessions`. Ledgers without
    scores give a correction of values alone.
    """
    scored = after.scored
    settled_us = next_.settled_us
    raised = TimeRange(max(touched.from_us, exact_from_us), max(touched.to_us, settled_us + 1))
    reached = TimeRange(touched.from_us, min(touched.to_us, next_.newest_us + reach_us))
    pending = [each for each in open_buckets(reached, settled_us) if each[1] >= exact_from_us]
    changed = changed_rollups(before.rollups, after.rollups)
    alerts = [
        each
        for each in after.alerts.values()
        if each.raised.raised_at_us >= exact_from_us and each.last_us >= touched.from_us
    ]
    sessions = compare_sessions(touched, exact_from_us, gap_us, before.sessions, after.sessions)
    open_until_us = [start_us + RESOLUTION_S[level] * 1_000_000 for level, start_us in pending]
    if sessions.runs:
        open_until_us.append(next_.session_ends_us)
    ids = {each.raised.alert_id: each for each in alerts}
    return Correction(
        key=after.key,
        rollups=_exact(after.rollups, exact_from_us),
        withheld=[next_.running(*each) for each in pending],
        alerts=alerts,
        alerts_changed=frozenset(x for x, life in ids.items() if before.alerts.get(x) != life),
        alerts_before=list(before.alerts),
        alert_range=raised if scored else TimeRange(0, 0),
        sessions=sessions,
        scores=changed_scores(before.scores, after.scores),
        seconds=[rows for rows in changed if rows.resolution == "second"],
        minutes=_exact([rows for rows in changed if rows.resolution == "minute"], exact_from_us),
        complete=not open_until_us and (not scored or _same_alert_state(live, next_)),
        settled_us=settled_us,
        exact_from_us=exact_from_us,
        open_until_us=min(open_until_us, default=0),
        scored=scored,
    )


def _exact(rollups: list[RollupRows], exact_from_us: int) -> list[RollupRows]:
    """Those that go to PostgreSQL and begin when nothing is missing."""
    found = [
        taken(rows, np.flatnonzero(rows.bucket_us >= exact_from_us))
        for rows in rollups
        if rows.resolution != "second"
    ]
    return [rows for rows in found if len(rows.devices)]


def _same_alert_state(live: RunEnd | None, next_: RunEnd) -> bool:
    """Whether every later window has the same consequences in both."""
    if live is None or next_.ended:
        return True
    if live.cohort.profile != next_.cohort.profile:
        return False
    a, b = live.cohort.alerts, next_.cohort.alerts
    names = ["over", "under", "open"]
    if a.open[live.row]:
        names += ["raised_start_us", "peak"]
    if any(getattr(a, name)[live.row] != getattr(b, name)[next_.row] for name in names):
        return False
    quiet_us = [int(each.cleared_us[end.row]) for each, end in ((a, live), (b, next_))]
    dedup_us = round(live.cohort.profile.alert.dedup_s * 1e6)
    return quiet_us[0] == quiet_us[1] or max(quiet_us) + dedup_us <= next_.settled_us


def _empty(cohort: Cohort, row: int, index: int) -> Buckets:
    blank = OpenBucket(cohort.rollups.series)
    blank.grow(1)
    stats = blank.read(np.array([0])).stats
    at: I64 = np.array([row])
    return Buckets(at, np.array([index]), stats, np.zeros(1, np.int64))
