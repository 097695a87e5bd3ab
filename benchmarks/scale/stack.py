"""The same on a whole stack: a backlog at full speed, and loads at their own pace."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.backlog import held_back
from benchmarks.check import await_processed
from benchmarks.child import said, start_module
from benchmarks.plan import LoadPlan
from benchmarks.processes import ProcessWatch
from benchmarks.stack import MeasuredStack, fresh_stack, on_free_ports
from devstack.processes import STACK_VARIABLE
from devstack.state import StackState
from fleetpulse.settings import Settings

_CLOSE_S: Final = 60.0
_PROCESSED_S: Final = 300.0
_SETTLE_S: Final = 3.0
"""At the beginning of a load: first windows, first snapshots, new memory."""
TOPICS: Final = ("telemetry", "scores", "aggregates.second", "aggregates.minute")
_LOADS: Final = ("generator", "views")

Started = Callable[[StackState], None]


@dataclass(frozen=True, slots=True)
class StackCost:
    """One load on one stack. CPU by role in seconds; memory by role in MB; disk in bytes."""

    shards: int
    partitions: int
    devices: int
    devices_known: int
    """With those of earlier loads on this stack, whose states stay in memory."""
    rate_hz: float
    frame_samples: int
    seconds: float
    samples: int
    records: int
    windows: float
    device_seconds: float
    cpu_s: dict[str, float]
    rss_mb: dict[str, float]
    topic_bytes: dict[str, int]
    """Written meanwhile; of one replica."""
    snapshot_bytes: int

    @property
    def samples_per_s(self) -> float:
        """Throughput."""
        return self.samples / self.seconds

    @property
    def cpu_s_per_million(self) -> dict[str, float]:
        """CPU seconds per million samples, by role."""
        return {role: round(s / self.samples * 1e6, 4) for role, s in self.cpu_s.items()}


@contextmanager
def stack_of(settings: Settings, shards: int, on_start: Started) -> Iterator[MeasuredStack]:
    """A fresh one of so many shards; no spare, whose start would be counted."""
    own = on_free_ports(settings)
    shard = own.shard.model_copy(update={"count": shards, "spare": False})
    own = own.model_copy(update={"shard": shard})
    shutil.rmtree(own.data_folder, ignore_errors=True)
    with fresh_stack(own, on_start) as stack:
        yield stack
    shutil.rmtree(own.data_folder, ignore_errors=True)


def backlog(stack: MeasuredStack, plan: LoadPlan) -> StackCost:
    """`plan` from a full log, until every sink has all of it."""
    with held_back(stack) as held:
        disk = _Disk.of(stack)
        held.fill(plan)
        watch = ProcessWatch(STACK_VARIABLE, stack.stack_id)
        watch.start()
        done = held.work_off(_PROCESSED_S)
    records = plan.devices * plan.rounds
    return _cost(stack, plan, watch, disk, records, done.begin_s, done.end_s)


def paced(stack: MeasuredStack, plan: LoadPlan, *, earlier: int) -> StackCost:
    """`plan` in real time, from a process of its own; counted after the first seconds.

    earlier: devices of loads before it on this stack.
    """
    folder = stack.settings.data_folder
    plan_file = folder / "scale-plan.json"
    plan.write(plan_file)
    watch = ProcessWatch(STACK_VARIABLE, stack.stack_id)
    generator = start_module(
        stack.settings, "benchmarks.generator", plan_file, folder / "scale-due.npy",
        stack_id=stack.stack_id,
    )  # fmt: skip
    try:
        assert generator.stdout is not None
        start_us = said(generator, generator.stdout.readline())["start_us"]
        time.sleep(max(0.0, start_us / 1e6 + _SETTLE_S - time.time()))
        disk = _Disk.of(stack)
        watch.start()
        begun_s = time.time()
        time.sleep(plan.seconds - _SETTLE_S - 1.0)
        ended_s = time.time()
        generator.communicate(timeout=_CLOSE_S)
    finally:
        generator.kill()
        generator.wait(5)
    records = round(plan.devices * (ended_s - begun_s) * 1000 / plan.frame_ms)
    cost = _cost(stack, plan, watch, disk, records, begun_s, ended_s)
    await_processed(stack.settings, _PROCESSED_S)
    return replace(cost, devices_known=earlier + plan.devices)


def idle(stack: MeasuredStack, plan: LoadPlan) -> StackCost:
    """Nothing is sent."""
    watch = ProcessWatch(STACK_VARIABLE, stack.stack_id)
    disk = _Disk.of(stack)
    watch.start()
    begun_s = time.time()
    time.sleep(plan.seconds - _SETTLE_S)
    cost = _cost(stack, plan, watch, disk, 0, begun_s, time.time())
    return replace(cost, devices_known=0)


@dataclass(frozen=True, slots=True)
class _Disk:
    topics: dict[str, int]
    snapshots: int

    @classmethod
    def of(cls, stack: MeasuredStack) -> "_Disk":
        folder = stack.settings.data_folder / "kafka"
        topics = {topic: _bytes(folder, f"{topic}-*/*.log") for topic in TOPICS}
        return cls(topics, _bytes(stack.settings.snapshots, "*"))


def _cost(
    stack: MeasuredStack,
    plan: LoadPlan,
    watch: ProcessWatch,
    before: _Disk,
    records: int,
    begun_s: float,
    ended_s: float,
) -> StackCost:
    time.sleep(2 * watch.interval_s)
    spent = watch.cpu_between(begun_s, ended_s)
    watch.stop()
    after = _Disk.of(stack)
    samples = records * plan.frame_samples
    return StackCost(
        shards=stack.settings.shard.count,
        partitions=stack.settings.kafka.partitions,
        devices=plan.devices,
        devices_known=plan.devices,
        rate_hz=plan.rate_hz,
        frame_samples=plan.frame_samples,
        seconds=round(ended_s - begun_s, 2),
        samples=samples,
        records=records,
        windows=samples / plan.profile.window.hop,
        device_seconds=samples / max(1.0, plan.rate_hz),
        cpu_s={role: round(cpu_s, 3) for role, cpu_s in spent.items() if role not in _LOADS},
        rss_mb={role: round(mb, 1) for role, mb in watch.peaks_mb().items() if role not in _LOADS},
        topic_bytes={topic: after.topics[topic] - before.topics[topic] for topic in TOPICS},
        snapshot_bytes=after.snapshots,
    )


def _bytes(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob(pattern) if file.is_file())
