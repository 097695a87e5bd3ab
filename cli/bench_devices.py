"""`fleetpulse bench devices`: how many devices a shard can know."""

from typing import Annotated

import typer

from cli.bench_output import JsonFile, write_report

MEMORY_MAX_MB = 8192
ACTIVATION_P99_MAX_MS = 50.0


def devices(
    *,
    devices: Annotated[
        int, typer.Option(min=1, help="Registered: each is heard once.")
    ] = 1_000_000,
    active: Annotated[int, typer.Option(min=0, help="Of these, so many send in turn.")] = 100_000,
    memory_mb: Annotated[int, typer.Option(min=1, help="Memory for device states.")] = 1024,
    json_file: JsonFile = None,
) -> None:
    """Engine, activation and stored states in one process; no log, sinks or Ray.

    Status 1 above 8 GB, or when the slowest of 100 activations takes longer than 50 ms.
    """
    from dataclasses import asdict
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from benchmarks.devices import DevicesPlan, run
    from cli.bench_progress import BenchProgress
    from fleetpulse.profile import profile_from_yaml
    from fleetpulse.settings import load_settings
    from models.onnx_scorer import OnnxScorer

    settings = load_settings()
    profile = settings.profiles_folder / f"{settings.default_profile}.yaml"
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    quiet = json_file == Path("-")
    with (
        TemporaryDirectory(prefix="bench-devices-", dir=settings.data_folder) as folder,
        BenchProgress(quiet=quiet) as progress,
    ):
        report = run(
            DevicesPlan(devices, active, memory_mb),
            profile_from_yaml(profile.read_text(encoding="utf-8"), source=str(profile)),
            OnnxScorer(settings.model),
            Path(folder),
            progress.count,
        )
    write_report(asdict(report), json_file)
    if not quiet:
        for name, value in asdict(report).items():
            text = (
                "  ".join(f"{part} {number:,.1f}" for part, number in value.items())
                if isinstance(value, dict)
                else f"{value:,}"
            )
            print(f"{name:28} {text}")
    held = report.peak_rss_mb <= MEMORY_MAX_MB and report.activation_ms.p99 <= ACTIVATION_P99_MAX_MS
    raise typer.Exit(0 if held else 1)
