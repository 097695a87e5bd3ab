"""A device as its actor holds it, as an immutable copy."""

import numpy as np

from fleetpulse.cohort import Cohort
from fleetpulse.columns import NEVER
from fleetpulse.engine import Engine
from fleetpulse.identity import DeviceKey
from fleetpulse.live import DeviceView, LiveSamples
from fleetpulse.outcome import alert_id


def device_view(engine: Engine, key: bytes) -> DeviceView | None:
    """The device's state after the last whole batch; None if it is not here."""
    place = engine.directory.find(key)
    if place is None:
        return None
    cohort, row = place
    layout, alerts, profile = cohort.layout, cohort.alerts, cohort.profile
    head = int(cohort.rings.head[row])
    if head == NEVER:
        return None
    name = DeviceKey.decode(key)
    at = np.array([row])
    window = cohort.rings.gather(at, np.array([head - layout.window]), layout.window)[0]
    is_open = bool(alerts.open[row])
    return DeviceView(
        tenant=name.tenant,
        device_id=name.device,
        profile=profile.ref,
        partition=int(cohort.partitions[row]),
        channels=profile.channels,
        last_us=_time_us(cohort, head - 1),
        last=tuple(_newest(window).tolist()),
        watermark_us=_time_us(cohort, head - layout.lateness),
        window=window,
        window_end_us=_time_us(cohort, head),
        score=float(alerts.score[row]),
        score_end_us=int(alerts.score_us[row]) if alerts.score_us[row] != NEVER else 0,
        threshold=profile.alert.threshold,
        alert_open=is_open,
        alert_id=alert_id(key, profile.ref, int(alerts.raised_start_us[row])) if is_open else "",
        alert_raised_us=int(alerts.raised_us[row]) if is_open else 0,
    )


def newest_samples(engine: Engine, key: bytes, since_us: int) -> LiveSamples | None:
    """Samples of a device after `since_us`, as far as its ring reaches; None if there are none."""
    place = engine.directory.find(key)
    if place is None:
        return None
    cohort, row = place
    layout = cohort.layout
    head = int(cohort.rings.head[row])
    first = int(layout.slots_of(np.array([since_us * 1000]))[0]) + 1
    first = max(first, head - layout.run_max)
    if head <= first:
        return None
    values = cohort.rings.gather(np.array([row]), np.array([first]), head - first)[0]
    return LiveSamples(key, cohort.profile.channels, layout.time_us(np.arange(first, head)), values)


def _time_us(cohort: Cohort, slot: int) -> int:
    return slot * cohort.layout.period_ns // 1000


def _newest(window: np.ndarray) -> np.ndarray:
    """The last present value of each channel."""
    present = ~np.isnan(window)
    last = len(window) - 1 - present[::-1].argmax(axis=0)
    return np.where(present.any(axis=0), window[last, np.arange(window.shape[1])], np.nan)
