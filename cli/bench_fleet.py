"""`fleetpulse bench fleet`: one job on our engine and on its alternatives."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.bench_output import JsonFile, write_report

if TYPE_CHECKING:
    from benchmarks.fleet.bench import Compared

JobName = Literal["fleet-200", "fleet-200-1", "fleet-200-disorder"]
FRAMES = {"fleet-200": 1000, "fleet-200-1": 2000, "fleet-200-disorder": 1000}


def fleet(
    *,
    job: Annotated[JobName, typer.Option(help="What is computed.")] = "fleet-200",
    contender: Annotated[
        list[str] | None, typer.Option(help="Who computes it; again for more. Default: all.")
    ] = None,
    model: Annotated[bool, typer.Option(help="Score windows with the job's model.")] = True,
    frames: Annotated[
        int | None,
        typer.Option(min=20, help="Frames per device for the fastest; slow ones get a share."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """A full topic, worked off by each contender in turn, the bound before and after each.

    Ends with status 1 if any output differs from an independent computation.
    """
    from pathlib import Path

    from benchmarks.fleet.bench import Bench
    from benchmarks.fleet.catalog import CONTENDERS
    from cli.progress import StartProgress
    from fleetpulse.settings import load_settings

    names = contender or list(CONTENDERS)
    if unknown := set(names) - CONTENDERS.keys():
        raise typer.BadParameter(f"{sorted(unknown)}: known are {', '.join(CONTENDERS)}")
    with_model = model and job != "fleet-200-1"
    bench = Bench(load_settings(), job, with_model=with_model, frames=frames or FRAMES[job])
    with StartProgress(quiet=json_file == Path("-")) as start:
        found = bench.run(names, start.note, start.show)
    write_report(report(job, found, with_model=with_model), json_file)
    if json_file != Path("-"):
        _print(found)
    raise typer.Exit(1 if any(each.result.findings for each in found) else 0)


def report(job: str, found: "list[Compared]", *, with_model: bool) -> dict[str, object]:
    """As JSON."""
    from dataclasses import asdict

    return {
        "job": job,
        "model": with_model,
        "runs": [
            asdict(each.result)
            | {
                "samples_per_s": round(each.result.samples_per_s),
                "cpu_s_per_million": round(each.result.cpu_s_per_million, 4),
                "of_bound": round(each.of_bound, 4),
            }
            for each in found
        ],
    }


def _print(found: "list[Compared]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "contender",
        "samples/s",
        "CPU s/M",
        "of bound",
        "MB",
        "broker s",
        "postgres s",
        "check",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for each in found:
        result = each.result
        table.add_row(
            result.contender,
            f"{result.samples_per_s:,.0f}",
            f"{result.cpu_s_per_million:.3f}",
            f"{each.of_bound:.0%}" if each.bounds else "",
            f"{result.memory_mb:,.0f}",
            *(f"{result.servers_cpu_s.get(role, 0):.1f}" for role in ("broker", "postgres")),
            "[red]✗[/]" if result.findings else "equal",
        )
    console = Console(highlight=False)
    console.print(table)
    for each in found:
        if each.result.cpu_by_role_s:
            parts = "  ".join(
                f"{role} {spent}" for role, spent in each.result.cpu_by_role_s.items()
            )
            console.print(f"{each.result.contender}, CPU s: {parts}", soft_wrap=True)
        for finding in each.result.findings:
            console.print(f"[red]✗[/] {each.result.contender}: {finding}", soft_wrap=True)
