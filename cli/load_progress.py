"""A line that shows how a load runs: samples sent and accepted, latency, time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from simulator.tally import Tally


class LoadProgress:
    """Written to stderr, so that stdout holds only the report."""

    def __init__(self, tally: Tally, rounds: int | None, *, quiet: bool) -> None:
        self._tally = tally
        self._progress = Progress(
            TextColumn("[bold]sending[/]"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, quiet=quiet),
            transient=True,
        )
        self._task = self._progress.add_task("", total=rounds, state="")

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

    def show(self, rounds: int) -> None:
        """After each round."""
        counts = self._tally.counts()
        state = f"{counts.sent:,} sent, {counts.accepted:,} accepted"
        if counts.latency_ms:
            state += f", p50 {counts.latency_ms['p50']:g} ms, p99 {counts.latency_ms['p99']:g} ms"
        if counts.refused or counts.failed:
            state += f", [red]{counts.refused:,} refused, {counts.failed:,} failed[/]"
        self._progress.update(self._task, completed=rounds, state=state)
