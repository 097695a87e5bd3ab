"""Streaming z-score of window means, for profiles without a model.

Mean and variance are exponentially weighted (West 1979); the first windows are averaged plainly
(Welford 1962). A deviation teaches at most 3 sigma, so that a fault does not become the norm.
"""

import numpy as np

from fleetpulse.columns import Column, Columns
from fleetpulse.effects import F32, F64, I32, I64
from fleetpulse.profile import ZScoreSpec
from fleetpulse.ragged import in_turns
from fleetpulse.statistics import tree_sum

CLIP_SIGMA = 3.0
_SCORE_MAX = float(np.finfo(np.float32).max)


class ZScores(Columns):
    """windows: seen so far; mean, variance: float64 [rows, channels]."""

    windows: I32
    mean: F64
    variance: F64

    def __init__(self, spec: ZScoreSpec, channels: int) -> None:
        super().__init__(
            {
                "windows": Column(np.int32),
                "mean": Column(np.float64, (channels,)),
                "variance": Column(np.float64, (channels,)),
            }
        )
        self.spec = spec
        self.alpha = 1.0 - 2.0 ** (-1.0 / spec.half_life_windows)

    def score(self, rows: I64, samples: F32) -> F32:
        """Score windows in each device's order, learning from each.

        samples: float32 [n, slots, channels], no NaN -> float32 [n].
        """
        size = samples.shape[1]
        means = tree_sum(samples.astype(np.float64)) / size
        scores = np.zeros(len(rows), np.float32)
        for turn in in_turns(rows):
            scores[turn] = self._turn(rows[turn], means[turn])
        return scores

    def _turn(self, rows: I64, x: F64) -> F32:
        seen = self.windows[rows]
        warm = seen < self.spec.warmup_windows
        mean, variance = self.mean[rows], self.variance[rows]
        sigma = np.maximum(np.sqrt(variance), self.spec.deviation_floor)
        deviation = x - mean
        with np.errstate(over="ignore"):
            farthest = np.abs(deviation / sigma).max(axis=1)
        score = np.where(warm, 0.0, np.minimum(farthest, _SCORE_MAX))
        weight = np.where(warm, 1.0 / (seen + 1.0), self.alpha)[:, None]
        clip = CLIP_SIGMA * sigma
        step = np.where(warm[:, None], deviation, np.clip(deviation, -clip, clip))
        self.mean[rows] = mean + weight * step
        self.variance[rows] = (1.0 - weight) * (variance + weight * step * step)
        self.windows[rows] = seen + 1
        return score.astype(np.float32)
