"""Paused devices: their records stay in the log and change nothing else."""

import numpy as np

from fleetpulse.control import ControlState
from fleetpulse.directory import Directory
from fleetpulse.effects import I64
from fleetpulse.identity import DeviceKey


def mark_paused(directory: Directory, partition: int, control: ControlState) -> I64:
    """Note which of a partition's devices are paused, so that a batch need not ask.

    Returns those that go on.
    """
    handles = directory.handles_of(partition)
    before = handles[directory.paused[handles]]
    directory.paused[handles] = False
    if control.pauses:
        keys = directory.keys[handles].tolist()
        paused = [control.is_paused(DeviceKey.decode(key)) for key in keys]
        directory.paused[handles] = np.array(paused, np.bool_)
    goes_on: I64 = before[~directory.paused[before]]
    return goes_on
