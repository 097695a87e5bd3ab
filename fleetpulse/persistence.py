"""An engine's partition as a PartitionSnapshot, and back."""

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import Arrays, Buffers
from fleetpulse.control import ControlState
from fleetpulse.directory import ABSENT, KNOWN, Directory
from fleetpulse.effects import I64
from fleetpulse.engine import Engine, PartitionState
from fleetpulse.pauses import mark_paused
from fleetpulse.silence import AttendedClock
from fleetpulse.snapshot import DeviceStates, PartitionSnapshot


def export_partition(
    engine: Engine,
    partition: int,
    *,
    next_offset: int,
    topic_id: str,
    buffers: Buffers | None = None,
) -> PartitionSnapshot:
    """A partition at this moment; call it between batches.

    States that are stored already are named, the others are copied; with `buffers`, until the
    next copy into them.
    """
    directory, state = engine.directory, engine.partitions[partition]
    handles = directory.handles_of(partition)
    unstored = directory.unstored(handles)
    cohorts = directory.cohort_of[handles]
    copy = directory.copying(handles[unstored])
    return PartitionSnapshot(
        partition=partition,
        next_offset=next_offset,
        topic_id=topic_id,
        result_version=state.control.result_version,
        meta={
            "control": state.control.export(),
            "log_time_us": state.log_time_us,
            "attended": [state.clock.attended_us, state.clock.tick_us],
            "away": {key.decode(): heard_us for key, heard_us in state.away.items()},
        },
        cohorts=[
            copied_states(
                directory, handles[cohorts == cohort], unstored[cohorts == cohort], buffers
            )
            for cohort in np.unique(cohorts).tolist()
        ],
        copy=copy,
    )


def copied_states(
    directory: Directory, handles: I64, chosen: NDArray[np.bool_], buffers: Buffers | None = None
) -> DeviceStates:
    """Devices of one cohort, with copies of the states of those that are chosen."""
    cohort = directory.cohorts[directory.cohort_of[handles[0]]]
    inline = np.flatnonzero(chosen)
    rows = directory.row_of[handles]
    known: Arrays = {name: getattr(directory, name)[handles] for name in KNOWN}
    return DeviceStates(
        profile=cohort.profile,
        keys=directory.keys[handles],
        active=rows != ABSENT,
        known=known,
        blobs=directory.blob[handles],
        inline=inline,
        rows=cohort.export(rows[inline], buffers),
        handles=handles,
    )


def import_partition(engine: Engine, partition: int, snapshot: PartitionSnapshot | None) -> None:
    """Take over a partition, from its snapshot or from nothing; what was held of it is dropped.

    Devices whose state is at hand become active, the others stay passive.
    """
    drop_partition(engine, partition)
    if snapshot is None:
        engine.partitions[partition] = PartitionState()
        return
    control, log_time_us = snapshot.meta["control"], snapshot.meta["log_time_us"]
    assert isinstance(control, dict)
    assert isinstance(log_time_us, int)
    # What a snapshot of an earlier release does not have begins as for a new partition.
    attended, away = snapshot.meta.get("attended", []), snapshot.meta.get("away", {})
    assert isinstance(attended, list)
    assert isinstance(away, dict)
    engine.partitions[partition] = PartitionState(
        ControlState.load(control),
        log_time_us,
        AttendedClock(*attended),
        {key.encode(): heard_us for key, heard_us in away.items()},
    )
    directory = engine.directory
    for states in snapshot.cohorts:
        handles = directory.add_passive(states.keys, partition, states.profile, states.known)
        directory.blob[handles] = states.blobs
        directory.copied[handles] = directory.copies + 1
        if len(states.inline):
            cohort = directory.cohorts[directory.cohort_id(states.profile)]
            directory.activate(cohort, handles[states.inline], states.rows)
    directory.copies += 1
    mark_paused(directory, partition, engine.partitions[partition].control)


def drop_partition(engine: Engine, partition: int) -> None:
    """Forget a partition that belongs to another shard now."""
    engine.directory.remove(engine.directory.keys_of(partition))
    engine.partitions.pop(partition, None)
