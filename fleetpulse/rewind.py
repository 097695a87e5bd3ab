"""What had been emitted of each device at a snapshot: the rest is to go when one goes back to it.

A unit is emitted when its end is at or below the device's settled slot, so a row's own time says
whether it came before the snapshot. An alert or a session that was open then is told by its id.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fleetpulse.columns import NEVER, Arrays
from fleetpulse.identity import DeviceKey
from fleetpulse.layout import Layout
from fleetpulse.outcome import result_id
from fleetpulse.profile import Profile
from fleetpulse.snapshot import DeviceStates, PartitionSnapshot


@dataclass(frozen=True, slots=True)
class DevicePast:
    """A device as it was. emitted_until_us: event time at which what was emitted had ended, at
    the latest; None: nothing was. alert_id, session_id: what was open.
    """

    tenant: str
    device_id: str
    profile: str
    emitted_until_us: int | None
    alert_id: str | None
    session_id: str | None
    online: bool
    heard_us: int | None


@dataclass(frozen=True, slots=True)
class PartitionPast:
    """Where a partition was, and the profile revisions it knew."""

    partition: int
    next_offset: int
    log_time_us: int
    profiles: frozenset[str]


def partition_past(snapshot: PartitionSnapshot) -> PartitionPast:
    """Of a snapshot."""
    log_time_us, control = snapshot.meta["log_time_us"], snapshot.meta["control"]
    assert isinstance(log_time_us, int)
    assert isinstance(control, dict)
    profiles = frozenset(Profile.model_validate(each).ref for each in control["profiles"])
    return PartitionPast(snapshot.partition, snapshot.next_offset, log_time_us, profiles)


def device_pasts(states: DeviceStates, at: range, rows: Arrays) -> Iterator[DevicePast]:
    """Of some of the devices, by index, with their states by column."""
    profile = states.profile
    settled = rows["rings.settled"].astype(np.int64)
    until_us = Layout.of(profile).time_us(np.maximum(settled, 0)).tolist()
    opened, begins_us = rows["alerts.open"].tolist(), rows["alerts.raised_start_us"].tolist()
    running = rows["sessions.span.index"] != NEVER if "sessions.span.index" in rows else None
    for row, device in enumerate(at):
        key = states.keys[device]
        tenant, name = DeviceKey.decode(key)
        session = None
        if running is not None and running[row]:
            started_us = int(rows["sessions.starts.second"][row]) * 1_000_000
            session = result_id(key, profile.ref, started_us)
        heard_us = int(states.known["accepted_us"][device])
        yield DevicePast(
            tenant=tenant,
            device_id=name,
            profile=profile.ref,
            emitted_until_us=None if settled[row] == NEVER else until_us[row],
            alert_id=result_id(key, profile.ref, begins_us[row]) if opened[row] else None,
            session_id=session,
            online=not states.known["offline"][device],
            heard_us=None if heard_us == NEVER else heard_us,
        )
