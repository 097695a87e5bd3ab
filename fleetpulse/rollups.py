"""Tumbling rollups of a cohort: seconds from the rings, minutes from seconds, hours from minutes.

Statistics have one series per channel and a last one for the scores. A bucket is the merge of
its parts in time order, so no number depends on where batches were cut.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import NEVER, Column, Columns, Tables
from fleetpulse.effects import F32, I64, RESOLUTION_S, Resolution
from fleetpulse.kernel import Raw, native
from fleetpulse.rings import Closed
from fleetpulse.statistics import Stats, merge

LEVELS: tuple[Resolution, ...] = ("minute", "hour", "day")
Folded = tuple[Raw, ...]
"""Buckets as the kernel writes them: a column per field."""


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

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All columns, as the kernel takes them."""
        return self.index, self.count, self.min, self.max, self.mean, self.m2, self.over

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

    def seconds(self, closed: Closed, scores: F32, threshold: float) -> Folded:
        """Give each closed second the scores of the windows that ended in it.

        `scores` are those of the closed windows. Seconds without any value are dropped.
        """
        return native.join_scores(
            closed.events,
            closed.window_rows,
            closed.window_ends,
            scores,
            closed.second_rows,
            closed.second_index,
            closed.second_count,
            closed.second_min,
            closed.second_max,
            closed.second_mean,
            closed.second_m2,
            *self.second_scores.arrays,
            self.series - 1,
            threshold,
        )

    def fold(
        self, seconds: Folded, moved: Raw, settled: I64, period_ns: int
    ) -> dict[Resolution, Buckets]:
        """Merge closed seconds upwards; returns the buckets that closed at each level.

        moved: all rows whose frontier moved. A bucket whose end it reached closes even without a
        following one. The seconds are there even if there are none.
        """
        out: dict[Resolution, Buckets] = {"second": self._buckets(seconds)}
        parts, part_s = seconds, 1
        for level in LEVELS:
            level_s = RESOLUTION_S[level]
            parts = native.fold(
                *parts,
                moved,
                settled,
                *self.levels[level].arrays,
                self.series,
                level_s // part_s,
                level_s,
                period_ns,
            )
            if len(parts[0]):
                out[level] = self._buckets(parts)
            part_s = level_s
        return out

    def _buckets(self, folded: Folded) -> Buckets:
        rows, index, count, low, high, mean, m2, over = folded
        shape = (-1, self.series)
        return Buckets(
            np.frombuffer(rows, np.int64),
            np.frombuffer(index, np.int64),
            Stats(
                np.frombuffer(count, np.int64).reshape(shape),
                np.frombuffer(low, np.float64).reshape(shape),
                np.frombuffer(high, np.float64).reshape(shape),
                np.frombuffer(mean, np.float64).reshape(shape),
                np.frombuffer(m2, np.float64).reshape(shape),
            ),
            np.frombuffer(over, np.int64),
        )
