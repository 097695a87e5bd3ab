"""The alert policy, score by score."""

import hashlib
from dataclasses import dataclass

from benchmarks.offline.rules import Rules
from benchmarks.offline.scores import Score


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert begins (`raised`) or ends (`cleared`)."""

    alert_id: str
    kind: str
    at_us: int
    raised_at_us: int
    window_start_us: int
    window_end_us: int
    score: float
    peak_score: float


def alerts_of(key: bytes, rules: Rules, scores: list[Score]) -> list[Alert]:
    """Alert events of a device under one profile, in order."""
    events: list[Alert] = []
    raised: Alert | None = None
    over = under = 0
    peak = 0.0
    quiet_until_us: int | None = None
    for score in scores:
        start_us = score.start_slot * rules.period_ns // 1000
        end_us = score.end_slot * rules.period_ns // 1000
        if score.score > rules.threshold:
            over, under = over + 1, 0
        elif score.score < rules.threshold * rules.clear_ratio:
            over, under = 0, under + 1
        else:
            over = under = 0
        if raised is not None:
            peak = max(peak, score.score)
            if under >= rules.clear_after:
                events.append(
                    Alert(
                        raised.alert_id,
                        "cleared",
                        end_us,
                        raised.at_us,
                        raised.window_start_us,
                        raised.window_end_us,
                        score.score,
                        peak,
                    )
                )
                raised = None
                quiet_until_us = end_us + rules.dedup_us
        elif over >= rules.raise_after and (quiet_until_us is None or end_us >= quiet_until_us):
            peak = score.score
            raised = Alert(
                _alert_id(key, rules, start_us),
                "raised",
                end_us,
                end_us,
                start_us,
                end_us,
                score.score,
                peak,
            )
            events.append(raised)
    return events


def _alert_id(key: bytes, rules: Rules, window_start_us: int) -> str:
    name = f"{key.decode()}/{rules.ref}/{window_start_us}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]
