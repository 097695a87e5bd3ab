"""`fleetpulse bench scale`: what a sample costs along each axis of a fleet."""

from pathlib import Path
from typing import Annotated

import typer

from cli.bench_output import JsonFile, write_report

AXES = ("shards", "devices", "frame", "channels", "model", "step", "loads")


def scale(
    *,
    axis: Annotated[
        str, typer.Option(help="Names with commas: shards, devices, frame, channels, model, ….")
    ] = ",".join(AXES),
    json_file: JsonFile = None,
    plot: Annotated[
        Path | None, typer.Option(help="Folder for an SVG of each axis: scale-AXIS.svg.")
    ] = None,
) -> None:
    """CPU per sample: devices, frame, channels, model and step on the core in this process.

    Shards and loads are measured on whole stacks, fresh ones on free ports.
    """
    from dataclasses import asdict

    from benchmarks.scale.run import (
        ScaleReport,
        draw,
        measure_core,
        measure_loads,
        measure_stacks,
    )
    from benchmarks.scale.shape import CORE_AXES
    from cli.bench_progress import BenchProgress
    from cli.progress import StartProgress
    from fleetpulse.settings import load_settings

    settings, report = load_settings(), ScaleReport()
    quiet = json_file == Path("-")
    wanted = axis.split(",")
    if unknown := set(wanted) - set(AXES):
        raise typer.BadParameter(f"no axis {min(unknown)}", param_hint="--axis")
    try:
        with BenchProgress(quiet=quiet) as progress:
            measure_core(report, [each for each in CORE_AXES if each in wanted], progress.count)
        for name, measured in (("shards", measure_stacks), ("loads", measure_loads)):
            if name in wanted:
                with StartProgress(quiet=True) as start:
                    measured(report, settings, start.show, lambda *_: None)
    finally:
        write_report(asdict(report), json_file)
    if plot:
        draw(report, plot)
    if not quiet:
        for name, points in report.curves():
            shown = "  ".join(f"{value:g}: {cost:.3g}" for value, cost in points)
            print(f"{name:9} CPU s per million samples  {shown}")
