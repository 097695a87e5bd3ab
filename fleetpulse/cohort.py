"""A cohort: all devices of one profile revision, as columns.

`absorb` takes decoded records and gathers what closed; `conclude` takes the scores of the closed
windows and decides alerts and rollups. Between the two nothing else may happen to the cohort.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetpulse.alerts import AlertStates, Transition
from fleetpulse.columns import NEVER, Arrays, Buffers, Columns, Tables, under
from fleetpulse.decode import Decoder
from fleetpulse.effects import F32, I32, I64, Resolution
from fleetpulse.identity import phase_of
from fleetpulse.layout import Layout
from fleetpulse.pieces import Pieces, turns
from fleetpulse.profile import Profile
from fleetpulse.rates import RateAccounts
from fleetpulse.rings import Rings, Settled
from fleetpulse.rollups import Buckets, Rollups, joined
from fleetpulse.sessions import Breaks, SessionChange, Sessions
from fleetpulse.statistics import describe
from fleetpulse.zscore import ZScores

_ROWS_AT_FIRST = 16
_ROWS_AT_ONCE_MAX = 128
_RESERVED_BYTES = 256 << 20
"""Address space taken at first, so that growing seldom copies; it is no memory until used."""


@dataclass(frozen=True, slots=True)
class ClosedWindows:
    """Windows that closed, in each device's order. ends: slots, exclusive."""

    rows: I64
    ends: I64
    samples: F32


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a cohort decided about one batch."""

    windows: ClosedWindows
    scores: F32
    transitions: list[Transition]
    rollups: dict[Resolution, Buckets]
    sessions: list[SessionChange]


class Cohort:
    """Rings, scores, alert states and running rollups of one profile's devices."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.layout = Layout.of(profile)
        limit = profile.rate_limit
        self.rates = RateAccounts(profile, limit) if limit else None
        self.decoder = Decoder(profile, self.rates)
        self.keys: list[bytes] = []
        self.partitions: I32 = np.empty(0, np.int32)
        self.phases: I64 = np.empty(0, np.int64)
        self.rings = Rings(self.layout)
        self.alerts = AlertStates(profile.alert)
        self.rollups = Rollups(len(profile.channels))
        self.zscores = None if profile.model else ZScores(profile.zscore, len(profile.channels))
        self.sessions = Sessions(profile.session, profile.channels) if profile.session else None
        self.row_bytes = sum(table.row_bytes for table in self._tables().values())
        """Memory of a device."""
        self._free: list[int] = []
        self._windows: list[ClosedWindows] = []
        self._seconds: list[Buckets] = []
        self._second_ends: list[I64] = []
        self._moved: list[Settled] = []
        self._breaks: list[Breaks] = []

    # rows

    @property
    def active(self) -> int:
        """Devices that have a row."""
        return len(self.keys) - len(self._free)

    def add(self, key: bytes, partition: int) -> int:
        """A fresh row for a device."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.keys[row] = key
        self.partitions[row] = partition
        hop = self.layout.hop
        self.phases[row] = 0 if self.profile.window.aligned else phase_of(key, hop)
        return row

    def add_all(self, keys: list[bytes], partition: int) -> I64:
        """Fresh rows for devices of one partition."""
        return np.array([self.add(key, partition) for key in keys], np.int64)

    def remove(self, rows: I64) -> None:
        """Forget devices; their rows may be used again."""
        for table in self._tables().values():
            table.reset(rows)
        self.partitions[rows] = -1
        for row in rows.tolist():
            self.keys[row] = b""
            self._free.append(row)

    def export(self, rows: I64, buffers: Buffers | None = None) -> Arrays:
        """Copies of these rows' state, by column name."""
        out: Arrays = {}
        for name, table in self._tables().items():
            found = table.export(rows, buffers, f"{self.profile.ref}.{name}")
            out |= {f"{name}.{column}": values for column, values in found.items()}
        return out

    def load(self, rows: I64, arrays: Arrays) -> None:
        """Set rows from an export."""
        for name, table in self._tables().items():
            table.load(rows, under(f"{name}.", arrays))

    def _tables(self) -> dict[str, Columns | Tables]:
        tables: dict[str, Columns | Tables] = {
            "rings": self.rings,
            "alerts": self.alerts,
            "rollups": self.rollups,
        }
        if self.zscores is not None:
            tables["zscores"] = self.zscores
        if self.rates is not None:
            tables["rates"] = self.rates
        if self.sessions is not None:
            tables["sessions"] = self.sessions
        return tables

    def _grow(self) -> None:
        """More rows for use; only rows that were in use take memory."""
        old = len(self.keys)
        ready = old + min(max(_ROWS_AT_FIRST, old), _ROWS_AT_ONCE_MAX)
        full = ready > self.rings.capacity
        for table in self._tables().values():
            if full:
                table.reserve(max(ready, 4 * old, _RESERVED_BYTES // self.row_bytes))
            table.reset(slice(old, ready))
        self.keys += [b""] * (ready - old)
        self.partitions = np.append(self.partitions, np.full(ready - old, -1, np.int32))
        self.phases = np.append(self.phases, np.zeros(ready - old, np.int64))
        self._free += range(ready - 1, old - 1, -1)

    # a batch

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

    def owes(self, rows: I64) -> NDArray[np.bool_]:
        """Whose alert or session is open."""
        is_open: NDArray[np.bool_] = self.alerts.open[rows]
        return is_open if self.sessions is None else is_open | self.sessions.is_open(rows)

    def fall_silent(self, rows: I64) -> None:
        """These devices are offline: their sessions end with what is settled by now."""
        if self.sessions is not None:
            self._breaks.append(Breaks(rows, self.layout.second_of(self.rings.settled[rows])))

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
        seconds = self.rollups.seconds(
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
            rollups |= self.rollups.fold(seconds, moved, now_s)
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
