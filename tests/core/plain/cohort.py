"""A cohort as fleetpulse/cohort.py has it, with numpy in the kernel's place."""

import numpy as np
from numpy.typing import NDArray

from fleetpulse.cohort import ClosedWindows, Cohort, Conclusion
from fleetpulse.columns import NEVER
from fleetpulse.effects import F32, I64, Resolution
from fleetpulse.pieces import Pieces
from fleetpulse.profile import Profile
from fleetpulse.rollups import Buckets
from fleetpulse.sessions import SessionChange
from tests.core.plain.alerts import PlainAlerts
from tests.core.plain.rings import PlainRings, Settled, turns
from tests.core.plain.rollups import PlainRollups, describe, joined
from tests.core.plain.zscore import PlainZScores


class PlainCohort(Cohort):
    """Takes and answers the same."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self.rings: PlainRings = PlainRings(self.layout)
        self.alerts: PlainAlerts = PlainAlerts(profile.alert)
        self.rollups: PlainRollups = PlainRollups(len(profile.channels))
        if self.zscores is not None:
            self.zscores = PlainZScores(profile.zscore, len(profile.channels))
        self._windows: list[ClosedWindows] = []
        self._seconds: list[Buckets] = []
        self._second_ends: list[I64] = []
        self._moved: list[Settled] = []

    def absorb(self, pieces: Pieces) -> I64:
        """Apply records in each device's order; returns the pieces with samples that came late."""
        late = [np.empty(0, np.int64)]
        for turn in turns(pieces, self.layout.run_max):
            rows, slots = turn.run_rows, turn.run_slots
            head = self.rings.head[rows]
            fresh = head == NEVER
            if fresh.any():
                self.rings.begin(rows[fresh], slots[fresh])
                head = self.rings.head[rows]
            ahead = slots > head
            if ahead.any():
                self._skip(rows[ahead], slots[ahead])
            settled, late_pieces = self.rings.write(pieces, turn)
            self._close(settled)
            late.append(late_pieces)
        return np.concatenate(late)

    def _skip(self, rows: I64, targets: I64) -> None:
        """Let time pass over slots that nobody sent, closing what ends in them."""
        skipped = 0
        # beyond the ring there are no values, and beyond one more second no second that a score
        # of them belongs to
        empty = self.layout.ring + self.layout.second
        while len(rows):
            if skipped >= empty:
                self._close_none(self.rings.jump(rows, targets))
                return
            self._close(self.rings.skip(rows, targets))
            skipped += self.layout.run_max
            behind = self.rings.head[rows] < targets
            rows, targets = rows[behind], targets[behind]

    def _close_none(self, settled: Settled) -> None:
        """Units without any value are not units: only time passes."""
        self._moved.append(settled)

    def _close(self, settled: Settled) -> None:
        moved = settled.after > settled.before
        if not moved.any():
            return
        if not moved.all():
            settled = Settled(settled.rows[moved], settled.before[moved], settled.after[moved])
        self._moved.append(settled)
        self._close_windows(settled)
        self._close_seconds(settled)

    def _close_windows(self, settled: Settled) -> None:
        phases = self.phases[settled.rows]
        first = self.layout.windows_closed(settled.before, phases)
        counts = self.layout.windows_closed(settled.after, phases) - first
        total = int(counts.sum())
        if not total:
            return
        rows = np.repeat(settled.rows, counts)
        nth = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        index = np.repeat(first, counts) + 1 + nth
        ends = self.layout.window_end(index, self.phases[rows])
        starts = ends - self.layout.window
        samples = self.rings.gather(rows, starts, self.layout.window)
        gapped = starts <= self.rings.last_missing[rows]
        if gapped.any():
            usable = ~gapped
            usable[gapped] = _covered(samples[gapped], self.profile.window.coverage_min)
            samples[gapped] = _held(samples[gapped])
            rows, ends, samples = rows[usable], ends[usable], samples[usable]
        self._windows.append(ClosedWindows(rows, ends, samples))

    def _close_seconds(self, settled: Settled) -> None:
        first = self.layout.seconds_closed(settled.before)
        counts = self.layout.seconds_closed(settled.after) - first
        total = int(counts.sum())
        if not total:
            return
        rows = np.repeat(settled.rows, counts)
        nth = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        second, starts, sizes = self.layout.second_spans(np.repeat(first, counts) + 1 + nth)
        samples = self.rings.gather(rows, starts, self.layout.second)
        short = sizes < self.layout.second
        if short.any():
            samples[np.arange(self.layout.second) >= sizes[:, None]] = np.nan
        none = np.zeros(len(rows), np.int64)
        self._seconds.append(Buckets(rows, second, describe(samples), none))
        self._second_ends.append(starts + sizes)

    def closed_windows(self) -> ClosedWindows:
        """Windows that closed since the last conclusion and have enough coverage."""
        if len(self._windows) == 1:
            return self._windows[0]
        none = np.empty(0, np.int64)
        shape = (0, self.layout.window, self.layout.channels)
        return ClosedWindows(
            np.concatenate([none, *(w.rows for w in self._windows)]),
            np.concatenate([none, *(w.ends for w in self._windows)]),
            np.concatenate([np.empty(shape, np.float32), *(w.samples for w in self._windows)]),
        )

    def conclude(self, windows: ClosedWindows, scores: F32) -> Conclusion:
        """Decide about everything that closed; `scores` belong to `windows`."""
        starts_us = self.layout.time_us(windows.ends - self.layout.window)
        ends_us = self.layout.time_us(windows.ends)
        transitions = self.alerts.apply(windows.rows, starts_us, ends_us, scores)
        channels = self.layout.channels
        seconds = self.rollups.seconds_with_scores(
            windows.rows,
            windows.ends,
            scores,
            scores.astype(np.float64) > self.profile.alert.threshold,
            joined(self._seconds, channels),
            np.concatenate([np.empty(0, np.int64), *self._second_ends]),
        )
        rollups: dict[Resolution, Buckets] = {"second": seconds}
        sessions: list[SessionChange] = []
        if self._moved or self._breaks:
            none = np.empty(0, np.int64)
            moved = np.unique(np.concatenate([none, *(s.rows for s in self._moved)]))
            now_s = self.layout.second_of(self.rings.settled[moved])
            rollups |= self.rollups.merged_upwards(seconds, moved, now_s)
            if self.sessions is not None:
                sessions = self.sessions.fold(seconds, self._breaks, moved, now_s)
        self._windows, self._seconds, self._second_ends = [], [], []
        self._moved, self._breaks = [], []
        return Conclusion(windows, scores, transitions, rollups, sessions)


def _covered(samples: F32, coverage_min: float) -> NDArray[np.bool_]:
    """Windows with enough values, and at least one of each channel."""
    present: NDArray[np.bool_] = ~np.isnan(samples)
    each_channel = np.all(np.any(present, axis=1), axis=1)
    enough = np.count_nonzero(present, axis=(1, 2)) / present[0].size >= coverage_min
    return np.asarray(each_channel & enough)


def _held(samples: F32) -> F32:
    """Fill gaps with the last value before them; leading ones with the first value."""
    present = ~np.isnan(samples)
    slot = np.where(present, np.arange(samples.shape[1])[None, :, None], -1)
    np.maximum.accumulate(slot, axis=1, out=slot)
    first = present.argmax(axis=1)[:, None, :]
    return np.take_along_axis(samples, np.where(slot < 0, first, slot), axis=1)
