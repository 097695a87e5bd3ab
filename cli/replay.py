"""`fleetpulse replay`: a recorded series through the running stack, as if measured until now."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fleetpulse.profile import Profile
    from fleetpulse.settings import Settings
    from simulator.replay_report import ReplayReport
    from simulator.replay_session import Replay
    from simulator.series import Series


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(replay)


def replay(
    file: Annotated[Path, typer.Argument(help="CSV: timestamp,<channel>[,<channel>…].")],
    *,
    device: Annotated[str | None, typer.Option(help="Id; default: the file's name.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Name or YAML file; default: by channels and spacing.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=1e-6, help="Recorded seconds per second; default: as fast as accepted."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="JSON with labelled windows, in NAB's form.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Of the stack; default: the settings'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Send a recorded series; print its alerts in recorded time.

    Time is shifted by one constant so that the last sample falls on now (to within one hop of the
    profile's windows, so that the alerts do not depend on the moment). Distances stay as they are.
    A device that has sent before is left alone: the replay then takes its id with a number.
    """
    import json

    from fleetpulse.identity import check_name
    from fleetpulse.settings import load_settings
    from simulator.labels import read_windows
    from simulator.replay_session import Replay
    from simulator.series import read_series

    settings = load_settings()
    series = read_series(file)
    plan = Replay(
        series=series,
        profile=_profile(settings, profile, series),
        labels=read_windows(labels, file) if labels else None,
        speed=speed,
    )
    wanted = check_name("device", device or file.stem)
    url = url or f"http://{settings.http.host}:{settings.http.port}"
    report = _run(settings, plan, url, wanted, quiet=as_json)
    print(json.dumps(report.to_json()) if as_json else report.to_text())
    raise typer.Exit(0 if report.samples == len(series) else 1)


def _profile(settings: "Settings", wanted: str | None, series: "Series") -> "Profile":
    from fleetpulse.errors import ConfigError
    from fleetpulse.profile import profile_from_yaml
    from simulator.replay import check_profile, fitting_profile

    files = sorted(settings.profiles_folder.glob("*.yaml"))
    if wanted and Path(wanted).suffix in (".yaml", ".yml"):
        if not Path(wanted).is_file():
            raise ConfigError(f"{wanted}: no such profile file")
        files, wanted = [Path(wanted)], None
    known = [profile_from_yaml(f.read_text(encoding="utf-8"), source=str(f)) for f in files]
    if wanted:
        known = [profile for profile in known if profile.name == wanted]
        if not known:
            names = ", ".join(file.stem for file in files) or "none"
            raise ConfigError(f"profile {wanted} is not in {settings.profiles_folder} ({names})")
    profile = known[0] if len(known) == 1 else fitting_profile(series, known)
    check_profile(series, profile)
    return profile


def _run(
    settings: "Settings", plan: "Replay", url: str, wanted: str, *, quiet: bool
) -> "ReplayReport":
    from rich.console import Console
    from rich.progress import Progress

    from adapters.kafka.controls import publish
    from cli.interrupt import stop_on_interrupt
    from fleetpulse.identity import DEFAULT_TENANT
    from fleetpulse.telemetry_pb2 import Assignment
    from simulator.api import Api
    from simulator.http_client import HttpConnection
    from simulator.replay_session import free_name

    def assign(device_id: str, profile: "Profile") -> None:
        assignment = Assignment(
            tenant=DEFAULT_TENANT,
            device_pattern=device_id,
            profile=profile.name,
            profile_revision=profile.revision,
        )
        publish(settings.kafka, [profile], [assignment])

    console = Console(stderr=True, quiet=quiet, highlight=False)
    with stop_on_interrupt() as stop, HttpConnection(url) as connection:
        connection.check_running()
        name = free_name(Api(connection, stop), wanted)
        if name != wanted:
            console.print(f"{wanted} has sent before; this replay takes the id {name}")
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(f"replaying as {name}", total=len(plan.series))
            return plan.run(
                connection, name, assign, stop, lambda sent: progress.update(task, completed=sent)
            )
