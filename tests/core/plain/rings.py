"""What fleetpulse/kernel/rings.c does, with numpy: whole runs of all devices at once.

Written before the kernel and independently of it; the kernel takes piece by piece.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F32, I64
from fleetpulse.pieces import Pieces
from fleetpulse.ragged import ragged_range
from fleetpulse.rings import Rings

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows whose frontier moved from `before` to `after` (int64 [n], rows distinct)."""

    rows: I64
    before: I64
    after: I64


@dataclass(frozen=True, slots=True)
class Turn:
    """At most one run of adjoining pieces per row.

    run_rows, run_slots, run_counts: int64 [runs]. pieces: indices into Pieces, or None for all in
    order; piece_runs: the run of each of them.
    """

    run_rows: I64
    run_slots: I64
    run_counts: I64
    pieces: I64 | None
    piece_runs: I64


def turns(pieces: Pieces, run_max: int) -> Iterator[Turn]:
    """Join adjoining pieces into runs of at most `run_max` slots; one run per row and turn.

    A run may be applied as a whole: applying its records one by one gives the same state and
    closes the same units with the same content (docs/adr/0004).
    """
    order = np.argsort(pieces.rows, kind="stable")
    rows, slots, counts = pieces.rows[order], pieces.slots[order], pieces.counts[order]
    same_row = rows[1:] == rows[:-1]
    adjoins = same_row & (slots[1:] == slots[:-1] + counts[:-1])
    begins = np.concatenate(([True], ~adjoins))
    begins |= _overlong(begins, counts, run_max)
    first = np.flatnonzero(begins)
    run_of = np.cumsum(begins) - 1
    run_rows, run_slots = rows[first], slots[first]
    run_counts = np.add.reduceat(counts, first)
    row_begins = np.concatenate(([True], run_rows[1:] != run_rows[:-1]))
    row_first = np.flatnonzero(row_begins)
    rank = np.arange(len(first)) - row_first[np.cumsum(row_begins) - 1]
    last = int(rank.max())
    if last == 0:
        back = np.empty_like(order)
        back[order] = run_of
        yield Turn(run_rows, run_slots, run_counts, None, back)
        return
    for turn in range(last + 1):
        chosen = rank == turn
        position = np.cumsum(chosen) - 1
        mine = chosen[run_of]
        yield Turn(
            run_rows[chosen],
            run_slots[chosen],
            run_counts[chosen],
            order[mine],
            position[run_of[mine]],
        )


def _overlong(begins: np.ndarray, counts: I64, run_max: int) -> np.ndarray:
    """Where to begin anew so that no run exceeds run_max. A piece has at most run_max / 2 slots."""
    before = np.cumsum(counts) - counts
    first = np.flatnonzero(begins)
    within = before - before[first][np.cumsum(begins) - 1]
    chunk = within // (run_max // 2)
    return np.concatenate(([False], chunk[1:] != chunk[:-1]))


class PlainRings(Rings):
    """The same columns."""

    def cells(self, rows: I64, slots: I64, counts: I64 | int) -> I64:
        """Flat ring positions of `counts` slots from each of `slots`: [n, counts] if uniform."""
        size = self.layout.ring
        base = rows * size
        at = slots % size
        if isinstance(counts, int):
            index = at[:, None] + np.arange(counts)
            index[index >= size] -= size
            index += base[:, None]
            return index
        index = ragged_range(at, counts)
        wrap = np.repeat(at + counts > size, counts)
        index[wrap] -= size * (index[wrap] >= size)
        index += np.repeat(base, counts)
        return index

    def gather(self, rows: I64, slots: I64, count: int) -> F32:
        """Copy slots [slot, slot + count) of each row: float32 [n, count, channels]."""
        flat = self.ring.reshape(-1, self.layout.channels)
        return flat[self.cells(rows, slots, count)]

    def begin(self, rows: I64, slots: I64) -> None:
        """First sample ever of these rows: everything before it is absent."""
        self.head[rows] = slots
        self.settled[rows] = slots - self.layout.lateness
        self.last_missing[rows] = slots - 1

    def skip(self, rows: I64, targets: I64) -> Settled:
        """Move heads towards `targets` over slots that nobody sent, by at most one run."""
        head = self.head[rows]
        step = np.minimum(targets - head, self.layout.run_max)
        flat = self.ring.reshape(-1, self.layout.channels)
        flat[self.cells(rows, head, step)] = np.nan
        self.head[rows] = head + step
        self.last_missing[rows] = head + step - 1
        return self.settle(rows)

    def jump(self, rows: I64, targets: I64) -> Settled:
        """Move heads to `targets` where the whole ring is absent already."""
        before = self.settled[rows]
        after = np.maximum(before, targets - self.layout.lateness)
        self.head[rows] = targets
        self.settled[rows] = after
        self.last_missing[rows] = targets - 1
        return Settled(rows, before, after)

    def write(self, pieces: Pieces, turn: Turn) -> tuple[Settled, I64]:
        """Apply one turn whose runs begin at or before their head.

        Returns what settled, and the indices of pieces with samples that came too late.
        """
        rows, ends = turn.run_rows, turn.run_slots + turn.run_counts
        head = self.head[rows]
        clean = turn.run_slots == head
        late = np.empty(0, np.int64)
        if clean.all():
            self._write_through(pieces, turn.pieces)
        else:
            overlaps = ~clean[turn.piece_runs]
            chosen = np.arange(len(pieces.rows)) if turn.pieces is None else turn.pieces
            late = self._merge(pieces, chosen[overlaps])
            if not overlaps.all():
                self._write_through(pieces, chosen[~overlaps])
        self.head[rows] = np.maximum(head, ends)
        if pieces.complete:
            straight = clean & (self.settled[rows] == head)
        else:
            straight = np.zeros(len(rows), bool)
            self.last_missing[rows] = np.maximum(self.last_missing[rows], ends - 1)
        return self._settle_run(rows, straight), late

    def _settle_run(self, rows: I64, straight: Bools) -> Settled:
        if straight.all():
            before = self.settled[rows]
            after = self.head[rows]
            self.settled[rows] = after
            return Settled(rows, before, after)
        simple = rows[straight]
        before = self.settled[simple]
        self.settled[simple] = self.head[simple]
        careful = self.settle(rows[~straight])
        return Settled(
            np.concatenate((simple, careful.rows)),
            np.concatenate((before, careful.before)),
            np.concatenate((self.head[simple], careful.after)),
        )

    def _write_through(self, pieces: Pieces, chosen: I64 | None) -> None:
        """Store pieces at their head; what the ring held there is a ring length old."""
        rows, slots, counts, sources = (
            (pieces.rows, pieces.slots, pieces.counts, pieces.sources)
            if chosen is None
            else (
                pieces.rows[chosen],
                pieces.slots[chosen],
                pieces.counts[chosen],
                pieces.sources[chosen],
            )
        )
        flat = self.ring.reshape(-1, self.layout.channels)
        count = int(counts[0])
        if (counts == count).all():
            cells = self.cells(rows, slots, count)
            if len(rows) * count == len(pieces.samples) and (np.diff(sources) == count).all():
                flat[cells.ravel()] = pieces.samples
            else:
                flat[cells] = pieces.samples[sources[:, None] + np.arange(count)]
        else:
            flat[self.cells(rows, slots, counts)] = pieces.samples[ragged_range(sources, counts)]

    def _merge(self, pieces: Pieces, chosen: I64) -> I64:
        """Fill absent values of slots that are not settled by time; the first value wins."""
        rows, slots = pieces.rows[chosen], pieces.slots[chosen]
        counts = pieces.counts[chosen]
        flat = self.ring.reshape(-1, self.layout.channels)
        cells = self.cells(rows, slots, counts)
        slot = ragged_range(slots, counts)
        head = np.repeat(self.head[rows], counts)
        incoming = pieces.samples[ragged_range(pieces.sources[chosen], counts)]
        held = flat[cells]
        held[(slot >= head) | (slot < head - self.layout.ring)] = np.nan
        fresh = np.isnan(held)
        late = slot < head - self.layout.lateness
        on_time = ~late
        flat[cells[on_time]] = np.where(fresh[on_time], incoming[on_time], held[on_time])
        news = (fresh & ~np.isnan(incoming)).any(axis=1)
        return np.unique(np.repeat(chosen, counts)[late & news])

    def settle(self, rows: I64) -> Settled:
        """Recompute the frontier of rows that have incomplete slots."""
        before = self.settled[rows]
        head = self.head[rows]
        start = np.maximum(before, head - self.layout.lateness)
        after = start.copy()
        open_rows = np.flatnonzero(start < head)
        if len(open_rows):
            here = self.gather(rows[open_rows], start[open_rows], 1)[:, 0]
            moved = open_rows[~np.isnan(here).any(axis=1)]
            if len(moved):
                span = head[moved] - start[moved]
                reach = int(span.max())
                held = self.gather(rows[moved], start[moved], reach)
                missing = np.isnan(held).any(axis=2)
                missing |= np.arange(reach) >= span[:, None]
                first = np.where(missing.any(axis=1), missing.argmax(axis=1), reach)
                after[moved] = start[moved] + first
        self.settled[rows] = after
        return Settled(rows, before, after)
