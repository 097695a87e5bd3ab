"""Measures axes and says what was found: points, plots, and what was hot at both ends."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.plan import LoadPlan
from benchmarks.scale.core import CoreCost, hottest, measure
from benchmarks.scale.plot import svg
from benchmarks.scale.shape import BASE, CORE_AXES, SHARDS, Axis
from benchmarks.scale.stack import StackCost, Started, backlog, idle, paced, stack_of
from fleetpulse.settings import Settings

ACROSS: Final[dict[str, str]] = {
    "shards": "shards, on 2 cores",
    "devices": "devices, all in memory",
    "frame": "samples per frame",
    "channels": "channels",
    "model": "model cost per window, µs",
    "step": "records per step",
}
BACKLOG_S: Final = 40.0
PACED_S: Final = 16.0


class Load(NamedTuple):
    """Devices at their own pace, on a stack of so many shards and partitions."""

    shards: int
    partitions: int
    devices: int
    rate_hz: float
    frame_samples: int

    @property
    def stack(self) -> tuple[int, int]:
        """Loads with the same may share one."""
        return self.shards, self.partitions


FIT: Final = (
    Load(2, 4, 25, 200, 20),
    Load(2, 4, 500, 200, 20),
    Load(2, 4, 25, 200, 1),
    Load(2, 4, 1500, 200, 100),
    Load(2, 16, 500, 200, 20),
    Load(1, 4, 500, 200, 20),
)
"""The loads from which the constants are taken."""
SLOW: Final = Load(2, 4, 20_000, 1, 1)
"""Many devices, of which each sends little: what a device's second costs."""
HELD_OUT: Final = (
    Load(2, 4, 250, 200, 10),
    Load(2, 4, 2000, 20, 20),
    Load(2, 16, 50, 200, 2),
    Load(1, 4, 1000, 200, 20),
)
"""The loads that check the model of capacity."""
CROSS: Final = ((1000, 4), (100, 20))
"""Of the backlogs that check the axes of the core on a stack."""
Show = Callable[[str, int, int], None]


@dataclass(slots=True)
class ScaleReport:
    """Everything that was asked for."""

    core: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Axis -> points: value, the counts of CoreCost, and CPU seconds per million samples."""
    hot: dict[str, list[list[tuple[str, float]]]] = field(default_factory=dict)
    """Axis -> at its first, middle and last value: functions by their share of the time."""
    shards: list[dict[str, Any]] = field(default_factory=list)
    cross: list[dict[str, Any]] = field(default_factory=list)
    idle: list[dict[str, Any]] = field(default_factory=list)
    fit: list[dict[str, Any]] = field(default_factory=list)
    slow: list[dict[str, Any]] = field(default_factory=list)
    held_out: list[dict[str, Any]] = field(default_factory=list)

    def curves(self) -> Iterator[tuple[str, list[tuple[float, float]]]]:
        """Axis and points."""
        for axis, points in self.core.items():
            yield axis, [(p["value"], p["cpu_s_per_million"]) for p in points]
        if self.shards:
            yield "shards", [(p["shards"], p["cpu_s_per_million"]["shard"]) for p in self.shards]


def measure_core(report: ScaleReport, axes: Sequence[Axis], show: Show) -> None:
    """In this process."""
    for axis in axes:
        points = CORE_AXES[axis]
        report.core[axis] = []
        for number, (value, shape) in enumerate(points):
            report.core[axis].append(_core_point(value, measure(shape)))
            show(axis, number + 1, len(points))
        ends = [points[0], points[len(points) // 2], points[-1]]
        report.hot[axis] = [hottest(shape) for _, shape in ends]


def measure_stacks(report: ScaleReport, settings: Settings, on_start: Started, show: Show) -> None:
    """Each number of shards on a stack of its own, then backlogs of other shapes on two shards."""
    passes = [(shards, 1000, 20) for shards in SHARDS]
    passes += [(2, devices, frame) for devices, frame in CROSS]
    for number, (shards, devices, frame) in enumerate(passes):
        with stack_of(settings, shards, on_start) as stack:
            seconds = min(BACKLOG_S, BACKLOG_S * 200_000 / (devices * 200) * frame / 20)
            cost = backlog(stack, plan_of(settings, devices, BASE.rate_hz, frame, seconds))
        (report.shards if number < len(SHARDS) else report.cross).append(_stack_point(cost))
        show("stacks", number + 1, len(passes))


def measure_loads(report: ScaleReport, settings: Settings, on_start: Started, show: Show) -> None:
    """Several paces: what constants of capacity are taken from, and their check.

    Loads on as many shards and partitions share a stack.
    """
    loads = [(report.fit, load) for load in FIT]
    loads += [(report.held_out, load) for load in HELD_OUT]
    # Last on its stack: its devices stay in memory.
    loads.append((report.slow, SLOW))
    loads.sort(key=lambda each: each[1].stack)
    done = 0
    for (shards, partitions), group in groupby(loads, key=lambda each: each[1].stack):
        kafka = settings.kafka.model_copy(update={"partitions": partitions})
        with stack_of(settings.model_copy(update={"kafka": kafka}), shards, on_start) as stack:
            report.idle.append(_stack_point(idle(stack, plan_of(settings, 1, 200, 20, PACED_S))))
            known = 0
            for into, load in group:
                plan = plan_of(settings, load.devices, load.rate_hz, load.frame_samples, PACED_S)
                into.append(_stack_point(paced(stack, plan, earlier=known)))
                known, done = known + load.devices, done + 1
                show("loads", done, len(loads))


def draw(report: ScaleReport, folder: Path) -> list[Path]:
    """An SVG per axis; answers the files."""
    files = []
    for axis, points in report.curves():
        what = "shards' CPU s" if axis == "shards" else "CPU s"
        file = folder / f"scale-{axis}.svg"
        title = f"Cost of a sample by {ACROSS[axis]}"
        file.write_text(svg(title, ACROSS[axis], f"{what} per million samples", points))
        files.append(file)
    return files


def plan_of(
    settings: Settings, devices: int, rate_hz: float, frame_samples: int, seconds: float
) -> LoadPlan:
    """Devices of the shipped profile."""
    return LoadPlan(
        run=secrets.token_hex(3),
        devices=devices,
        rate_hz=rate_hz,
        frame_samples=frame_samples,
        seconds=seconds,
        via="kafka",
        disorder=0.0,
        duplicates=0.0,
        lateness_ms=0,
        ill=0.1,
        profile_file=str(settings.profiles_folder / f"{settings.default_profile}.yaml"),
    )


def _core_point(value: float, cost: CoreCost) -> dict[str, Any]:
    per_million = round(cost.cpu_s_per_million, 4)
    return {"value": value, **asdict(cost), "cpu_s_per_million": per_million}


def _stack_point(cost: StackCost) -> dict[str, Any]:
    derived = {
        "samples_per_s": round(cost.samples_per_s, 1),
        "cpu_s_per_million": cost.cpu_s_per_million if cost.samples else {},
    }
    return {**asdict(cost), **derived}
