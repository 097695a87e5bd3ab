"""`fleetpulse bench ingest`: what a durable request costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.bench_output import JsonFile, write_report

if TYPE_CHECKING:
    from benchmarks.ingest import IngestReport


def ingest(
    *,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of each turn; there are seven.")] = 10.0,
    connections: Annotated[int, typer.Option(min=1, max=4000, help="Kept alive.")] = 64,
    body: Annotated[
        Literal["json", "frame", "batch"],
        typer.Option(help="One JSON sample, one frame of 20 samples, or 50 frames."),
    ] = "json",
    rate: Annotated[
        float | None, typer.Option(min=1, help="Of the paced turn; half of the highest.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Requests through HAProxy, Serve and Kafka, each answered after acks=all."""
    from benchmarks.ingest import IngestPlan, run_ingest
    from cli.bench_progress import BenchProgress
    from fleetpulse.settings import load_settings

    quiet = json_file == Path("-")
    with BenchProgress(quiet=quiet) as progress:
        report = run_ingest(
            load_settings(),
            IngestPlan(body, connections, seconds, rate),
            lambda phase, done, total: progress.step("ingest", phase, done, total),
        )
    write_report(report.to_json(), json_file)
    if not quiet:
        _print(report)
    raise typer.Exit(1 if report.problems else 0)


def _print(report: "IngestReport") -> None:
    from dataclasses import asdict

    paced, bound = report.paced, report.bound_requests_per_replica_cpu_s
    print(f"{report.requests_per_s:,.0f} requests/s, {report.samples_per_s:,.0f} samples/s")
    print(f"{report.requests_per_replica_cpu_s:,.0f} requests per CPU second of the replica")
    print(f"the bound: {report.bound_requests_per_s:,.0f}/s, {bound:,.0f} per CPU second")
    print(f"p50 {report.latency_ms.p50} ms, p99 {report.latency_ms.p99} ms")
    print(
        f"at {paced.requests_per_s:,.0f}/s p50 {paced.latency_ms.p50} ms, p99"
        f" {paced.latency_ms.p99} ms; sent at most {paced.late_ms_max} ms late"
    )
    for title, costs in (
        ("CPU µs per request", report.cpu_us_per_request),
        ("of it, in the replica", asdict(report.stage_us_per_request)),
    ):
        print(f"{title}: " + ", ".join(f"{name} {cost:g}" for name, cost in costs.items()))
    for problem in report.problems:
        print(f"✗ {problem}")
