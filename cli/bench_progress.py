"""Bars on stderr for the phases of a benchmark, so that stdout holds only the report."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from benchmarks.e2e import Progress as RunProgress


class BenchProgress:
    """One bar per phase."""

    def __init__(self, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}[/]"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True, quiet=quiet),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def load(self, seconds: float, now: "RunProgress") -> None:
        """The fleet sends."""
        state = f"{now.scores:,} scores, {now.alerts} alerts, lag {now.lag_messages:,}"
        self._show("load", seconds, max(0.0, now.elapsed_s), state)

    def check(self, done: int, total: int) -> None:
        """The offline computation goes through the devices."""
        self._show("check", total, done, f"{done} of {total} devices")

    def fill(self, total: int, done: int) -> None:
        """Frames for the bare loop are written."""
        self._show("fill", total, done, "")

    def count(self, phase: str, done: int, total: int) -> None:
        """A phase that counts."""
        self._show(phase, total, done, f"{done:,} of {total:,}")

    def step(self, name: str, phase: str, done: int, total: int) -> None:
        """One of several phases in a row begins."""
        self._show(name, total, done, phase)

    def _show(self, name: str, total: float, done: float, state: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, state="")
        self._progress.update(self._tasks[name], total=total, completed=done, state=state)
