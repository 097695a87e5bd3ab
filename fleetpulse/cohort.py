"""A cohort: all devices of one profile revision, as columns.

`absorb` takes decoded records and gathers what closed; `conclude` takes the scores of the closed
windows and decides alerts and rollups. Between the two nothing else may happen to the cohort.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetpulse.alerts import AlertStates, Transition
from fleetpulse.columns import Arrays, Buffers, Columns, Tables, under
from fleetpulse.decode import Decoder
from fleetpulse.effects import F32, I32, I64, Resolution
from fleetpulse.identity import phase_of
from fleetpulse.layout import Layout
from fleetpulse.pieces import Pieces
from fleetpulse.profile import Profile
from fleetpulse.rates import RateAccounts
from fleetpulse.rings import Closed, Rings, joined
from fleetpulse.rollups import Buckets, Rollups
from fleetpulse.sessions import Breaks, SessionChange, Sessions
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
        self._closed: list[Closed] = []
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
        closed = self.rings.absorb(pieces, self.phases, self.profile.window.coverage_min)
        self._closed.append(closed)
        return np.frombuffer(closed.late, np.int64)

    def owes(self, rows: I64) -> NDArray[np.bool_]:
        """Whose alert or session is open."""
        is_open: NDArray[np.bool_] = self.alerts.open[rows]
        return is_open if self.sessions is None else is_open | self.sessions.is_open(rows)

    def fall_silent(self, rows: I64) -> None:
        """These devices are offline: their sessions end with what is settled by now."""
        self.break_off(rows, self.layout.second_of(self.rings.settled[rows]))

    def break_off(self, rows: I64, seconds: I64) -> None:
        """End these devices' sessions before these seconds, none of which has closed before."""
        self._breaks.append(Breaks(rows, seconds))

    def broken_off(self) -> list[tuple[bytes, int]]:
        """Who fell silent since the last conclusion, and before which second sessions ended."""
        return [
            (self.keys[row], second)
            for each in self._breaks
            for row, second in zip(each.rows.tolist(), each.now_s.tolist(), strict=True)
        ]

    def closed_windows(self) -> ClosedWindows:
        """Windows that closed since the last conclusion and have enough coverage."""
        if len(self._closed) != 1:
            self._closed = [joined(self._closed)]
        closed, layout = self._closed[0], self.layout
        return ClosedWindows(
            np.frombuffer(closed.window_rows, np.int64),
            np.frombuffer(closed.window_ends, np.int64),
            np.frombuffer(closed.window_samples, np.float32).reshape(
                -1, layout.window, layout.channels
            ),
        )

    def conclude(self, windows: ClosedWindows, scores: F32) -> Conclusion:
        """Decide about everything that closed; `windows` is all of it, and has these scores."""
        layout, scores = self.layout, np.ascontiguousarray(scores, np.float32)
        closed = joined(self._closed)
        transitions: list[Transition] = []
        if len(windows.rows):
            starts_us = layout.time_us(windows.ends - layout.window)
            ends_us = layout.time_us(windows.ends)
            transitions = self.alerts.apply(windows.rows, starts_us, ends_us, scores)
        seconds = self.rollups.seconds(closed, scores, self.profile.alert.threshold)
        rollups = self.rollups.fold(seconds, closed.moved, self.rings.settled, layout.period_ns)
        sessions: list[SessionChange] = []
        if self.sessions is not None:
            moved = np.unique(np.frombuffer(closed.moved, np.int64))
            now_s = layout.second_of(self.rings.settled[moved])
            sessions = self.sessions.fold(rollups["second"], self._breaks, moved, now_s)
        self._closed, self._breaks = [], []
        return Conclusion(windows, scores, transitions, rollups, sessions)
