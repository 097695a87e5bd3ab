"""`fleetpulse bench e2e --rates` and `--find-rate`: cost and latency by load."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.bench_output import plain_table, write_report

if TYPE_CHECKING:
    from benchmarks.plan import LoadPlan
    from benchmarks.rates import AtRate

Measure = Callable[[Sequence[float]], "Iterator[AtRate]"]


def rates_of(text: str) -> list[float]:
    """Samples per second, from text with commas."""
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers", param_hint="--rates") from error
    if min(rates) <= 0:
        raise typer.BadParameter("rates are above 0", param_hint="--rates")
    return rates


def measure_at(
    plan: "LoadPlan", rates: Sequence[float], p99_ms: float, json_file: Path | None
) -> None:
    """One run at each rate; the status tells whether nothing was lost."""
    with _measuring(plan, p99_ms, quiet=json_file == Path("-")) as measure:
        found = list(measure(rates))
    write_report({"rates": [each.to_json() for each in found]}, json_file)
    _print(found, quiet=json_file == Path("-"))
    raise typer.Exit(1 if any(each.problems for each in found) else 0)


def find(plan: "LoadPlan", p99_ms: float, json_file: Path | None) -> None:
    """The highest rate at which the alerts' p99 holds; status 1 if none does."""
    from benchmarks.rates import highest

    found: list[AtRate] = []
    with _measuring(plan, p99_ms, quiet=json_file == Path("-")) as measure:

        def holds(rate: float) -> bool:
            (at,) = measure([rate])
            found.append(at)
            return at.holds

        best = highest(holds, plan.devices * plan.rate_hz)
    tried = [each.to_json() for each in found]
    write_report({"samples_per_s": best, "p99_ms_max": p99_ms, "tried": tried}, json_file)
    _print(found, quiet=json_file == Path("-"))
    if json_file != Path("-"):
        print(f"frame to alert p99 is at most {p99_ms:g} ms up to {best:,.0f} samples/s")
    raise typer.Exit(0 if best else 1)


@contextmanager
def _measuring(plan: "LoadPlan", p99_ms: float, *, quiet: bool) -> Iterator[Measure]:
    """A stack to measure; what it yields runs at rates."""
    from benchmarks.rates import at_rates
    from benchmarks.stack import measured_stack
    from cli.bench_progress import BenchProgress
    from cli.progress import StartProgress
    from fleetpulse.settings import load_settings

    with ExitStack() as owned:
        with StartProgress(quiet=quiet) as start:
            stack = owned.enter_context(measured_stack(load_settings(), start.show))
        progress = owned.enter_context(BenchProgress(quiet=quiet))
        runs = 0

        def measure(rates: Sequence[float]) -> "Iterator[AtRate]":
            nonlocal runs
            runs += 1  # devices are of one run alone
            load = replace(plan, url=stack.page, run=f"{plan.run}r{runs}")
            on_progress = partial(progress.load, plan.seconds)
            return at_rates(stack, load, rates, p99_ms_max=p99_ms, on_progress=on_progress)

        yield measure


def _print(found: "Sequence[AtRate]", *, quiet: bool) -> None:
    from rich.console import Console

    if quiet or not found:
        return
    roles = list(found[0].cpu_s_per_million_samples)
    spent = [f"{role} CPU s/M" for role in roles]
    table = plain_table("samples/s", "alert p50, p99 ms", "score p50, p99 ms", *spent, "holds")
    for each in found:
        latencies = (f"{of.p50:.0f}, {of.p99:.0f}" for of in (each.alerts, each.scores))
        costs = (f"{cost:.2f}" for cost in each.cpu_s_per_million_samples.values())
        held = "yes" if each.holds else "no"
        table.add_row(f"{each.samples_per_s:,.0f}", *latencies, *costs, held)
    console = Console(highlight=False)
    console.print(table)
    for each in found:
        for problem in each.problems:
            console.print(f"[red]✗[/] at {each.samples_per_s:,.0f}/s: {problem}", soft_wrap=True)
