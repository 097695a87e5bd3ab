"""Index arithmetic for groups of unequal size."""

from collections.abc import Iterator

import numpy as np

from fleetpulse.effects import I64


def ragged_range(starts: I64, counts: I64) -> I64:
    """starts[0], starts[0]+1, … (counts[0] of them), then the same of starts[1], and so on."""
    total = int(counts.sum())
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(total)


def occurrence(rows: I64) -> I64:
    """How many equal entries stand before each entry."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.append(first, len(rows)))
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - np.repeat(first, sizes)
    return rank


def in_turns(rows: I64) -> Iterator[I64]:
    """Split into index groups without equal rows: all first entries, all second, and so on.

    What is done turn by turn happens to each row in its own order, and vectorised.
    """
    if not len(rows):
        return
    rank = occurrence(rows)
    for turn in range(int(rank.max()) + 1):
        yield np.flatnonzero(rank == turn)
