"""`fleetpulse capacity`: how large a machine a fleet needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.bench_output import JsonFile, write_report

if TYPE_CHECKING:
    from benchmarks.capacity.model import Capacity


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(capacity)


def capacity(
    *,
    devices: Annotated[int, typer.Option(min=1, help="Devices that send.")] = 1000,
    rate: Annotated[float, typer.Option(min=1e-5, help="Of each, in samples per second.")] = 200.0,
    channels: Annotated[int, typer.Option(min=1, max=64)] = 6,
    frame: Annotated[int, typer.Option(min=1, help="Samples per frame.")] = 20,
    model_us: Annotated[
        float | None, typer.Option(min=0, help="Of the model per window; the shipped one's.")
    ] = None,
    hop: Annotated[int, typer.Option(min=1, help="Samples between two windows.")] = 128,
    lateness_s: Annotated[float, typer.Option(min=0, help="The profile's bound.")] = 2.0,
    active: Annotated[
        float, typer.Option(min=0, max=1, help="Share of devices in memory at a time.")
    ] = 1.0,
    replication: Annotated[int, typer.Option(min=1, max=5, help="Of Kafka's topics.")] = 1,
    retention_h: Annotated[float, typer.Option(min=0.1, help="Of Kafka's topics.")] = 24.0,
    minute_days: Annotated[float, typer.Option(min=0, help="Rollups by minute kept.")] = 90.0,
    check: Annotated[
        Path | None,
        typer.Option(help="Report of `bench scale --axis loads`: foretell what it held out."),
    ] = None,
    refresh: Annotated[
        Path | None, typer.Option(help="Report of `bench scale`: take the constants from it.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Cores, memory, partitions and disk; docs/capacity.md says how, and how exactly."""
    import json
    from dataclasses import asdict

    from benchmarks.capacity.constants import Constants
    from benchmarks.capacity.fit import ERROR_MAX, fitted, foretell
    from benchmarks.capacity.model import FleetSize
    from benchmarks.capacity.model import capacity as needed

    constants = Constants.read()
    if refresh:
        constants = fitted(constants, json.loads(refresh.read_text()))
        constants.write()
    if check:
        found = foretell(constants, json.loads(check.read_text())["held_out"])
        for each in found:
            print(
                f"{each.load:45} {each.quantity:10} measured {each.measured:>9,g}"
                f"  expected {each.expected:>9,g}  {each.error:+.0%}"
            )
        raise typer.Exit(int(any(abs(each.error) > ERROR_MAX for each in found)))
    fleet = FleetSize(
        devices=devices, rate_hz=rate, channels=channels, frame_samples=frame, model_us=model_us,
        hop=hop, lateness_s=lateness_s, active=active, replication=replication,
        kafka_retention_h=retention_h, minute_days=minute_days,
    )  # fmt: skip
    result = needed(fleet, constants)
    write_report(asdict(fleet) | asdict(result), json_file)
    if json_file != Path("-"):
        _print(result, fleet.samples_per_s)


def _print(needs: "Capacity", samples_per_s: float) -> None:
    print(f"{samples_per_s:,.0f} samples/s")
    busy = "  ".join(f"{role} {cores:.2f}" for role, cores in needs.cpu.items())
    print(f"cores       {needs.cores:,.1f} to have; busy: {busy}")
    print(f"shards      {needs.shards:,} on {needs.partitions:,} partitions")
    memory = "  ".join(f"{role} {gb:.1f}" for role, gb in needs.memory_gb.items())
    print(f"memory      {sum(needs.memory_gb.values()):,.1f} GB: {memory}")
    disk = "  ".join(f"{what} {gb:,.0f}" for what, gb in needs.disk_gb.items())
    print(f"disk        {sum(needs.disk_gb.values()):,.0f} GB: {disk}")
