"""Everything that can be said about a stack from outside."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from adapters.kafka.recovery_time import recovery_time
from devstack.processes import STACK_VARIABLE, marked, memory_of
from devstack.state import StackState, read_fleet, running_stack
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import Settings


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of the stack."""

    pid: int
    name: str
    memory_mb: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class RecoveryStatus:
    """What the broker's settings allow, in seconds; `remedy` says what to change on the brokers."""

    takeover_s: float
    replay_s: float
    readers_wait_s: float
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """stack: None when it does not run. fleet: as of the last second; None: not yet known.

    recovery: None when the broker does not tell; then `broker` says why.
    """

    data_folder: str
    stack: StackState | None
    processes: list[ProcessStatus]
    fleet: dict[str, Any] | None
    recovery: RecoveryStatus | None
    broker: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def status_of(settings: Settings) -> Status:
    """Look now. An external broker is asked also when no stack runs."""
    folder = settings.data_folder.absolute()
    stack = running_stack(folder)
    recovery, broker = None, settings.kafka.servers
    if settings.kafka.bootstrap or (stack and stack.phase == "ready"):
        try:
            recovery = _recovery(settings)
        except FleetpulseError as error:
            broker = str(error)
    return Status(
        data_folder=str(folder),
        stack=stack,
        processes=_processes(stack) if stack else [],
        fleet=read_fleet(folder) if stack else None,
        recovery=recovery,
        broker=broker,
    )


def _recovery(settings: Settings) -> RecoveryStatus:
    allowed = recovery_time(settings.kafka)
    budget_s = settings.snapshot.replay_budget_s
    return RecoveryStatus(
        takeover_s=allowed.takeover_s,
        replay_s=budget_s,
        readers_wait_s=allowed.readers_wait_s(settings.shard.transaction_timeout_ms),
        remedy=allowed.remedy(budget_s),
    )


def _processes(stack: StackState) -> list[ProcessStatus]:
    found = []
    for process in [*marked(STACK_VARIABLE, stack.stack_id)]:
        try:
            with process.oneshot():
                cpu = process.cpu_times()
                found.append(
                    ProcessStatus(
                        process.pid,
                        _name(process),
                        memory_of(process).share // 2**20,
                        round(cpu.user + cpu.system, 1),
                    )
                )
        except psutil.Error:
            continue  # it ended meanwhile
    return sorted(found, key=lambda each: -each.memory_mb)


def _name(process: psutil.Process) -> str:
    """What it does: a Ray worker's title, a Python program's module, else the program's name."""
    words = process.cmdline()
    if words and words[0].startswith("ray::"):
        return words[0]
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    scripts = [word for word in words if word.endswith(".py")]
    return Path(scripts[0]).stem if scripts else process.name()
