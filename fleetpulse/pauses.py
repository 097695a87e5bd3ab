"""Paused devices: their records stay in the log and change nothing else."""

import numpy as np

from fleetpulse.control import ControlState, matching
from fleetpulse.directory import Directory
from fleetpulse.effects import I64


def mark_paused(directory: Directory, partition: int, control: ControlState) -> I64:
    """Note which of a partition's devices are paused, so that a batch need not ask.

    Returns those that go on.
    """
    handles = directory.handles_of(partition)
    before = handles[directory.paused[handles]]
    directory.paused[handles] = False
    keys = directory.keys[handles]
    for at in np.flatnonzero(matching(control.pauses, keys.tolist())).tolist():
        directory.paused[handles[at]] = control.is_paused(keys[at])
    goes_on: I64 = before[~directory.paused[before]]
    return goes_on
