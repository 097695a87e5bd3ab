"""Starts the stack's owner as a process of its own, waits for it, and ends it for certain."""

import os
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
from pydantic import BaseModel, SecretStr

from devstack.postgres_server import PostgresServer, postgres_folder
from devstack.processes import STACK_VARIABLE, end_marked
from devstack.state import StackState, read_state, running_stack
from fleetpulse.errors import SetupError
from fleetpulse.settings import Settings
from serve_apps.environment import serve_environment

START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 11.0
"""For the owner to end everything in order; then what is left is ended by force."""
_POLL_S = 0.1


class StackOwner:
    """A started owner, seen from outside."""

    def __init__(self, settings: Settings, *, ends_with_caller: bool = False) -> None:
        """`ends_with_caller`: the stack stops when this process is gone, however it ends."""
        self.data_folder = settings.data_folder.absolute()
        if running := running_stack(self.data_folder):
            raise SetupError(
                f"a stack is already {running.phase} in {self.data_folder} (pid {running.pid})",
                remedy="stop it with `fleetpulse down`, or choose another FLEETPULSE_DATA_FOLDER",
            )
        if stale := read_state(self.data_folder):
            end_marked(STACK_VARIABLE, stale.stack_id)  # its owner was killed
        self.stack_id = uuid.uuid4().hex
        self._log = self.data_folder / "stack.log"
        self._told: tuple[str, ...] = ()
        self._child = self._launch(settings, ends_with_caller=ends_with_caller)

    def wait_ready(self, on_change: Callable[[StackState], None]) -> StackState:
        """Return the state once everything runs, or once it failed; then nothing is left of it."""
        deadline = time.monotonic() + START_TIMEOUT_S
        seen: StackState | None = None
        ended = False
        while time.monotonic() < deadline and not ended:
            ended = self._child.poll() is not None
            state = read_state(self.data_folder)
            if state and state.stack_id == self.stack_id and state != seen:
                on_change(seen := state)
                if state.phase == "ready":
                    return state
            time.sleep(_POLL_S)
        self.stop()
        problems = seen.problems if seen else ()
        how = "ended while starting" if ended else f"was not ready within {START_TIMEOUT_S:.0f} s"
        return StackState(
            stack_id=self.stack_id,
            pid=self._child.pid,
            started_at=0.0,
            phase="failed",
            problems=problems or (f"the stack {how}; see {self._log}",),
        )

    @property
    def running(self) -> bool:
        """Whether the owner lives."""
        return self._child.poll() is None

    def problems(self) -> tuple[str, ...]:
        """Each line once: what has ended since the last call."""
        state = read_state(self.data_folder)
        told = state.problems if state and state.stack_id == self.stack_id else ()
        new = tuple(problem for problem in told if problem not in self._told)
        self._told = told
        return new

    def stop(self) -> None:
        """As `stop_stack`."""
        _stop(
            self.stack_id, psutil.Process(self._child.pid) if self._child.poll() is None else None
        )
        self._child.wait(5)
        if self._child.stdin:
            self._child.stdin.close()

    def _launch(self, settings: Settings, *, ends_with_caller: bool) -> "subprocess.Popen[bytes]":
        self.data_folder.mkdir(parents=True, exist_ok=True)
        environment = os.environ | environment_of(settings)
        if not settings.ray.address:
            environment |= serve_environment(settings.http) | ray_environment(self.data_folder)
        environment |= {
            STACK_VARIABLE: self.stack_id,
            "FLEETPULSE_DATA_FOLDER": str(self.data_folder),
        }
        command = [sys.executable, "-m", "devstack.daemon"]
        with self._log.open("ab" if self._log_is_short() else "wb") as log:
            return subprocess.Popen(
                [*command, "--while-stdin"] if ends_with_caller else command,
                stdin=subprocess.PIPE if ends_with_caller else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def _log_is_short(self) -> bool:
        return not self._log.exists() or self._log.stat().st_size < 2**20


def settings_of_running(settings: Settings) -> Settings:
    """The same, with the address and password of the running stack's own database."""
    folder = settings.data_folder.absolute()
    if running_stack(folder) is None:
        raise SetupError(f"no stack runs in {folder}", remedy="start it with `fleetpulse up`")
    if settings.postgres.dsn is not None:
        return settings
    dsn = PostgresServer(settings.postgres, postgres_folder(folder)).dsn
    postgres = settings.postgres.model_copy(update={"dsn": dsn})
    return settings.model_copy(update={"postgres": postgres, "data_folder": folder})


def stop_stack(data_folder: Path) -> StackState | None:
    """Stop the stack of this folder and whatever a killed owner left; None if none was running."""
    state = read_state(data_folder)
    if state is None:
        return None
    owner = state.owner()
    left = _stop(state.stack_id, owner)
    return state if owner or left else None


def _stop(stack_id: str, owner: psutil.Process | None) -> int:
    if owner:
        owner.terminate()
        try:
            owner.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            owner.kill()
    return end_marked(STACK_VARIABLE, stack_id, grace_s=0.0 if owner else 1.0)


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables from which `load_settings` makes the same settings."""
    variables = {}
    for name, value in settings:
        fields = dict(value) if isinstance(value, BaseModel) else {"": value}
        for field, content in fields.items():
            if content is not None:
                plain = content.get_secret_value() if isinstance(content, SecretStr) else content
                variable = f"FLEETPULSE_{name}__{field}" if field else f"FLEETPULSE_{name}"
                variables[variable.upper()] = str(plain)
    return variables


def ray_environment(data_folder: Path) -> dict[str, str]:
    """For every process that talks to the stack's own Ray: it serves only who has its token."""
    token = data_folder / "ray-token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
