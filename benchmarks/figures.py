"""From what was seen to the figures of the report."""

import math
from dataclasses import dataclass
from typing import Any

from benchmarks.alert_watch import VisibleAlert
from benchmarks.lag_watch import grows
from benchmarks.limit import LimitResult
from benchmarks.plan import LoadPlan
from benchmarks.processes import Usage
from benchmarks.report import Latency, Measured
from benchmarks.score_watch import Received, longest_silence_s
from benchmarks.stages import Stages
from benchmarks.windows import Tally, WindowLedger

_STEADY_S = 2.0
"""After a device's first lateness bound, its windows close as soon as they are complete."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the generator said, and when its frames were due."""

    start_us: int
    done: dict[str, Any]
    ledger: WindowLedger
    killed_us: int | None
    views_us: list[int]
    """Latencies of device views during the load."""
    joined_us: int | None = None
    """When villains joined the fleet."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the watches saw. lag: samples, in messages."""

    received: list[Received]
    alerts: list[VisibleAlert]
    usages: list[Usage]
    lag: list[int]


def measured(
    plan: LoadPlan,
    sent: Sent,
    tally: Tally,
    seen: Seen,
    limit: LimitResult | None,
    passed: Stages,
) -> Measured:
    """The figures of a run."""
    done, ledger = sent.done, sent.ledger
    received, alerts, usages = seen.received, seen.alerts, seen.usages
    from_us = steady_us(plan, sent.start_us)
    to_score = to_score_us(received, ledger, from_us)
    to_alert = [
        max(each.committed_us, each.received_us) - ledger.due_us(each.key, each.window_end_us)
        for each in alerts
        if each.received_us is not None and each.window_end_us > from_us and ledger.knows(each.key)
    ]
    begun_us = sent.start_us + plan.behind_us
    scored_s = (max((each.received_us for each in received), default=begun_us) - begun_us) / 1e6
    engine_s = sum(usage.cpu_s for usage in usages if usage.name == "shard")
    return Measured(
        samples=done["accepted"],
        offered_samples_per_s=round(done["offered"] / done["seconds"], 1),
        accepted_samples_per_s=round(done["accepted"] / done["seconds"], 1),
        scored_samples_per_s=round(tally.samples_scored / scored_s, 1) if scored_s else 0.0,
        windows_expected=tally.expected,
        windows_lost=tally.lost,
        windows_doubled=tally.doubled,
        frame_to_score_ms=Latency.of(to_score),
        frame_to_alert_ms=Latency.of(to_alert),
        device_view_ms=Latency.of(sent.views_us),
        stages_ms=passed,
        engine_cpu_s_per_million_samples=round(engine_s / max(1, done["accepted"]) * 1e6, 4),
        limit_cpu_s_per_million_samples=(
            round(limit.cpu_s_per_million_samples, 4) if limit else math.nan
        ),
        max_lag_messages=max(seen.lag, default=0),
        processes=usages,
    )


def to_score_us(
    received: list[Received], ledger: WindowLedger, from_us: int, until_us: float = math.inf
) -> list[int]:
    """Frame to score, of the fleet's windows that end after from_us and not after until_us."""
    return [
        each.received_us - ledger.due_us(each.key, each.end_us)
        for each in received
        if from_us < each.end_us <= until_us and ledger.knows(each.key)
    ]


def steady_us(plan: LoadPlan, start_us: int) -> int:
    """Event time from which windows are timed."""
    return start_us + plan.lateness_ms * 1000 + round(_STEADY_S * 1e6)


def notes_of(
    plan: LoadPlan,
    sent: Sent,
    seen: Seen,
) -> list[str]:
    """What the figures do not say."""
    done, received, alerts, lag = sent.done, seen.received, seen.alerts, seen.lag
    second_messages = round(plan.devices * 1000 / plan.frame_ms)
    notes = [
        f"the generator was at most {done['late_ms_max']:.0f} ms late",
        f"{done['reordered']} frames reordered, {done['duplicated']} repeated",
        f"lag {'grew' if grows(lag, second_messages // 4) else 'did not grow'}",
        f"{len(alerts)} alerts",
    ]
    if sent.killed_us is not None and received:
        last_us = received[-1].received_us
        silence_s = longest_silence_s(received, sent.killed_us - 1_000_000, last_us)
        notes.append(f"a shard was killed; no partition was without scores for {silence_s:.1f} s")
    return notes
