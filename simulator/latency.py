"""A histogram of durations of fixed size, so that a run may go on for ever."""

from typing import Final

import numpy as np

_LEAST_S: Final = 1e-5
_STEPS_PER_DECADE: Final = 100
_DECADES: Final = 7
PERCENTILES: Final = (50, 90, 99)


class LatencyHistogram:
    """Counts durations in steps of 2.3 percent, from 10 µs to 100 s."""

    def __init__(self) -> None:
        self._counts = np.zeros(_STEPS_PER_DECADE * _DECADES, np.int64)
        self._max_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one."""
        step = int(np.log10(max(duration_s, _LEAST_S) / _LEAST_S) * _STEPS_PER_DECADE)
        self._counts[min(step, len(self._counts) - 1)] += 1
        self._max_s = max(self._max_s, duration_s)

    def milliseconds(self) -> dict[str, float]:
        """p50, p90, p99 (upper edges of their steps) and max; empty without any duration."""
        total = int(self._counts.sum())
        if not total:
            return {}
        ranks = np.ceil(np.array(PERCENTILES) / 100 * total)
        steps = np.searchsorted(np.cumsum(self._counts), ranks)
        edges_ms = 1000 * _LEAST_S * 10 ** ((steps + 1) / _STEPS_PER_DECADE)
        named = {
            f"p{p}": round(min(float(edge), 1000 * self._max_s), 3)
            for p, edge in zip(PERCENTILES, edges_ms, strict=True)
        }
        return {**named, "max": round(1000 * self._max_s, 3)}
