"""A device as its actor holds it, as an immutable copy."""

from dataclasses import dataclass

import numpy as np

from fleetpulse.cohort import Cohort
from fleetpulse.columns import NEVER, Arrays
from fleetpulse.directory import ABSENT
from fleetpulse.engine import Engine
from fleetpulse.identity import DeviceKey
from fleetpulse.live import DeviceView, LiveSamples
from fleetpulse.outcome import result_id
from fleetpulse.profile import Profile
from fleetpulse.snapshot import Blobs


def device_view(engine: Engine, key: bytes) -> DeviceView | None:
    """The device's state after the last whole batch; None if it is not here."""
    place = engine.directory.find(key)
    return _view(*place) if place else None


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """Where a passive device's state is."""

    profile: Profile
    partition: int
    blob: Blobs


def stored_place(engine: Engine, key: bytes) -> StoredPlace | None:
    """None if the device is active, or not here."""
    directory = engine.directory
    (handle,) = directory.handles([key])
    if handle == ABSENT or directory.row_of[handle] != ABSENT:
        return None
    profile = directory.cohorts[directory.cohort_of[handle]].profile
    return StoredPlace(profile, int(directory.partition_of[handle]), directory.blob[[handle]])


def stored_view(key: bytes, place: StoredPlace, states: Arrays) -> DeviceView | None:
    """A passive device's view, from its state."""
    cohort = Cohort(place.profile)
    row = cohort.add(key, place.partition)
    cohort.load(np.array([row]), states)
    return _view(cohort, row)


def _view(cohort: Cohort, row: int) -> DeviceView | None:
    key = cohort.keys[row]
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
        alert_id=result_id(key, profile.ref, int(alerts.raised_start_us[row])) if is_open else "",
        alert_raised_us=int(alerts.raised_us[row]) if is_open else 0,
    )


def newest_samples(engine: Engine, key: bytes, since_us: int) -> LiveSamples | None:
    """Samples of a device after `since_us`, as far as it keeps them; None if there are none."""
    place = engine.directory.find(key)
    if place is None:
        return None
    cohort, row = place
    layout = cohort.layout
    head = int(cohort.rings.head[row])
    first = int(layout.slots_of(np.array([since_us * 1000]))[0]) + 1
    first = max(first, head - layout.run_max, int(cohort.rings.settled[row]) - layout.unit)
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
