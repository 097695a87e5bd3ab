"""Ray and what runs on it, in a process of its own, as parts of the owner's stack."""

import json
import os
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Final

from actors.revival import Revival
from devstack import fork_server
from devstack.launch import environment_of
from devstack.part import Lost, Started
from devstack.processes import end_marked
from devstack.state import PartState
from fleetpulse.errors import SetupError
from fleetpulse.settings import Settings

FIRST: Final = "first"
AGAIN: Final = "again"
"""How a program begins: whether its parts ran a moment ago."""
HOSTED: Final = ("Ray", "shards", "HTTP")
START_TIMEOUT_S: Final = 180.0
_MARK: Final = "FLEETPULSE_RAY_HOST"


@dataclass(frozen=True, slots=True)
class _Program:
    """A process that has imported all it needs and waits to be told how to begin."""

    settings: Settings
    child: subprocess.Popen[bytes]
    told: int
    """What it tells is read here."""
    mark: str

    @classmethod
    def launch(cls, settings: Settings) -> "_Program":
        mark = uuid.uuid4().hex
        ours, theirs = os.pipe()
        child = subprocess.Popen(
            [sys.executable, "-m", "devstack.ray_program", str(theirs)],
            stdin=subprocess.PIPE,
            pass_fds=[theirs],
            env=os.environ | environment_of(settings) | fork_server.environment() | {_MARK: mark},
            start_new_session=True,
        )
        os.close(theirs)
        return cls(settings, child, ours, mark)

    def begin(self, how: str) -> None:
        """Raises BrokenPipeError if it has ended."""
        assert self.child.stdin is not None
        self.child.stdin.write(how.encode())
        self.child.stdin.flush()

    def end(self, timeout_s: float) -> None:
        """Wait for its end, insist after that time, and leave nothing of it."""
        try:
            self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(5)
        if self.child.stdin:
            with suppress(BrokenPipeError):
                self.child.stdin.close()
        end_marked(_MARK, self.mark, grace_s=0.0)


class RayHost:
    """Owns the process `devstack.ray_program` and whatever descends from it, and its standby."""

    def __init__(self, data_folder: Path) -> None:
        self._log = data_folder / "stack.log"
        self._program: _Program | None = None
        self._standby: _Program | None = None
        self._changed = Condition()
        self._parts: dict[str, PartState] = {}
        self._ended = False
        self._revival = Revival()
        self._how = FIRST
        self.ray_address = ""
        self.problem = ""

    def launch(self, settings: Settings) -> None:
        """Start it; `await_part` follows."""
        self._parts, self.problem, self._ended = {}, "", False
        program, self._standby = self._standby, None
        if program and (program.settings != settings or program.child.poll() is not None):
            self._dismiss(program)
            program = None
        self._program = program or _Program.launch(settings)
        with suppress(BrokenPipeError):  # then it has ended, which is noticed
            self._program.begin(self._how)
        self._how = AGAIN
        Thread(target=self._listen, args=(self._program,), name="ray-host", daemon=True).start()

    def keep_standby(self) -> None:
        """A process that can begin at once when this one is lost: its imports take seconds."""
        if self._program and self._program.settings.ray.standby and self._standby is None:
            self._standby = _Program.launch(self._program.settings)

    def await_part(self, name: str, phase: str, timeout_s: float) -> PartState | None:
        """The part in this phase; None if the process ended or was too slow."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or (name in self._parts and self._parts[name].phase == phase),
                timeout_s,
            )
            part = self._parts.get(name)
            return part if part and part.phase == phase else None

    @property
    def ended(self) -> bool:
        """Whether the process is gone, and may be started again now."""
        gone = self._program is not None and self._program.child.poll() is not None
        return gone and self._revival.due()

    def ask_to_stop(self) -> None:
        """It stops its parts, newest first, and ends; there is no standby any more."""
        if self._standby:
            self._dismiss(self._standby)
            self._standby = None
        if self._program and self._program.child.poll() is None:
            self._program.child.terminate()

    def end(self, timeout_s: float) -> None:
        """Wait for its end, insist after that time, and leave nothing of it."""
        if self._program:
            self._program.end(timeout_s)

    def _dismiss(self, standby: _Program) -> None:
        standby.end(0.0)
        os.close(standby.told)

    def _listen(self, program: _Program) -> None:
        with os.fdopen(program.told) as lines:
            for line in lines:
                self._hear(program, json.loads(line))
        with self._changed:
            self._ended = self._ended or program is self._program
            self._changed.notify_all()

    def _hear(self, program: _Program, told: dict[str, Any]) -> None:
        with self._changed:
            if program is not self._program:
                return  # one that was replaced
            if "problem" in told:
                self.problem = told["problem"]
            else:
                self.ray_address = told.pop("ray_address")
                self._parts[told["name"]] = PartState(**told)
            self._changed.notify_all()

    def refusal(self, name: str) -> SetupError:
        """Why a part did not start."""
        return SetupError(self.problem or f"{name} did not start", remedy=f"see {self._log}")


class HostedPart:
    """A part that the host starts and stops; the first of them starts and ends the host."""

    def __init__(self, name: str, host: RayHost) -> None:
        self.name = name
        self._host = host
        self._first = name == HOSTED[0]

    def start(self, settings: Settings) -> Started:
        """Wait until the host has started it."""
        if self._first:
            self._host.launch(settings)
        part = self._host.await_part(self.name, "ready", START_TIMEOUT_S)
        if part is None:
            raise self._host.refusal(self.name)
        return Started(settings, part.detail, self._host.ray_address)

    def stop(self, timeout_s: float) -> None:
        """Wait until the host has stopped it."""
        deadline_s = time.monotonic() + timeout_s
        self._host.ask_to_stop()
        if self._first:
            self._host.end(timeout_s)
        elif self._host.await_part(self.name, "stopped", deadline_s - time.monotonic()) is None:
            raise TimeoutError(f"{self.name}: see the log")

    def tend(self) -> str | None:
        """The host's own parts are tended there."""
        if not self._first:
            return None
        if self._host.ended:
            raise Lost(f"{self._host.problem or 'Ray ended'}; Ray and all on it are started again")
        self._host.keep_standby()
        return None

    def abandon(self) -> None:
        """End what is left of the host."""
        if self._first:
            self._host.end(0.0)
