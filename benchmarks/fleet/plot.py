"""Reports of `fleetpulse bench fleet --json` as a table and a plot for docs/benchmarks.md.

`python -m benchmarks.fleet.plot DOCS_FOLDER REPORT.json...`; a later report replaces a contender's
row of an earlier one of the same kind.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final

from matplotlib import pyplot as plt

from benchmarks.fleet.catalog import BOUND, CONTENDERS, OURS

_PLOT: Final = "images/fleet.svg"
_COLOURS: Final = {BOUND: "#9aa5b1", OURS: "#0b7a75"}
_OTHER: Final = "#c9d1d9"
Kind = tuple[str, str, int | None]
"""Job, with the model, pace."""


@dataclass(frozen=True, slots=True)
class Row:
    """A contender's runs in one report, on average. of_bound: None for the bound."""

    contender: str
    runs: int
    samples_per_s: float
    cpu_s_per_million: float
    of_bound: float | None
    memory_mb: float
    servers_cpu_s: dict[str, float]
    samples: int
    latency_ms: dict[str, float] | None
    findings: tuple[str, ...]


def rows_of(report: dict[str, Any]) -> list[Row]:
    """One per contender, in the catalog's order."""
    found = []
    for name in CONTENDERS:
        runs = [run for run in report["runs"] if run["contender"] == name]
        if not runs:
            continue
        found.append(
            Row(
                contender=name,
                runs=len(runs),
                samples_per_s=mean(run["samples_per_s"] for run in runs),
                cpu_s_per_million=mean(run["cpu_s_per_million"] for run in runs),
                of_bound=None if name == BOUND else mean(run["of_bound"] for run in runs),
                memory_mb=max(run["memory_mb"] for run in runs),
                servers_cpu_s={
                    role: mean(run["servers_cpu_s"].get(role, 0.0) for run in runs)
                    for role in ("broker", "postgres")
                },
                samples=runs[0]["samples"],
                latency_ms=runs[0]["latency_ms"],
                findings=tuple(finding for run in runs for finding in run["findings"]),
            )
        )
    return found


def kind_of(report: dict[str, Any]) -> Kind:
    """What a report measured."""
    model = "without the model"
    if report["model"]:
        model = f"with the model{' as exported' if report['as_exported'] else ''}"
    return report["job"], model, report["paced"]


def table(rows: Iterable[Row], *, paced: bool) -> str:
    """Markdown."""
    own = "p50 | p99 ms" if paced else "of the bound"
    count = 9 if paced else 8
    head = f"| contender | samples/s | CPU s per million | {own} | memory MB"
    lines = [head + " | broker CPU s/M | PostgreSQL CPU s/M | checked |", "|---" * count + "|"]
    for row in rows:
        if paced:
            ms = row.latency_ms or {}
            middle = f"{_number(ms.get('p50'))} | {_number(ms.get('p99'))}"
        else:
            middle = "" if row.of_bound is None else f"{row.of_bound:.0%}"
        servers = [each / row.samples * 1e6 for each in row.servers_cpu_s.values()]
        lines.append(
            f"| {row.contender} | {row.samples_per_s:,.0f} | {row.cpu_s_per_million:.2f}"
            f" | {middle} | {row.memory_mb:,.0f} | {servers[0]:.2f} | {servers[1]:.2f}"
            f" | {'; '.join(row.findings) or 'equal'} |"
        )
    return "\n".join(lines)


def draw(kinds: dict[Kind, list[Row]], path: Path) -> None:
    """Samples per CPU second of each contender, a panel per job; on a logarithmic axis."""
    full = {
        kind: [row for row in rows if row.cpu_s_per_million > 0 and not row.findings]
        for kind, rows in kinds.items()
        if kind[2] is None
    }
    plt.rcParams["svg.fonttype"] = "none"
    figure, axes = plt.subplots(
        1, len(full), figsize=(4.2 * len(full), 3.2), squeeze=False, layout="constrained"
    )
    for axis, ((job, model, _), rows) in zip(axes[0], full.items(), strict=True):
        ordered = sorted(rows, key=lambda row: -row.cpu_s_per_million)
        names = [row.contender for row in ordered]
        rates = [1e6 / row.cpu_s_per_million for row in ordered]
        bars = axis.barh(names, rates, color=[_COLOURS.get(name, _OTHER) for name in names])
        axis.bar_label(bars, [_short(rate) for rate in rates], padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.set_title(f"{job}, {model}", fontsize=9)
        axis.set_xlabel("samples per CPU second", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _short(rate: float) -> str:
    return f"{rate / 1e6:.2f} M" if rate >= 1e6 else f"{rate / 1e3:.0f} k"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def main(docs: Path, reports: Iterable[Path]) -> None:
    """Print the tables, write the plot."""
    kinds: dict[Kind, dict[str, Row]] = {}
    for path in reports:
        report = json.loads(path.read_text())
        kinds.setdefault(kind_of(report), {}).update({r.contender: r for r in rows_of(report)})
    ordered = {
        kind: [rows[name] for name in CONTENDERS if name in rows] for kind, rows in kinds.items()
    }
    for (job, model, paced), rows in ordered.items():
        pace = f", {paced:,} samples/s in real time" if paced else ""
        print(f"\n{job}, {model}{pace}\n")
        print(table(rows, paced=paced is not None))
    (docs / _PLOT).parent.mkdir(parents=True, exist_ok=True)
    draw(ordered, docs / _PLOT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), map(Path, sys.argv[2:]))
