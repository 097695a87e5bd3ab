"""`fleetpulse demo`: everything on this machine, with a simulated fleet, until ctrl-C."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from devstack.companion import Companion
    from devstack.launch import StackOwner

SIMULATOR_STOP_S = 3.0
LINE_INTERVAL_S = 1.0
PLAIN_LINE_INTERVAL_S = 5.0


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(demo)


def demo(
    devices: Annotated[int, typer.Option(min=1, help="Simulated machines.")] = 100,
    seconds: Annotated[
        float | None, typer.Option(help="Stop by itself so long after the start.")
    ] = None,
) -> None:
    """Start everything and a fleet of simulated machines, some of which fall ill."""
    from rich.console import Console

    from cli.progress import StartProgress
    from devstack.companion import Companion
    from devstack.launch import StackOwner
    from fleetpulse.settings import load_settings

    console = Console(highlight=False)
    settings = load_settings()
    with _interruptible():
        owner = StackOwner(settings, ends_with_caller=True)
        simulator: Companion | None = None
        try:
            with StartProgress() as progress:
                state = owner.wait_ready(progress.show)
            if state.phase != "ready":
                raise typer.Exit(1)
            simulator = Companion(
                ("simulate", "--devices", str(devices), "--seconds", "0"),
                settings=settings,
                stack_id=owner.stack_id,
                log=owner.data_folder / "simulate.log",
            )
            console.print(f"\n  live page: [bold]{state.page}[/]   (ctrl-C stops everything)\n")
            _watch(console, owner, simulator, seconds)
        except KeyboardInterrupt:
            pass
        finally:
            _stop(console, owner, simulator)


@contextmanager
def _interruptible() -> Iterator[None]:
    """A closed terminal or a polite kill ends the demo as ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    yield


def _watch(
    console: "Console", owner: "StackOwner", simulator: "Companion", seconds: float | None
) -> None:
    """Show the running line for so long, or until something ends by itself."""
    from rich.status import Status

    from devstack.state import read_fleet

    began = printed = time.monotonic()
    alerted = False
    with Status("waiting for the first samples", console=console) as line:
        while seconds is None or time.monotonic() < began + seconds:
            time.sleep(LINE_INTERVAL_S)
            now = time.monotonic()
            fleet = read_fleet(owner.data_folder)
            if fleet:
                line.update(text := _line(fleet))
                if not console.is_terminal and now - printed >= PLAIN_LINE_INTERVAL_S:
                    printed = now
                    console.print(text, soft_wrap=True)
                if fleet["alerts_total"] and not alerted:
                    alerted = True
                    console.print(f"  first alert {now - began:.0f} s after the first sample")
            for problem in owner.problems():
                console.print(f"  [red]✗[/] {problem}", soft_wrap=True)
            if not simulator.running or not owner.running:
                return


def _line(fleet: dict[str, Any]) -> str:
    p50, p99 = fleet["latency_ms_p50"], fleet["latency_ms_p99"]
    latency = f"latency p50 {p50:.0f} ms, p99 {p99:.0f} ms" if p50 is not None else "no scores yet"
    return (
        f"{fleet['samples_per_s']:,.0f} samples/s in, {fleet['windows_per_s']:,.0f} windows/s "
        f"scored, {fleet['alerts_total']:,} alerts, {latency}, lag {fleet['lag']:,}"
    )


def _stop(console: "Console", owner: "StackOwner", simulator: "Companion | None") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it is bounded; a second ctrl-C would only harm
    began = time.monotonic()
    with console.status("stopping"):
        if simulator:
            simulator.stop(SIMULATOR_STOP_S)
        owner.stop()
    if simulator and simulator.said:
        console.print(f"\n{simulator.said}\n", markup=False, soft_wrap=True)
    console.print(
        f"  stopped in {time.monotonic() - began:.1f} s; "
        f"the next start carries on from {owner.data_folder}",
        soft_wrap=True,
    )
