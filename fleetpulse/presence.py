"""Offline and online: what records and ticks say about a device being there."""

import numpy as np

from fleetpulse.cohort import Cohort
from fleetpulse.columns import FOREVER
from fleetpulse.directory import ABSENT, Directory
from fleetpulse.effects import I64, Effects, Presence, PresenceKind
from fleetpulse.identity import DeviceKey
from fleetpulse.silence import LOOK_US, AttendedClock


def hear(
    effects: Effects,
    directory: Directory,
    cohort: Cohort,
    handles: I64,
    log_time_us: I64,
    attended_us: I64,
) -> None:
    """Records of a cohort's devices were accepted, in log order: who was offline is online."""
    away = directory.offline[handles]
    if away.any():
        at = np.flatnonzero(away)
        returned, first = np.unique(handles[at], return_index=True)
        for handle, at_us in zip(returned.tolist(), log_time_us[at[first]].tolist(), strict=True):
            effects.presences.append(_presence(directory, handle, "online", at_us))
        directory.offline[returned] = False
    # of equal handles the last one counts: the newest record
    directory.accepted_us[handles] = log_time_us
    after_us = cohort.profile.offline_after_us
    directory.deadline_us[handles] = attended_us + after_us if after_us else FOREVER


def fall_silent(
    effects: Effects,
    directory: Directory,
    clock: AttendedClock,
    partition: int,
    log_time_us: int,
    attended_us: int,
) -> None:
    """At a tick of a partition: who was not heard for too long is offline."""
    due = np.flatnonzero(directory.deadline_us < attended_us + LOOK_US)
    due = due[(directory.partition_of[due] == partition) & ~directory.paused[due]]
    deadline_us = directory.deadline_us[due]
    later_us = deadline_us[deadline_us > attended_us]
    clock.quiet_until_us = int(later_us.min(initial=attended_us + LOOK_US))
    gone = due[deadline_us <= attended_us]
    if not len(gone):
        return
    directory.offline[gone] = True
    directory.deadline_us[gone] = FOREVER
    effects.presences += [
        _presence(directory, handle, "offline", log_time_us) for handle in gone.tolist()
    ]
    for _, cohort, mine in directory.groups(gone[directory.row_of[gone] != ABSENT]):
        if cohort.sessions is not None:
            directory.copied[mine] = 0
        cohort.fall_silent(directory.row_of[mine])


def resume(directory: Directory, handles: I64, attended_us: int) -> None:
    """These are not paused any more: their silence counts from here on."""
    waiting = handles[directory.deadline_us[handles] < FOREVER]
    for _, cohort, mine in directory.groups(waiting):
        directory.deadline_us[mine] = attended_us + cohort.profile.offline_after_us


def away(directory: Directory, handles: I64) -> dict[bytes, int]:
    """Those that are offline, and when they were last heard."""
    gone = handles[directory.offline[handles]]
    keys, times = directory.keys[gone].tolist(), directory.accepted_us[gone].tolist()
    return dict(zip(keys, times, strict=True))


def _presence(directory: Directory, handle: int, kind: PresenceKind, at_us: int) -> Presence:
    tenant, device = DeviceKey.decode(directory.keys[handle])
    partition, heard_us = directory.partition_of[handle], directory.accepted_us[handle]
    return Presence(int(partition), tenant, device, kind, at_us, int(heard_us))
