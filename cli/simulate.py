"""`fleetpulse simulate`: a seeded fleet sends to the running stack; its report knows the truth."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import threading

    from fleetpulse.settings import Settings
    from simulator.fleet import Fleet, FleetSpec
    from simulator.report import Report
    from simulator.session import FetchAlerts
    from simulator.targets.target import Target
    from simulator.verdict import Alert

Kind = Literal["http", "kafka", "memory"]

_LEAD_US = 200_000
"""The first sample is measured this much after the start."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(simulate)


def _share(text: str) -> Any:
    return typer.Option(min=0, max=1, help=text)


def simulate(
    *,
    devices: Annotated[int, typer.Option(min=1, max=100_000, help="Machines.")] = 100,
    rate: Annotated[
        float,
        typer.Option(min=1, max=1000, help="Samples per second; the shipped profile has 200."),
    ] = 200.0,
    frame: Annotated[int, typer.Option(min=1, max=200, help="Samples per frame.")] = 20,
    seconds: Annotated[float, typer.Option(min=0, help="How long; 0: until ctrl-C.")] = 60.0,
    target: Annotated[Kind, typer.Option(help="Where to.")] = "http",
    url: Annotated[str | None, typer.Option(help="Of the stack; default: the settings'.")] = None,
    gateway: Annotated[int, typer.Option(min=1, help="Devices per HTTP request.")] = 10,
    faults: Annotated[float, _share("Machines that fall ill per minute.")] = 0.1,
    disorder: Annotated[float, _share("Frames that arrive out of order.")] = 0.0,
    duplicates: Annotated[float, _share("Frames that arrive twice.")] = 0.0,
    late: Annotated[float, _share("Frames that arrive too late.")] = 0.0,
    dropout: Annotated[float, _share("Device seconds that begin a silence.")] = 0.0,
    lateness: Annotated[float, typer.Option(min=0, help="Seconds beyond which it is late.")] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 1,
    prefix: Annotated[str, typer.Option(help="Of the device ids.")] = "machine",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Send what rotating machines measure, some of them ill; report what was noticed."""
    from fleetpulse.identity import check_name
    from fleetpulse.settings import load_settings
    from simulator.fleet import FleetSpec
    from simulator.schedule import FaultPlan
    from simulator.transport import TransportPlan

    settings = load_settings()
    network = TransportPlan(
        reordered=disorder, duplicated=duplicates, late=late, dropout=dropout, lateness_s=lateness
    )
    spec = FleetSpec(
        devices=devices,
        rate_hz=rate,
        frame_samples=frame,
        seed=seed,
        faults=FaultPlan(probability=faults),
        transport=network,
        gateway=gateway if target == "http" else 1,
        prefix=check_name("prefix", prefix),
    )
    url = url or f"http://{settings.http.host}:{settings.http.port}"
    _print(_run(settings, spec, seconds, target, url, quiet=as_json), as_json)


def _run(
    settings: "Settings",
    spec: "FleetSpec",
    seconds: float,
    kind: Kind,
    url: str,
    *,
    quiet: bool,
) -> "Report":
    import math
    import time

    from cli.interrupt import stop_on_interrupt
    from cli.load_progress import LoadProgress
    from simulator import session
    from simulator.fleet import Fleet

    rounds = math.ceil(seconds * 1e6 / spec.frame_us) or None
    with stop_on_interrupt() as stop:
        fleet = Fleet(spec, start_us=time.time_ns() // 1000 + _LEAD_US)
        target, fetch_alerts = _target(settings, fleet, kind, url, stop)
        with LoadProgress(target.tally, rounds, quiet=quiet) as progress:
            return session.simulate(
                fleet,
                target,
                rounds=rounds,
                stop=stop,
                progress=progress.show,
                fetch_alerts=fetch_alerts,
            )


def _target(
    settings: "Settings",
    fleet: "Fleet",
    kind: Kind,
    url: str,
    stop: "threading.Event",
) -> "tuple[Target, FetchAlerts | None]":
    from simulator.api import Api
    from simulator.http_client import HttpConnection
    from simulator.targets.http import HttpTarget
    from simulator.targets.memory import MemoryTarget

    count = fleet.spec.frame_samples
    if kind == "memory":
        return MemoryTarget(count, keep=False), None

    def fetch_alerts(fleet: "Fleet") -> "list[Alert]":
        names = set(fleet.device_ids)
        with HttpConnection(url) as connection:
            found = Api(connection, stop).settled_alerts(fleet.start_us)
        return [alert for alert in found if alert.device_id in names]

    if kind == "kafka":
        from adapters.kafka.admin import KafkaAdmin
        from simulator.targets.kafka import KafkaTarget

        KafkaAdmin(settings.kafka).topic_id()  # raises what is wrong before anything is sent
        return KafkaTarget(settings.kafka, frame_samples=count), fetch_alerts
    with HttpConnection(url) as connection:
        connection.check_running()
    target = HttpTarget(url, fleet.device_ids, fleet.gateways, frame_samples=count, stop=stop)
    return target, fetch_alerts


def _print(report: "Report", as_json: bool) -> None:
    import json

    print(json.dumps(report.to_json()) if as_json else report.to_text())
    counts = report.counts
    raise typer.Exit(0 if counts.accepted == counts.sent else 1)
