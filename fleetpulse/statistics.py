"""Statistics of buckets and their merge, whose bits depend on the order of the parts alone."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F64, I64

Counts = NDArray[np.int64]


@dataclass(slots=True)
class Stats:
    """Count, extremes, mean and sum of squared deviations of several series: each [n, series].

    Where count is 0 the other fields are neutral: min inf, max -inf, mean 0, m2 0.
    """

    count: Counts
    min: F64
    max: F64
    mean: F64
    m2: F64

    def take(self, index: I64) -> "Stats":
        """Rows by index."""
        return Stats(*(getattr(self, f.name)[index] for f in fields(self)))

    @property
    def std(self) -> F64:
        """Population standard deviation; NaN where count is 0."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(self.m2 / np.where(self.count > 0, self.count, np.nan))


def merge(a: Stats, b: Stats) -> Stats:
    """Statistics of a's observations followed by b's (Chan, Golub & LeVeque 1979, eq. 2.1)."""
    count = a.count + b.count
    share = b.count / np.maximum(count, 1)
    delta = b.mean - a.mean
    return Stats(
        count,
        np.minimum(a.min, b.min),
        np.maximum(a.max, b.max),
        np.where(a.count == 0, b.mean, a.mean + delta * share),
        a.m2 + b.m2 + delta * delta * (a.count * share),
    )
