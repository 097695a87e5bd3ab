"""`fleetpulse bench core`: what the core costs alone."""

from typing import Annotated

import typer

from cli.bench_output import JsonFile, write_report


def core(
    *,
    devices: Annotated[int, typer.Option(min=1, help="Devices that send in turn.")] = 1000,
    frame: Annotated[int, typer.Option(min=1, help="Samples per frame.")] = 20,
    records: Annotated[
        int, typer.Option(min=1, help="Records of a step, at most one per device.")
    ] = 200,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each device.")] = 1000,
    json_file: JsonFile = None,
) -> None:
    """Stages of the core over frames in memory, beside the bare loop in the same process."""
    from dataclasses import asdict
    from pathlib import Path

    from benchmarks.core import CorePlan, run
    from fleetpulse.profile import profile_from_yaml
    from fleetpulse.settings import load_settings

    settings = load_settings()
    path = settings.profiles_folder / f"{settings.default_profile}.yaml"
    profile = profile_from_yaml(path.read_text(encoding="utf-8"), source=str(path))
    report = run(CorePlan(profile, devices, frame, records, samples))
    write_report(asdict(report), json_file)
    if json_file != Path("-"):
        print(
            f"CPU seconds per million samples: core {report.core:.3f}, bare loop {report.bare:.3f}"
        )
        print("  ".join(f"{name} {cpu_s:.3f}" for name, cpu_s in report.stages.items()))
        print(f"{report.steps:,} steps of {report.step_ms:.3f} ms")
