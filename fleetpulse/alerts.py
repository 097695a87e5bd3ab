"""The alert policy on columns: N in a row raise, hysteresis and M in a row clear, deduplication."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import NEVER, Column, Columns
from fleetpulse.effects import F32, I32, I64, AlertKind
from fleetpulse.kernel import native
from fleetpulse.profile import AlertRule


@dataclass(frozen=True, slots=True)
class Transition:
    """A device's alert begins or ends at one of its windows."""

    row: int
    kind: AlertKind
    at_us: int
    raised_us: int
    window_start_us: int
    score: float
    peak: float


class AlertStates(Columns):
    """One alert state per device.

    over, under: windows in a row; raised_us: end of the raising window; cleared_us: end of the
    window that cleared the previous alert.
    """

    over: I32
    under: I32
    open: NDArray[np.bool_]
    raised_us: I64
    raised_start_us: I64
    cleared_us: I64
    peak: F32
    score: F32
    score_us: I64

    def __init__(self, rule: AlertRule) -> None:
        super().__init__(
            {
                "over": Column(np.int32),
                "under": Column(np.int32),
                "open": Column(np.bool_),
                "raised_us": Column(np.int64, (), NEVER),
                "raised_start_us": Column(np.int64, (), NEVER),
                "cleared_us": Column(np.int64, (), NEVER),
                "peak": Column(np.float32, (), np.nan),
                "score": Column(np.float32, (), np.nan),
                "score_us": Column(np.int64, (), NEVER),
            }
        )
        self._limits = np.array(
            [
                rule.threshold,
                rule.threshold * rule.clear_ratio,
                rule.raise_after,
                rule.clear_after,
                round(rule.dedup_s * 1e6),
            ]
        )

    def apply(self, rows: I64, start_us: I64, end_us: I64, scores: F32) -> list[Transition]:
        """Feed windows in each device's order; returns transitions in that order."""
        changes = native.alerts(
            rows,
            start_us,
            end_us,
            scores,
            self.over,
            self.under,
            self.open,
            self.raised_us,
            self.raised_start_us,
            self.cleared_us,
            self.peak,
            self.score,
            self.score_us,
            self._limits,
        )
        return [
            Transition(
                int(rows[at]),
                "raised" if raised else "cleared",
                int(end_us[at]),
                raised_us,
                start,
                float(scores[at]),
                peak,
            )
            for at, raised, raised_us, start, peak in changes
        ]
