"""Statistics per second, minute, hour and day, each straight from the values in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.offline.cells import Series
from benchmarks.offline.rules import SECOND_NS, Rules
from benchmarks.offline.scores import Score

RESOLUTIONS_S = (1, 60, 3600, 86_400)


@dataclass(frozen=True, slots=True)
class Stats:
    """count, min, max, mean, population std; NaN where count is 0."""

    count: int
    min: float
    max: float
    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Rollup:
    """One bucket of one device."""

    channels: tuple[Stats, ...]
    scores: Stats
    score_over: int


def rollups_of(rules: Rules, series: Series, scores: list[Score]) -> dict[tuple[int, int], Rollup]:
    """Closed buckets of a device by (resolution in seconds, start in seconds since the epoch)."""
    settled_ns = series.settled * rules.period_ns
    second_of = series.slots * rules.period_ns // SECOND_NS
    emitted = np.unique(second_of[(second_of + 1) * SECOND_NS <= settled_ns])
    score_second = np.array(
        [(score.end_slot - 1) * rules.period_ns // SECOND_NS for score in scores], np.int64
    )
    score_value = np.array([score.score for score in scores], np.float64)
    counted = np.isin(score_second, emitted)
    rollups = {}
    for resolution_s in RESOLUTIONS_S:
        starts = np.unique(emitted // resolution_s * resolution_s)
        for start in starts[(starts + resolution_s) * SECOND_NS <= settled_ns].tolist():
            i, j = np.searchsorted(second_of, [start, start + resolution_s])
            ended = (score_second >= start) & (score_second < start + resolution_s) & counted
            rollups[resolution_s, start] = Rollup(
                channels=tuple(stats_of(column) for column in series.values[i:j].T),
                scores=stats_of(score_value[ended]),
                score_over=int((score_value[ended] > rules.threshold).sum()),
            )
    return rollups


def stats_of(column: NDArray[np.floating]) -> Stats:
    """Of the values that are there."""
    values = column[~np.isnan(column)].astype(np.float64)
    if not len(values):
        nan = float("nan")
        return Stats(0, nan, nan, nan, nan)
    return Stats(
        len(values),
        float(values.min()),
        float(values.max()),
        float(values.mean()),
        float(values.std()),
    )
