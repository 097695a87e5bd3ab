"""Streaming z-score of window means, for profiles without a model.

Mean and variance are exponentially weighted (West 1979); the first windows are averaged plainly
(Welford 1962). A deviation teaches at most 3 sigma, so that a fault does not become the norm.
"""

import numpy as np

from fleetpulse.columns import Column, Columns
from fleetpulse.effects import F32, F64, I32, I64
from fleetpulse.kernel import native
from fleetpulse.profile import ZScoreSpec


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
        _, slots, channels = samples.shape
        scores = np.empty(len(rows), np.float32)
        native.score_windows(
            rows,
            samples,
            scores,
            self.windows,
            self.mean,
            self.variance,
            slots,
            channels,
            self.spec.warmup_windows,
            self.alpha,
            self.spec.deviation_floor,
        )
        return scores
