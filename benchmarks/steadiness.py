"""Whether memory grows while the load does not."""

from collections.abc import Sequence
from statistics import median
from typing import Final

GROWTH_MAX: Final = 0.1
"""Of the last third's median over the middle third's: noise, not growth."""
GROWTH_MB_MIN: Final = 20.0
"""Less is noise whatever its share is."""


def thirds(samples: Sequence[float]) -> list[float]:
    """Medians of the first, middle and last third; empty for fewer than three samples."""
    third = len(samples) // 3
    if not third:
        return []
    parts = samples[:third], samples[third : 2 * third], samples[2 * third :]
    return [round(median(part), 1) for part in parts]


def is_flat(medians_mb: Sequence[float]) -> bool:
    """The last third is not above the middle one; in the first, caches fill."""
    if not medians_mb:
        return True
    _, middle_mb, last_mb = medians_mb
    return last_mb - middle_mb <= max(GROWTH_MB_MIN, GROWTH_MAX * middle_mb)
