"""Finds and ends every process that inherited a mark from whoever started it, at any depth."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

STACK_VARIABLE = "FLEETPULSE_STACK_ID"
"""Environment variable that every process of a local stack inherits."""

_SHARE: Final = re.compile(r"^(Pss\w*): +(\d+) kB$", re.MULTILINE)


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


@dataclass(frozen=True, slots=True)
class Memory:
    """A process's share of memory, in bytes: forks have most of theirs in common."""

    share: int
    held: int
    """Without mapped files, whose pages the kernel takes back when it needs them."""


def memory_of(process: psutil.Process) -> Memory:
    """See proc_pid_smaps(5). Raises psutil.Error.

    All that it has resident where shares are not told, as of another user's process.
    """
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except PermissionError:
        resident = process.memory_info().rss
        return Memory(resident, resident)
    except OSError as error:
        raise psutil.NoSuchProcess(process.pid) from error
    kb = {name: int(value) for name, value in _SHARE.findall(rollup)}
    return Memory(kb["Pss"] << 10, (kb["Pss_Anon"] + kb["Pss_Shmem"]) << 10)


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
