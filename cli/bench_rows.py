"""`fleetpulse bench rows`: what a rollup row costs to write, and millions of them to read."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.bench_output import JsonFile, write_report

if TYPE_CHECKING:
    from benchmarks.rows.run import RowsReport


def rows(
    *,
    rows: Annotated[int, typer.Option(min=50_000, help="To fill the tables with.")] = 10_000_000,
    json_file: JsonFile = None,
) -> None:
    """Upserts in several ways, then the REST layer's questions on filled tables.

    On a PostgreSQL of the run's own, which is removed afterwards.
    """
    from dataclasses import asdict
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from benchmarks.rows.run import measure_rows
    from cli.bench_progress import BenchProgress
    from fleetpulse.settings import load_settings

    settings = load_settings()
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    quiet = json_file == Path("-")
    with (
        TemporaryDirectory(prefix="bench-rows-", dir=settings.data_folder) as folder,
        BenchProgress(quiet=quiet) as progress,
    ):
        Path(folder).chmod(0o755)
        report = measure_rows(Path(folder), rows, progress.count)
    write_report(asdict(report), json_file)
    if not quiet:
        _print(report)


def _print(report: "RowsReport") -> None:
    print(f"{'way':20} {'rows/write':>10} {'rows/s':>9} {'server µs':>10} {'client µs':>10}")
    for cost in report.writes:
        print(
            f"{cost.way:20} {cost.rows_per_write:>10,} {cost.rows_per_s:>9,.0f}"
            f" {cost.server_us_per_row:>10.1f} {cost.client_us_per_row:>10.1f}"
        )
    filled = report.filled
    print(f"\n{filled.rows:,} rows of {filled.devices:,} devices filled in {filled.seconds:g} s")
    sizes = ", ".join(f"{name} {size:.0f}" for name, size in filled.bytes_per_row.items())
    print(f"bytes per row with indexes: {sizes}")
    for asked in report.questions:
        print(
            f"\n{asked.question} ({asked.rows} rows): p50 {asked.answer_ms.p50:g}"
            f" p95 {asked.p95_ms:g} p99 {asked.answer_ms.p99:g} ms"
        )
        print("\n".join(f"    {line}" for line in asked.plan))
