"""What happens to a stack during a run: a shard is killed, villains join the fleet."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.child import start_module
from benchmarks.processes import ProcessWatch
from benchmarks.stack import MeasuredStack
from fleetpulse.errors import FleetpulseError


@dataclass(slots=True)
class Disturbance:
    """Does each thing once, when its time has come; None: never.

    killed_us, joined_us: when it did, in epoch microseconds.
    """

    stack: MeasuredStack
    plan_file: Path
    processes: ProcessWatch
    kill_shard_at_s: float | None
    villains_at_s: float | None
    killed_us: int | None = None
    joined_us: int | None = None
    _villains: "subprocess.Popen[str] | None" = None

    def look(self, elapsed_s: float) -> None:
        """So long after the load's begin."""
        if self.killed_us is None and _is_due(self.kill_shard_at_s, elapsed_s):
            self.killed_us = _kill_shard(self.processes)
        if self.joined_us is None and _is_due(self.villains_at_s, elapsed_s):
            self._villains = start_module(
                self.stack.settings,
                "benchmarks.villains",
                self.plan_file,
                stack_id=self.stack.stack_id,
            )
            self.joined_us = time.time_ns() // 1000

    def close(self) -> None:
        """End the villains."""
        if self._villains is not None:
            self._villains.kill()
            self._villains.communicate(timeout=5)


def _is_due(at_s: float | None, elapsed_s: float) -> bool:
    return at_s is not None and elapsed_s >= at_s


def _kill_shard(processes: ProcessWatch) -> int:
    """End the oldest shard as a crash would; when, in epoch microseconds."""
    pids = processes.pids("shard")
    if not pids:
        raise FleetpulseError("no shard process was found to kill")
    os.kill(pids[0], signal.SIGKILL)
    return time.time_ns() // 1000
