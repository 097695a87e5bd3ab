"""The alert policy, score by score."""

import hashlib
from dataclasses import dataclass, replace

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


def alerts_of(key: bytes, rules: Rules, scores: list[Score], *, ended: bool) -> list[Alert]:
    """Alert events of a device under one profile, in order.

    ended: the device went on under another profile; its open alert clears at its last score.
    """
    events: list[Alert] = []
    raised: Alert | None = None
    over = under = 0
    quiet_until_us: int | None = None
    peak = 0.0
    for score in scores:
        start_us = score.start_slot * rules.period_ns // 1000
        end_us = score.end_slot * rules.period_ns // 1000
        if score.score > rules.threshold:
            over, under = over + 1, 0
        elif score.score < rules.threshold * rules.clear_ratio:
            over, under = 0, under + 1
        else:
            over = under = 0
        if raised is None:
            if over >= rules.raise_after and (quiet_until_us is None or end_us >= quiet_until_us):
                peak = score.score
                name = _alert_id(key, rules, start_us)
                raised = Alert(name, "raised", end_us, end_us, start_us, end_us, peak, peak)
                events.append(raised)
            continue
        peak = max(peak, score.score)
        if under >= rules.clear_after:
            events.append(
                replace(raised, kind="cleared", at_us=end_us, score=score.score, peak_score=peak)
            )
            raised = None
            quiet_until_us = end_us + rules.dedup_us
    if ended and raised is not None:
        last, at_us = scores[-1].score, scores[-1].end_slot * rules.period_ns // 1000
        events.append(replace(raised, kind="cleared", at_us=at_us, score=last, peak_score=peak))
    return events


def _alert_id(key: bytes, rules: Rules, window_start_us: int) -> str:
    name = f"{key.decode()}/{rules.ref}/{window_start_us}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]
