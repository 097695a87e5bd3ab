"""Where a benchmark's report goes, and how people read it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from benchmarks.report import Measured, Run

JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the report there; - prints.")]


def write_report(report: dict[str, Any], json_file: Path | None) -> None:
    """As JSON, if anywhere."""
    import json

    if json_file is None:
        return
    text = json.dumps(report, indent=1)
    if json_file == Path("-"):
        print(text)
    else:
        json_file.write_text(text + "\n")


def print_run(result: "Run") -> None:
    """Figures, stages, processes, notes and problems."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    measured = asdict(result.measured)
    measured.pop("processes")
    measured.pop("stages_ms")
    figures = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    figures.add_column(no_wrap=True)
    figures.add_column(no_wrap=True)
    for name, value in measured.items():
        text = (
            "  ".join(f"{part} {number:,.0f}" for part, number in value.items())
            if isinstance(value, dict)
            else f"{value:,}"
        )
        figures.add_row(name, text)
    console.print(figures)
    for table in (*_stages(result.measured), _processes(result.measured)):
        console.print(table)
    for note in result.notes:
        console.print(note, soft_wrap=True)
    for problem in result.problems:
        console.print(f"[red]✗[/] {problem}", soft_wrap=True)


def plain_table(*columns: str) -> "Table":
    """Columns of text without lines between them."""
    from rich.table import Table

    return Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="dim")


def _stages(measured: "Measured") -> list["Table"]:
    tables = []
    for of, stages in measured.stages_ms.items():
        table = plain_table(f"to {of}, ms", *stages)
        table.add_row("p50", *(f"{each.p50:.1f}" for each in stages.values()))
        table.add_row("p99", *(f"{each.p99:.1f}" for each in stages.values()))
        tables.append(table)
    return tables


def _processes(measured: "Measured") -> "Table":
    used = plain_table("process", "CPU s", "peak MB", "by thirds")
    for usage in measured.processes:
        thirds = ", ".join(f"{each:.0f}" for each in usage.memory_thirds_mb)
        used.add_row(usage.name, f"{usage.cpu_s:.1f}", f"{usage.memory_peak_mb:.0f}", thirds)
    return used
