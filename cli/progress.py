"""Shows how a stack starts: one line per part, with the seconds it took."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from devstack.state import StackState


class StartProgress:
    """Feed it states; a part is printed once, when it is ready."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(quiet=quiet, highlight=False)
        self._spinner = Status("starting", console=self._console)
        self._printed: set[str] = set()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._spinner.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spinner.stop()

    def note(self, what: str) -> None:
        """What is under way now."""
        self._spinner.update(what)

    def show(self, state: StackState) -> None:
        """Print what is new."""
        for part in state.parts:
            if part.phase == "starting":
                self._spinner.update(f"starting {part.name}")
            elif part.phase == "ready" and part.name not in self._printed:
                self._printed.add(part.name)
                self._console.print(
                    f"  [green]✓[/] {part.name:<12}{part.seconds:6.1f} s   [dim]{part.detail}[/]"
                )
        if state.phase == "ready":
            total = time.monotonic() - self._began
            self._console.print(f"  [green]✓[/] {'everything':<12}{total:6.1f} s")
        elif state.phase == "failed":
            for problem in state.problems:
                self._console.print(f"  [red]✗[/] {problem}", soft_wrap=True)
