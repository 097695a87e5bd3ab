"""Devices that end: their open alert and session are closed, nothing else of them is owed."""

from fleetpulse.alerts import Transition
from fleetpulse.cohort import Cohort
from fleetpulse.directory import ABSENT, Directory
from fleetpulse.effects import I64, Effects, Forgotten
from fleetpulse.identity import DeviceKey
from fleetpulse.outcome import alert_event, session_event
from fleetpulse.ports import RecordBatch


def retire(effects: Effects, directory: Directory, handles: I64) -> None:
    """Clear these devices' open alerts at their last scored windows, end their sessions at their
    last active seconds, and remove the devices.

    Of passive devices none may have an open alert or session (`Engine.needed`).
    """
    for _, cohort, mine in directory.groups(handles[directory.row_of[handles] != ABSENT]):
        close(effects, cohort, directory.row_of[mine])
    directory.remove(directory.keys[handles].tolist())


def close(effects: Effects, cohort: Cohort, rows: I64) -> None:
    """End what is open of these rows' devices."""
    for row in rows[cohort.alerts.open[rows]].tolist():
        effects.alerts.append(alert_event(cohort, _cleared(cohort, row)))
    end_sessions(effects, cohort, rows)


def end_sessions(effects: Effects, cohort: Cohort, rows: I64) -> None:
    """End these rows' open sessions at their last active seconds."""
    if cohort.sessions is not None:
        ended = cohort.sessions.end(rows)
        effects.sessions += [session_event(cohort, change) for change in ended]


def _cleared(cohort: Cohort, row: int) -> Transition:
    alerts = cohort.alerts
    return Transition(
        row,
        "cleared",
        int(alerts.score_us[row]),
        int(alerts.raised_us[row]),
        int(alerts.raised_start_us[row]),
        float(alerts.score[row]),
        float(alerts.peak[row]),
    )


def forget(
    effects: Effects,
    directory: Directory,
    key: DeviceKey,
    batch: RecordBatch,
    log_time_us: int,
) -> None:
    """Drop the device at the control record that stands alone in `batch`, known or not."""
    handles = directory.handles([key.encode()])
    retire(effects, directory, handles[handles != ABSENT])
    effects.forgotten.append(
        Forgotten(
            int(batch.partitions[0]), int(batch.offsets[0]), log_time_us, key.tenant, key.device
        )
    )
