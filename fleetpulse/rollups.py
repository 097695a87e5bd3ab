"""Tumbling rollups of a cohort: seconds from the rings, minutes from seconds, hours from minutes.

Statistics have one series per channel and a last one for the scores. A bucket is the merge of
its parts in time order, so no number depends on where batches were cut.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import NEVER, Column, Columns, Tables
from fleetpulse.effects import F32, I64, RESOLUTION_S, Resolution
from fleetpulse.ragged import in_turns
from fleetpulse.statistics import Stats, merge, single

LEVELS: tuple[Resolution, ...] = ("minute", "hour", "day")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Closed buckets. index: bucket start divided by its length; over: scores above threshold."""

    rows: I64
    index: I64
    stats: Stats
    over: I64

    def take(self, at: I64) -> "Buckets":
        """Rows by index."""
        return Buckets(self.rows[at], self.index[at], self.stats.take(at), self.over[at])


def joined(parts: list[Buckets], series: int) -> Buckets:
    """All of them, in order."""
    if not parts:
        none = np.empty((0, series))
        empty = np.empty(0, np.int64)
        counts = np.empty((0, series), np.int64)
        return Buckets(empty, empty, Stats(counts, none, none, none, none), empty)
    stats = [part.stats for part in parts]
    return Buckets(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.index for part in parts]),
        Stats(
            np.concatenate([s.count for s in stats]),
            np.concatenate([s.min for s in stats]),
            np.concatenate([s.max for s in stats]),
            np.concatenate([s.mean for s in stats]),
            np.concatenate([s.m2 for s in stats]),
        ),
        np.concatenate([part.over for part in parts]),
    )


class OpenBucket(Columns):
    """The running bucket of each device at one level; index NEVER: none."""

    index: I64
    count: I64
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    over: I64

    def __init__(self, series: int) -> None:
        super().__init__(
            {
                "index": Column(np.int64, (), NEVER),
                "count": Column(np.int64, (series,)),
                "min": Column(np.float64, (series,), np.inf),
                "max": Column(np.float64, (series,), -np.inf),
                "mean": Column(np.float64, (series,)),
                "m2": Column(np.float64, (series,)),
                "over": Column(np.int64),
            }
        )

    def read(self, rows: I64) -> Buckets:
        """Copies of the running buckets."""
        stats = Stats(
            self.count[rows], self.min[rows], self.max[rows], self.mean[rows], self.m2[rows]
        )
        return Buckets(rows, self.index[rows], stats, self.over[rows])

    def add(self, part: Buckets, index: I64) -> None:
        """Merge one part per row into the running buckets, which are now `index`."""
        rows = part.rows
        now = merge(self.read(rows).stats, part.stats)
        self.count[rows], self.min[rows], self.max[rows] = now.count, now.min, now.max
        self.mean[rows], self.m2[rows] = now.mean, now.m2
        self.over[rows] += part.over
        self.index[rows] = index


class Rollups(Tables):
    """The running buckets of a cohort at each level, and the scores of each running second."""

    def __init__(self, channels: int) -> None:
        self.series = channels + 1
        self.second_scores = OpenBucket(1)
        self.levels = {level: OpenBucket(self.series) for level in LEVELS}
        tables: dict[str, Columns] = {"second_scores": self.second_scores}
        super().__init__(tables | {str(level): table for level, table in self.levels.items()})

    def seconds(
        self,
        score_rows: I64,
        score_ends: I64,
        scores: F32,
        over: NDArray[np.bool_],
        closed: Buckets,
        closed_ends: I64,
    ) -> Buckets:
        """Give each closed second the scores of the windows that ended in it.

        `closed` has channel statistics only. Ends are slots (exclusive); at equal ends a window
        comes before a second. Seconds without any value are dropped.
        """
        scored = self._scores(score_rows, score_ends, scores, over, closed.rows, closed_ends)
        a, b = closed.stats, scored.stats
        whole = Buckets(
            closed.rows,
            closed.index,
            Stats(
                np.hstack((a.count, b.count)),
                np.hstack((a.min, b.min)),
                np.hstack((a.max, b.max)),
                np.hstack((a.mean, b.mean)),
                np.hstack((a.m2, b.m2)),
            ),
            scored.over,
        )
        return whole.take(np.flatnonzero((closed.stats.count > 0).any(axis=1)))

    def _scores(
        self,
        score_rows: I64,
        score_ends: I64,
        scores: F32,
        over: NDArray[np.bool_],
        second_rows: I64,
        second_ends: I64,
    ) -> Buckets:
        """The scores of each second, in the order of the seconds; the rest waits for its second."""
        n, seconds = len(score_rows), len(second_rows)
        rows = np.concatenate((score_rows, second_rows))
        ends = np.concatenate((score_ends, second_ends))
        kinds = np.concatenate((np.zeros(n, np.int8), np.ones(seconds, np.int8)))
        order = np.lexsort((kinds, ends, rows))
        score_stats = single(scores.astype(np.float64)[:, None])
        out = OpenBucket(1)
        out.grow(seconds)
        for turn in in_turns(rows[order]):
            event = order[turn]
            of_score = event[event < n]
            if len(of_score):
                part = Buckets(
                    score_rows[of_score],
                    score_ends[of_score],
                    score_stats.take(of_score),
                    over[of_score].astype(np.int64),
                )
                self.second_scores.add(part, score_ends[of_score])
            of_second = event[event >= n] - n
            if len(of_second):
                running = self.second_scores.read(second_rows[of_second])
                part = Buckets(of_second, running.index, running.stats, running.over)
                out.add(part, running.index)
                self.second_scores.reset(second_rows[of_second])
        return out.read(np.arange(seconds))

    def fold(self, seconds: Buckets, rows: I64, now_s: I64) -> dict[Resolution, Buckets]:
        """Merge closed seconds upwards; returns the buckets that closed at each level.

        rows, now_s: all rows whose frontier moved, and the second it lies in: a bucket that ends
        at or before it closes even without a following one.
        """
        out: dict[Resolution, Buckets] = {}
        parts, part_s = seconds, 1
        for level in LEVELS:
            length = RESOLUTION_S[level] // part_s
            closed = self._absorb(level, parts, length)
            due = rows[self._due(level, rows, now_s)]
            if len(due):
                closed.append(self.levels[level].read(due))
                self.levels[level].reset(due)
            out[level] = parts = joined(closed, self.series)
            part_s = RESOLUTION_S[level]
        return out

    def _due(self, level: Resolution, rows: I64, now_s: I64) -> I64:
        index = self.levels[level].index[rows]
        ended = (index + 1) * RESOLUTION_S[level] <= now_s
        return np.flatnonzero((index != NEVER) & ended)

    def _absorb(self, level: Resolution, parts: Buckets, length: int) -> list[Buckets]:
        running = self.levels[level]
        closed: list[Buckets] = []
        for turn in in_turns(parts.rows):
            part = parts.take(turn)
            index = part.index // length
            held = running.index[part.rows]
            ended = part.rows[(held != index) & (held != NEVER)]
            if len(ended):
                closed.append(running.read(ended))
                running.reset(ended)
            running.add(part, index)
        return closed
