"""`fleetpulse bench`: what the whole way of a sample costs, beside the bare loop's cost."""

import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.bench_core import core
from cli.bench_devices import devices
from cli.bench_fleet import fleet
from cli.bench_ingest import ingest
from cli.bench_output import JsonFile, print_run, write_report
from cli.bench_rows import rows
from cli.bench_scale import scale
from cli.bench_smoke import smoke

if TYPE_CHECKING:
    from benchmarks.e2e import Options
    from benchmarks.plan import LoadPlan

SHARE_MIN = 0.8
"""What exactly-once must keep of the throughput without."""
AHEAD_MB = 512
"""A load of a minute at 200,000 samples/s is made before it begins."""
Devices = Annotated[int, typer.Option(min=1, help="Simulated devices.")]
Rate = Annotated[float, typer.Option(min=0.1, help="Samples per second of each device, in Hz.")]
Frame = Annotated[int, typer.Option(min=1, help="Samples per frame.")]
Seconds = Annotated[float, typer.Option(min=5, help="How long the fleet sends.")]


def register(app: typer.Typer) -> None:
    """Add the verb and its kinds."""
    bench = typer.Typer(help="Measure the running stack, or a fresh one.", no_args_is_help=True)
    bench.command()(e2e)
    bench.command()(limit)
    bench.command()(devices)
    bench.command()(rows)
    bench.command()(scale)
    bench.command()(core)
    bench.command()(fleet)
    bench.command()(ingest)
    bench.command()(soak)
    bench.command("exactly-once")(exactly_once)
    bench.command()(smoke)
    app.add_typer(bench, name="bench")


def e2e(
    *,
    devices: Devices = 1000,
    rate: Rate = 200.0,
    frame: Frame = 20,
    seconds: Seconds = 60.0,
    via: Annotated[Literal["http", "kafka"], typer.Option(help="How frames are sent.")] = "kafka",
    disorder: Annotated[float, typer.Option(min=0, max=1, help="Share of frames late.")] = 0.0,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share sent twice.")] = 0.0,
    lateness_ms: Annotated[
        int | None, typer.Option(min=0, help="Lateness bound; 2000 with disorder, else 0.")
    ] = None,
    ill: Annotated[float, typer.Option(min=0, max=1, help="Share of devices that fall ill.")] = 0.5,
    kill_shard_at: Annotated[
        float | None, typer.Option(min=1, help="kill -9 of a shard so many seconds after start.")
    ] = None,
    villains_at: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="So many seconds after start devices join that flood, send garbage or have a"
            " clock of 2100; the others must not notice.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare all results with an offline computation.")
    ] = False,
    rates: Annotated[
        str, typer.Option(help="Instead: one run at each of these samples/s, as 1000,10000.")
    ] = "",
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Instead: the highest samples/s within --p99-ms.")
    ] = False,
    p99_ms: Annotated[float, typer.Option(min=1, help="From frame to alert.")] = 100.0,
    json_file: JsonFile = None,
) -> None:
    """A fleet in real time through Kafka, shards, PostgreSQL and WebSocket."""
    from benchmarks.e2e import Options
    from cli.bench_rates import find, measure_at, rates_of

    for option, at in (("--kill-shard-at", kill_shard_at), ("--villains-at", villains_at)):
        _check_within(option, at, seconds, alone=not (rates or find_rate))
    plan = _plan(
        devices=devices,
        rate_hz=rate,
        frame_samples=frame,
        seconds=seconds,
        via=via,
        disorder=disorder,
        duplicates=duplicates,
        lateness_ms=(2000 if disorder else 0) if lateness_ms is None else lateness_ms,
        ill=ill,
        ahead_mb=AHEAD_MB,
    )
    if rates:
        measure_at(plan, rates_of(rates), p99_ms, json_file)
    elif find_rate:
        find(plan, p99_ms, json_file)
    else:
        options = Options(
            kill_shard_at_s=kill_shard_at,
            villains_at_s=villains_at,
            checked=check,
            limited=villains_at is None,  # the bare loop has no answer to garbage
        )
        _run(plan, options, json_file)


def _check_within(option: str, at_s: float | None, seconds: float, *, alone: bool) -> None:
    """A disturbance that would never come leaves a run that only looks as if it had passed."""
    if at_s is not None and not (alone and at_s < seconds):
        reason = f"comes before --seconds {seconds:g}" if alone else "needs a run of one rate"
        raise typer.BadParameter(reason, param_hint=option)


def soak(
    *,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long the fleet sends.")] = 30.0,
    devices: Devices = 500,
    rate: Rate = 200.0,
    frame: Frame = 20,
    json_file: JsonFile = None,
) -> None:
    """As e2e, for long: nothing is lost, and no process of the stack grows."""
    from benchmarks.e2e import Options

    plan = _plan(devices=devices, rate_hz=rate, frame_samples=frame, seconds=60 * minutes, ill=0.5)
    _run(plan, Options(memory_flat=True), json_file)


def _run(plan: "LoadPlan", options: "Options", json_file: Path | None) -> None:
    """Measure, report, and end with the verdict as status."""
    from contextlib import ExitStack
    from dataclasses import replace

    from benchmarks.e2e import run
    from benchmarks.stack import measured_stack
    from cli.bench_progress import BenchProgress
    from cli.progress import StartProgress
    from fleetpulse.settings import load_settings

    quiet = json_file == Path("-")
    with ExitStack() as owned:
        with StartProgress(quiet=quiet) as start:
            stack = owned.enter_context(measured_stack(load_settings(), start.show))
        with BenchProgress(quiet=quiet) as progress:
            result = run(
                stack,
                replace(plan, url=stack.page),
                options,
                on_progress=partial(progress.load, plan.seconds),
                on_check=progress.check,
            )
    write_report(result.measured.to_json(), json_file)
    if not quiet:
        print_run(result)
    raise typer.Exit(1 if result.problems else 0)


def limit(
    *,
    devices: Devices = 1000,
    rate: Rate = 200.0,
    frame: Frame = 20,
    seconds: Seconds = 30.0,
    json_file: JsonFile = None,
) -> None:
    """The bare loop: consume, decode, window and score, with nothing around it."""
    from dataclasses import asdict

    from benchmarks.limit_run import limit_of_fresh_log
    from cli.bench_progress import BenchProgress
    from fleetpulse.settings import load_settings

    plan = _plan(devices=devices, rate_hz=rate, frame_samples=frame, seconds=seconds)
    quiet = json_file == Path("-")
    with BenchProgress(quiet=quiet) as progress:
        found = limit_of_fresh_log(load_settings(), plan, partial(progress.fill, plan.rounds))
    per_million = found.cpu_s_per_million_samples
    write_report({"limit_cpu_s_per_million_samples": per_million, **asdict(found)}, json_file)
    if not quiet:
        rate_per_s = found.samples / found.wall_s
        print(f"{found.samples:,} samples, {found.windows:,} windows, {rate_per_s:,.0f} samples/s")
        print(f"{per_million:.3f} CPU seconds per million samples")


def exactly_once(
    *,
    devices: Devices = 1000,
    rate: Rate = 200.0,
    frame: Frame = 20,
    seconds: Annotated[float, typer.Option(min=60, max=240, help="Of data, at full speed.")] = 60.0,
    json_file: JsonFile = None,
) -> None:
    """What Kafka's transactions cost: the same backlog with them and without."""
    from dataclasses import asdict

    from benchmarks.price import measure_price
    from cli.progress import StartProgress
    from fleetpulse.settings import load_settings

    plan = _plan(devices=devices, rate_hz=rate, frame_samples=frame, seconds=seconds)
    with StartProgress(quiet=json_file == Path("-")) as start:
        price = measure_price(load_settings(), plan, start.show)
    write_report(asdict(price) | {"share": price.share}, json_file)
    if json_file != Path("-"):
        for mode in (price.at_least_once, price.exactly_once):
            print(
                f"{mode.effects}: {mode.samples_per_s:,.0f} samples/s, shards"
                f" {mode.shard_cpu_s:.1f} and broker {mode.broker_cpu_s:.1f} CPU seconds"
            )
        print(f"exactly once has {price.share:.0%} of the throughput without")
    raise typer.Exit(0 if price.share >= SHARE_MIN else 1)


def _plan(
    *,
    devices: int,
    rate_hz: float,
    frame_samples: int,
    seconds: float,
    via: Literal["http", "kafka"] = "kafka",
    disorder: float = 0.0,
    duplicates: float = 0.0,
    lateness_ms: int = 0,
    ill: float = 0.0,
    ahead_mb: int = 0,
) -> "LoadPlan":
    from benchmarks.plan import LoadPlan
    from fleetpulse.settings import load_settings

    settings = load_settings()
    return LoadPlan(
        run=secrets.token_hex(3),
        devices=devices,
        rate_hz=rate_hz,
        frame_samples=frame_samples,
        seconds=seconds,
        via=via,
        disorder=disorder,
        duplicates=duplicates,
        lateness_ms=lateness_ms,
        ill=ill,
        ahead_mb=ahead_mb,
        profile_file=str(settings.profiles_folder / f"{settings.default_profile}.yaml"),
    )
