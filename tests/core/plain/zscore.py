"""What fleetpulse/kernel/zscore.c does, with numpy: turn by turn."""

import numpy as np

from fleetpulse.effects import F32, F64, I64
from fleetpulse.ragged import in_turns
from fleetpulse.zscore import ZScores
from tests.core.plain.tree_sum import tree_sum

CLIP_SIGMA = 3.0
SCORE_MAX = float(np.finfo(np.float32).max)


class PlainZScores(ZScores):
    """The same columns."""

    def score(self, rows: I64, samples: F32) -> F32:
        """Score windows in each device's order, learning from each."""
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
        score = np.where(warm, 0.0, np.minimum(farthest, SCORE_MAX))
        weight = np.where(warm, 1.0 / (seen + 1.0), self.alpha)[:, None]
        clip = CLIP_SIGMA * sigma
        step = np.where(warm[:, None], deviation, np.clip(deviation, -clip, clip))
        self.mean[rows] = mean + weight * step
        self.variance[rows] = (1.0 - weight) * (variance + weight * step * step)
        self.windows[rows] = seen + 1
        return score.astype(np.float32)
