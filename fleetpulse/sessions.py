"""Sessions: spans in which a channel is above a level, with what was measured meanwhile.

They are made of emitted seconds, in order; a session's statistics are the merge of its seconds,
so no number depends on where batches were cut (docs/semantics.md, 26 to 29).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import NEVER, Column, Columns, Tables
from fleetpulse.effects import I64, SessionKind
from fleetpulse.profile import SessionSpec
from fleetpulse.ragged import in_turns
from fleetpulse.rollups import Buckets, OpenBucket
from fleetpulse.statistics import Stats

NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class SessionChange:
    """A device's session begins or ends; seconds since the epoch, end_s exclusive.

    stats: one row, channels and then scores; of the seconds so far.
    """

    row: int
    kind: SessionKind
    start_s: int
    end_s: int
    stats: Stats
    over: int


class _Starts(Columns):
    """The first second of each open session."""

    second: I64

    def __init__(self) -> None:
        super().__init__({"second": Column(np.int64, (), NEVER)})


@dataclass(frozen=True, slots=True)
class Breaks:
    """Devices that fell silent, and the second in which their settled slot lay by then."""

    rows: I64
    now_s: I64


class Sessions(Tables):
    """Per device the open session: its first second, the merge of its seconds up to the last
    active one (`span`, whose index is that second; NEVER: none open), and of those since (`tail`).
    """

    def __init__(self, spec: SessionSpec, channels: tuple[str, ...]) -> None:
        self._channel = channels.index(spec.channel)
        self._above = spec.above
        self._gap_s = spec.gap_s
        self.starts = _Starts()
        self.span = OpenBucket(len(channels) + 1)
        self.tail = OpenBucket(len(channels) + 1)
        super().__init__({"starts": self.starts, "span": self.span, "tail": self.tail})

    def fold(
        self, seconds: Buckets, breaks: list[Breaks], rows: I64, now_s: I64
    ) -> list[SessionChange]:
        """Take emitted seconds and breaks in each device's order; returns changes in that order.

        rows, now_s: all rows whose frontier moved, and the second it lies in.
        """
        changes: list[SessionChange] = []
        for silent, part in _in_order(seconds, breaks):
            changes += self.end(silent)
            changes += self._take(part)
        last = self.span.index[rows]
        return changes + self.end(rows[(last != NEVER) & (now_s > last + self._gap_s)])

    def is_open(self, rows: I64) -> NDArray[np.bool_]:
        """Which rows have a session."""
        return np.asarray(self.span.index[rows] != NEVER)

    def end(self, rows: I64) -> list[SessionChange]:
        """End these rows' sessions, where there is one, with their last active second."""
        if not len(rows):
            return []
        rows = rows[self.is_open(rows)]
        changes = self._changes(rows, "ended")
        self.reset(rows)
        return changes

    def _take(self, part: Buckets) -> list[SessionChange]:
        """One second per row. Most go on with a session that has no tail, or have none."""
        rows = part.rows
        last = self.span.index[rows]
        changes = self.end(rows[(last != NEVER) & (part.index > last + self._gap_s)])
        is_open = self.is_open(rows)
        active = part.stats.max[:, self._channel] > self._above
        off = np.flatnonzero(is_open & ~active)
        if len(off):
            self.tail.add(part.take(off), part.index[off])
        if not active.any():
            return changes
        on = part if active.all() else part.take(np.flatnonzero(active))
        begun = active & ~is_open
        self.starts.second[rows[begun]] = part.index[begun]
        tailed = on.rows[self.tail.index[on.rows] != NEVER]
        if len(tailed):
            self.span.add(self.tail.read(tailed), self.tail.index[tailed])
            self.tail.reset(tailed)
        self.span.add(on, on.index)
        return changes + self._changes(rows[begun], "started")

    def _changes(self, rows: I64, kind: SessionKind) -> list[SessionChange]:
        if not len(rows):
            return []
        held = self.span.read(rows)
        starts = self.starts.second[rows].tolist()
        return [
            SessionChange(
                row,
                kind,
                starts[at],
                int(held.index[at]) + 1,
                held.stats.take(np.array([at])),
                int(held.over[at]),
            )
            for at, row in enumerate(rows.tolist())
        ]


def _in_order(seconds: Buckets, breaks: list[Breaks]) -> Iterator[tuple[I64, Buckets]]:
    """Rows that fell silent and seconds, at most one of either per row and turn.

    A break comes before the second in which the settled slot lay: that one was not closed yet.
    """
    if not breaks:
        for turn in in_turns(seconds.rows):
            yield NO_ROWS, seconds.take(turn)
        return
    silent = np.concatenate([each.rows for each in breaks])
    rows = np.concatenate([silent, seconds.rows])
    index = np.concatenate([*(each.now_s for each in breaks), seconds.index])
    of_second = np.arange(len(rows)) >= len(silent)
    order = np.lexsort((of_second, index, rows))
    for turn in in_turns(rows[order]):
        event = order[turn]
        mine = of_second[event]
        yield rows[event[~mine]], seconds.take(event[mine] - len(silent))
