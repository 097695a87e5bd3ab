"""`fleetpulse bench fleet`: one job on our engine and on its alternatives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

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
    as_exported: Annotated[
        bool,
        typer.Option("--as-exported", help="The model as exported, not prepared for speed."),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option(min=20, help="Frames per device for the fastest; slow ones get a share."),
    ] = None,
    paced: Annotated[
        int | None,
        typer.Option(min=200, help="Samples per second in real time; default: a backlog."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=5, help="How long a paced run counts.")] = 20.0,
    json_file: JsonFile = None,
) -> None:
    """A backlog, or a fleet in real time, for each contender in turn.

    With a backlog the bound runs before and after each. Ends with status 1 if any output differs
    from an independent computation.
    """
    from benchmarks.fleet.bench import Bench
    from benchmarks.fleet.catalog import CONTENDERS
    from cli.progress import StartProgress
    from fleetpulse.settings import load_settings

    names = contender or list(CONTENDERS)
    if unknown := set(names) - CONTENDERS.keys():
        raise typer.BadParameter(f"{sorted(unknown)}: known are {', '.join(CONTENDERS)}")
    if paced and job == "fleet-200-disorder":
        raise typer.BadParameter("--paced sends in order")
    with_model = model and job != "fleet-200-1"
    if as_exported and not with_model:
        raise typer.BadParameter("--as-exported: this job has no model")
    with StartProgress(quiet=json_file == Path("-")) as start:
        bench = Bench(
            load_settings(),
            job,
            with_model=with_model,
            as_exported=as_exported,
            tell=start.note,
            on_start=start.show,
        )
        if paced:
            found = bench.run_paced(names, paced, seconds)
        else:
            found = bench.run(names, frames or FRAMES[job])
    runs = [_plain(each) for each in found]
    kind = {"job": job, "model": with_model, "as_exported": as_exported, "paced": paced}
    write_report(kind | {"runs": runs}, json_file)
    if json_file != Path("-"):
        _print(found, paced=paced is not None)
    raise typer.Exit(1 if any(each.result.findings for each in found) else 0)


def _plain(run: "Compared") -> dict[str, Any]:
    """For JSON."""
    from dataclasses import asdict

    return asdict(run.result) | {
        "samples_per_s": round(run.result.samples_per_s),
        "cpu_s_per_million": round(run.result.cpu_s_per_million, 4),
        "of_bound": round(run.of_bound, 4),
    }


def _print(found: "list[Compared]", *, paced: bool) -> None:
    own = ("p50 ms", "p99 ms") if paced else ("of bound",)
    table = Table(
        *("contender", "samples/s", "CPU s/M", *own, "MB", "broker s", "postgres s", "check"),
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for each in found:
        result = each.result
        share = f"{each.of_bound:.0%}" if each.bounds else ""
        latency = result.latency_ms
        table.add_row(
            result.contender,
            f"{result.samples_per_s:,.0f}",
            f"{result.cpu_s_per_million:.3f}",
            *((f"{latency.p50:.0f}", f"{latency.p99:.0f}") if latency else (share,)),
            f"{result.memory_mb:,.0f}",
            *(f"{result.servers_cpu_s.get(role, 0):.1f}" for role in ("broker", "postgres")),
            "[red]✗[/]" if result.findings else "equal",
        )
    console = Console(highlight=False)
    console.print(table)
    for each in found:
        result = each.result
        if result.late_ms > 20:
            late = f"{result.contender}: the generator was up to {result.late_ms:.0f} ms late"
            console.print(late, soft_wrap=True)
        if len(result.cpu_by_role_s) > 1:
            parts = "  ".join(f"{role} {spent}" for role, spent in result.cpu_by_role_s.items())
            console.print(f"{result.contender}, CPU s: {parts}", soft_wrap=True)
        for finding in result.findings:
            console.print(f"[red]✗[/] {result.contender}: {finding}", soft_wrap=True)
