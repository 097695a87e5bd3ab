"""A server of ours as a child process: start, wait until it answers, stop in bounded time."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetpulse.errors import SetupError

POLL_S = 0.05


class ServerProcess:
    """Owns one child; its output goes to `log`, the previous run's to `log`.1."""

    def __init__(self, name: str, argv: Sequence[str], *, log: Path) -> None:
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running child."""
        return self._child.pid if self.running and self._child else None

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the child in a session of its own: a terminal's ctrl-C is not sent to it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        with self.log.open("wb") as output:
            self._child = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, answers: Callable[[], bool], *, timeout_s: float) -> None:
        """Return once the server answers; raises SetupError when it ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not answers():
            if not self.running:
                raise SetupError(
                    f"{self.name} ended while starting: {self._last_words()}",
                    remedy=f"see {self.log}",
                )
            if time.monotonic() > deadline:
                self.stop(timeout_s=5)
                raise SetupError(
                    f"{self.name} did not answer within {timeout_s:.0f} s",
                    remedy=f"see {self.log}, and whether this machine is overloaded",
                )
            time.sleep(POLL_S)

    def stop(self, *, timeout_s: float, ask: int = signal.SIGTERM) -> None:
        """Ask the child to end, insist after `timeout_s`. Does nothing when it has ended."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.send_signal(ask)
            try:
                self._child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait(5)
        self._child = None

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:200] if said else "it said nothing"
