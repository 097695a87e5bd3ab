"""What the stack's owner tells everybody else: one small file in the data folder."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class PartState:
    """One part, such as Kafka."""

    name: str
    phase: Phase
    detail: str = ""
    seconds: float = 0.0
    """How long it took to start."""


@dataclass(frozen=True, slots=True)
class StackState:
    """The whole stack. pid and started_at (seconds since the epoch) name its owner for certain."""

    stack_id: str
    pid: int
    started_at: float
    phase: Phase
    parts: tuple[PartState, ...] = ()
    problems: tuple[str, ...] = ()
    """One line each: why it failed, or what has ended since and was started again."""
    page: str = ""
    ray_address: str = ""

    def owner(self) -> psutil.Process | None:
        """The process that owns the stack; None when it is gone, also if its pid is reused."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < 1.0
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def state_file(data_folder: Path) -> Path:
    """Where the state is kept."""
    return data_folder / "stack.json"


def read_state(data_folder: Path) -> StackState | None:
    """The newest state; None when no stack was ever started here."""
    try:
        told = json.loads(state_file(data_folder).read_text())
    except FileNotFoundError:
        return None
    parts = tuple(PartState(**part) for part in told.pop("parts"))
    return StackState(parts=parts, problems=tuple(told.pop("problems")), **told)


def write_state(data_folder: Path, state: StackState) -> None:
    """Replace the state; a reader sees the old or the new one, never a part."""
    fresh = state_file(data_folder).with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(dataclasses.asdict(state), file, indent=1)
    fresh.replace(state_file(data_folder))


def running_stack(data_folder: Path) -> StackState | None:
    """The state of a stack whose owner lives."""
    state = read_state(data_folder)
    return state if state and state.owner() else None


def fleet_file(data_folder: Path) -> Path:
    """Where the summary is kept."""
    return data_folder / "fleet.json"


def read_fleet(data_folder: Path) -> dict[str, Any] | None:
    """The fields of `actors.live_fleet.FleetSummary`; None while there is none."""
    try:
        summary: dict[str, Any] = json.loads(fleet_file(data_folder).read_text())
    except FileNotFoundError:
        return None
    return summary
