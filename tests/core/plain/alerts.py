"""What fleetpulse/kernel does with scores, with numpy: turn by turn."""

import numpy as np

from fleetpulse.alerts import AlertStates, Transition
from fleetpulse.effects import F32, I64, AlertKind
from fleetpulse.profile import AlertRule
from fleetpulse.ragged import in_turns


class PlainAlerts(AlertStates):
    """The same columns."""

    def __init__(self, rule: AlertRule) -> None:
        super().__init__(rule)
        self.rule = rule

    def apply(self, rows: I64, start_us: I64, end_us: I64, scores: F32) -> list[Transition]:
        """Feed windows in each device's order; returns transitions in that order."""
        transitions: list[Transition] = []
        for turn in in_turns(rows):
            transitions += self._turn(rows[turn], start_us[turn], end_us[turn], scores[turn])
        return transitions

    def _turn(self, rows: I64, start_us: I64, end_us: I64, scores: F32) -> list[Transition]:
        rule = self.rule
        exact = scores.astype(np.float64)
        high = exact > rule.threshold
        low = exact < rule.threshold * rule.clear_ratio
        over = np.where(high, self.over[rows] + 1, 0).astype(np.int32)
        under = np.where(low, self.under[rows] + 1, 0).astype(np.int32)
        is_open = self.open[rows]
        peak = np.where(is_open, np.fmax(self.peak[rows], scores), scores)
        dedup_us = round(rule.dedup_s * 1e6)
        # the never-cleared marker is far below any time, so adding cannot reach one
        allowed = end_us >= self.cleared_us[rows] + dedup_us
        raised = ~is_open & (over >= rule.raise_after) & allowed
        cleared = is_open & (under >= rule.clear_after)
        self.over[rows] = over
        self.under[rows] = under
        self.peak[rows] = peak
        self.score[rows] = scores
        self.score_us[rows] = end_us
        self.open[rows] = (is_open | raised) & ~cleared
        self.raised_us[rows[raised]] = end_us[raised]
        self.raised_start_us[rows[raised]] = start_us[raised]
        self.cleared_us[rows[cleared]] = end_us[cleared]
        changed = np.flatnonzero(raised | cleared)
        return [
            self._transition(
                int(rows[i]),
                "raised" if raised[i] else "cleared",
                int(end_us[i]),
                float(scores[i]),
            )
            for i in changed
        ]

    def _transition(self, row: int, kind: AlertKind, at_us: int, score: float) -> Transition:
        return Transition(
            row,
            kind,
            at_us,
            int(self.raised_us[row]),
            int(self.raised_start_us[row]),
            score,
            float(self.peak[row]),
        )
