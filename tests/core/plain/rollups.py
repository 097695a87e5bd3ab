"""What fleetpulse/kernel does with statistics, scores and buckets, with numpy."""

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import NEVER
from fleetpulse.effects import F32, F64, I64, RESOLUTION_S, Resolution
from fleetpulse.ragged import in_turns
from fleetpulse.rollups import LEVELS, Buckets, OpenBucket, Rollups
from fleetpulse.statistics import Stats
from tests.core.plain.tree_sum import tree_sum


def describe(samples: F32) -> Stats:
    """Statistics over axis 1 of float32 [n, slots, channels], NaN being absent."""
    x = samples.astype(np.float64)
    absent = np.isnan(x)
    gapped = bool(absent.any())
    if gapped:
        count = (~absent).sum(axis=1)
        low = np.where(absent, np.inf, x).min(axis=1)
        high = np.where(absent, -np.inf, x).max(axis=1)
        x[absent] = 0.0
    else:
        count = np.full((len(x), x.shape[2]), x.shape[1], np.int64)
        low, high = x.min(axis=1), x.max(axis=1)
    mean = tree_sum(x.copy()) / np.maximum(count, 1)
    x -= mean[:, None]
    if gapped:
        x[absent] = 0.0
    x *= x
    # + 0.0 turns -0.0 into 0.0: which zero an extreme keeps depends on the order of comparison
    return Stats(count, low + 0.0, high + 0.0, mean, tree_sum(x))


def single(values: F64) -> Stats:
    """Statistics of one observation per series."""
    return Stats(
        np.ones(values.shape, np.int64), values + 0.0, values + 0.0, values, np.zeros(values.shape)
    )


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


class PlainRollups(Rollups):
    """The same columns."""

    def seconds_with_scores(
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

    def merged_upwards(self, seconds: Buckets, rows: I64, now_s: I64) -> dict[Resolution, Buckets]:
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
