"""A `fleetpulse` command that runs beside a stack and belongs to it, such as the simulator."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack.launch import environment_of
from devstack.processes import STACK_VARIABLE
from fleetpulse.settings import Settings


class Companion:
    """Owns the process; its output goes to `log`. Whoever stops the stack ends it too."""

    def __init__(
        self, words: Sequence[str], *, settings: Settings, stack_id: str, log: Path
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "cli.app", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | environment_of(settings) | {STACK_VARIABLE: stack_id},
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._child.poll() is None

    @property
    def said(self) -> str:
        """All it printed."""
        return self._log.read_text(errors="replace").strip()

    def stop(self, timeout_s: float) -> None:
        """Interrupt it, as ctrl-C does; insist after `timeout_s`."""
        if self.running:
            self._child.send_signal(signal.SIGINT)
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(5)
