"""Finds and ends every process that inherited a mark from whoever started it, at any depth."""

import os
import time

import psutil

STACK_VARIABLE = "FLEETPULSE_STACK_ID"
"""Environment variable that every process of a local stack inherits."""


def marked(variable: str, value: str) -> list[psutil.Process]:
    """Living processes, other than this one, whose environment has `variable=value`."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and process.environ().get(variable) == value
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # it ended, or it is another user's
    return found


def memory_bytes(process: psutil.Process) -> int:
    """Its share of memory: forks have most of theirs in common. Raises psutil.Error.

    All that it has resident where shares are not told, as of another user's process.
    """
    try:
        share: int = process.memory_full_info().pss
    except psutil.AccessDenied:
        share = process.memory_info().rss
    return share


def end_marked(variable: str, value: str, *, grace_s: float = 1.0) -> int:
    """Ask them to end, insist after `grace_s`; returns how many there were.

    Repeats until none is left, because a dying parent may have started another one.
    """
    ended = 0
    deadline = time.monotonic() + grace_s
    while processes := marked(variable, value):
        insist = time.monotonic() >= deadline
        for process in processes:
            try:
                process.kill() if insist else process.terminate()
            except psutil.Error:
                continue
        gone, _ = psutil.wait_procs(processes, timeout=max(0.2, deadline - time.monotonic()))
        ended += len(gone)
        if time.monotonic() > deadline + 5:
            break
    return ended
