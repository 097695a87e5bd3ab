"""Decoded records of one cohort, and the order in which they are applied."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fleetpulse.effects import F32, I64


@dataclass(frozen=True, slots=True)
class Pieces:
    """Records as pieces of consecutive slots, in log order per row.

    rows, slots (first), counts, sources (first row in `samples`), records (index in the batch):
    int64 [k]. samples: float32 [total, channels], NaN where a channel is absent.
    """

    rows: I64
    slots: I64
    counts: I64
    sources: I64
    records: I64
    samples: F32
    complete: bool
    """No NaN in `samples`."""


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
