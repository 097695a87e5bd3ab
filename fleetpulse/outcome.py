"""A cohort's conclusions as effects: rows become device keys, slots become times."""

from hashlib import sha256

import numpy as np

from fleetpulse.alerts import Transition
from fleetpulse.cohort import Cohort, Conclusion
from fleetpulse.effects import (
    F64,
    RESOLUTION_S,
    AlertEvent,
    Effects,
    Resolution,
    RollupRows,
    ScoreRows,
    SessionEvent,
    SessionSummary,
)
from fleetpulse.identity import DeviceKey
from fleetpulse.rollups import Buckets
from fleetpulse.sessions import SessionChange


def add_effects(effects: Effects, cohort: Cohort, conclusion: Conclusion) -> None:
    """Append what a cohort decided."""
    if len(conclusion.windows.rows):
        effects.scores.append(_scores(cohort, conclusion))
    effects.alerts += [alert_event(cohort, t) for t in conclusion.transitions]
    effects.rollups += [
        rollup_rows(cohort, resolution, buckets)
        for resolution, buckets in conclusion.rollups.items()
        if len(buckets.rows)
    ]
    effects.sessions += [session_event(cohort, change) for change in conclusion.sessions]


def result_id(key: bytes, profile: str, start_us: int) -> str:
    """Of an alert by its window's start, of a session by its own.

    It is the same whenever and wherever it is computed.
    """
    text = f"{key.decode()}/{profile}/{start_us}"
    return sha256(text.encode()).hexdigest()[:32]


def alert_event(cohort: Cohort, transition: Transition) -> AlertEvent:
    """A transition with its device's name."""
    key = cohort.keys[transition.row]
    tenant, device = DeviceKey.decode(key)
    profile = cohort.profile
    return AlertEvent(
        partition=int(cohort.partitions[transition.row]),
        alert_id=result_id(key, profile.ref, transition.window_start_us),
        tenant=tenant,
        device_id=device,
        kind=transition.kind,
        at_us=transition.at_us,
        raised_at_us=transition.raised_us,
        window_start_us=transition.window_start_us,
        window_end_us=transition.raised_us,
        score=transition.score,
        peak_score=transition.peak,
        threshold=profile.alert.threshold,
        model=profile.scorer,
        profile=profile.ref,
    )


def session_event(cohort: Cohort, change: SessionChange) -> SessionEvent:
    """A change with its device's name; the summary is that of an ended session."""
    key = cohort.keys[change.row]
    tenant, device = DeviceKey.decode(key)
    ref, started_at_us = cohort.profile.ref, change.start_s * 1_000_000
    ended = change.kind == "ended"
    return SessionEvent(
        partition=int(cohort.partitions[change.row]),
        session_id=result_id(key, ref, started_at_us),
        tenant=tenant,
        device_id=device,
        profile=ref,
        kind=change.kind,
        started_at_us=started_at_us,
        ended_at_us=change.end_s * 1_000_000 if ended else None,
        summary=_summary(cohort, change) if ended else None,
    )


def _summary(cohort: Cohort, change: SessionChange) -> SessionSummary:
    stats = change.stats
    count = stats.count[0].tolist()
    low, high, mean = (
        _known(x, stats.count)[0].tolist() for x in (stats.min, stats.max, stats.mean)
    )
    std = stats.std[0].tolist()
    return SessionSummary(
        channels=cohort.profile.channels,
        count=tuple(count[:-1]),
        min=tuple(low[:-1]),
        max=tuple(high[:-1]),
        mean=tuple(mean[:-1]),
        std=tuple(std[:-1]),
        score_count=count[-1],
        score_over=change.over,
        score_min=low[-1],
        score_max=high[-1],
        score_mean=mean[-1],
        score_std=std[-1],
    )


def _scores(cohort: Cohort, conclusion: Conclusion) -> ScoreRows:
    windows, layout = conclusion.windows, cohort.layout
    return ScoreRows(
        profile=cohort.profile,
        partitions=cohort.partitions[windows.rows],
        devices=[cohort.keys[row] for row in windows.rows.tolist()],
        window_start_us=layout.time_us(windows.ends - layout.window),
        window_end_us=layout.time_us(windows.ends),
        scores=conclusion.scores,
        model=cohort.profile.scorer,
        threshold=cohort.profile.alert.threshold,
    )


def rollup_rows(cohort: Cohort, resolution: Resolution, buckets: Buckets) -> RollupRows:
    """Buckets of a cohort as rows."""
    stats = buckets.stats
    count = stats.count.astype(np.int32)
    low, high, mean = (_known(x, stats.count) for x in (stats.min, stats.max, stats.mean))
    std = stats.std
    return RollupRows(
        resolution=resolution,
        profile=cohort.profile,
        partitions=cohort.partitions[buckets.rows],
        devices=[cohort.keys[row] for row in buckets.rows.tolist()],
        bucket_us=buckets.index * RESOLUTION_S[resolution] * 1_000_000,
        count=count[:, :-1],
        min=low[:, :-1],
        max=high[:, :-1],
        mean=mean[:, :-1],
        std=std[:, :-1],
        score_count=count[:, -1],
        score_over=buckets.over.astype(np.int32),
        score_min=low[:, -1],
        score_max=high[:, -1],
        score_mean=mean[:, -1],
        score_std=std[:, -1],
    )


def _known(values: F64, count: np.ndarray) -> F64:
    return np.where(count > 0, values, np.nan)
