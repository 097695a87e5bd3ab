"""Ray and what runs on it, in a process of its own, as parts of the owner's stack."""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Final

from actors.revival import Revival
from devstack.launch import environment_of
from devstack.part import Lost, Started
from devstack.processes import end_marked
from devstack.state import PartState
from fleetpulse.errors import SetupError
from fleetpulse.settings import Settings

HOSTED: Final = ("Ray", "shards", "HTTP")
START_TIMEOUT_S: Final = 180.0
_MARK: Final = "FLEETPULSE_RAY_HOST"


class RayHost:
    """Owns the process `devstack.ray_program` and whatever descends from it."""

    def __init__(self, data_folder: Path) -> None:
        self._log = data_folder / "stack.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._mark = ""
        self._changed = Condition()
        self._parts: dict[str, PartState] = {}
        self._ended = False
        self._revival = Revival()
        self._launched = 0
        self.ray_address = ""
        self.problem = ""

    def launch(self, settings: Settings) -> None:
        """Start it; `await_part` follows."""
        self._parts, self.problem, self._ended = {}, "", False
        self._mark = uuid.uuid4().hex
        ours, theirs = os.pipe()
        again = ["again"] if self._launched else []
        self._launched += 1
        self._child = subprocess.Popen(
            [sys.executable, "-m", "devstack.ray_program", str(theirs), *again],
            stdin=subprocess.PIPE,
            pass_fds=[theirs],
            env=os.environ | environment_of(settings) | {_MARK: self._mark},
            start_new_session=True,
        )
        os.close(theirs)
        Thread(target=self._listen, args=(ours,), name="ray-host", daemon=True).start()

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
        return self._child is not None and self._child.poll() is not None and self._revival.due()

    def ask_to_stop(self) -> None:
        """It stops its parts, newest first, and ends."""
        if self._child and self._child.poll() is None:
            self._child.terminate()

    def end(self, timeout_s: float) -> None:
        """Wait for its end, insist after that time, and leave nothing of it."""
        if self._child is None:
            return
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(5)
        if self._child.stdin:
            self._child.stdin.close()
        end_marked(_MARK, self._mark, grace_s=0.0)

    def _listen(self, descriptor: int) -> None:
        with os.fdopen(descriptor) as lines:
            for line in lines:
                self._hear(json.loads(line))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _hear(self, told: dict[str, Any]) -> None:
        with self._changed:
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
        if self._first and self._host.ended:
            raise Lost(f"{self._host.problem or 'Ray ended'}; Ray and all on it are started again")
        return None

    def abandon(self) -> None:
        """End what is left of the host."""
        if self._first:
            self._host.end(0.0)
