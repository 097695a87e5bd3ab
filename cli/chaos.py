"""`fleetpulse chaos`: strike a whole stack under load, and look whether anything was lost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.chaos.report import ChaosReport


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(chaos)


def chaos(
    *,
    seconds: Annotated[float, typer.Option(min=1, help="Load under faults, altogether.")] = 1800.0,
    seed: Annotated[int, typer.Option(help="Decides faults, victims and load.")] = 1,
    short: Annotated[bool, typer.Option("--short", help="Only what matters most.")] = False,
    only: Annotated[
        str, typer.Option(help="Only faults with one of these in their names: shard,disk")
    ] = "",
    rate: Annotated[float, typer.Option(min=1000, help="Samples per second.")] = 100_000.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report there.")
    ] = None,
) -> None:
    """Kill, stop and cut off every part of a stack with three brokers, in an order from a seed."""
    import json
    import signal

    from benchmarks.chaos.run import run_chaos
    from benchmarks.chaos.schedule import rounds
    from benchmarks.chaos.schedule import short as short_form
    from benchmarks.plan import LoadPlan
    from cli.progress import StartProgress
    from fleetpulse.settings import load_settings

    # As ctrl-C: the stack ends and its file system is unmounted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = load_settings()
    load = LoadPlan(
        run="chaos",
        devices=round(rate / 200),
        rate_hz=200.0,
        frame_samples=20,
        seconds=seconds,
        via="kafka",
        disorder=0.01,
        duplicates=0.001,
        lateness_ms=2000,
        ill=0.5,
        profile_file=str(settings.profiles_folder / f"{settings.default_profile}.yaml"),
    )
    episodes = short_form(seed) if short else rounds(seed, seconds, only)
    with StartProgress(quiet=False) as start:
        report = run_chaos(
            settings,
            episodes,
            load,
            seed=seed,
            on_start=start.show,
            say=lambda line: print(line, flush=True),
        )
    if json_file:
        json_file.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    _print(report)
    raise typer.Exit(1 if report.problems else 0)


def _print(report: "ChaosReport") -> None:
    from rich.console import Console
    from rich.table import Table

    from benchmarks.chaos.report import COLUMNS, cells

    console = Console(highlight=False)
    table = Table(*COLUMNS, box=None, padding=(0, 2, 0, 0), header_style="dim")
    for row in report.faults:
        table.add_row(*cells(row))
    console.print(table)
    console.print(
        f"{report.samples:,} samples, {report.answered_frames:,} frames answered 202; compared: "
        + ", ".join(f"{count:,} {name}" for name, count in report.compared.items()),
        soft_wrap=True,
    )
    for each in report.processes:
        if each.memory_thirds_mb:
            thirds = ", ".join(f"{part:.0f}" for part in each.memory_thirds_mb)
            console.print(f"memory of {each.name} by thirds of the run: {thirds} MB")
    for problem in report.problems:
        console.print(f"[red]✗[/] {problem}", soft_wrap=True, markup=True)
