"""What the core costs alone: its stages over frames in memory, beside the bare loop on the same
frames in the same process. No log, no model, no sinks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from benchmarks.limit import BareWindows, LimitPlan
from fleetpulse.effects import F32, Effects
from fleetpulse.engine import Engine
from fleetpulse.identity import CONTROL_KEY, partition_of
from fleetpulse.persistence import import_partition
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import Profile
from fleetpulse.telemetry_pb2 import Assignment, Control
from simulator.framing import FrameEncoder

PARTITIONS: Final = 8
WARM_SAMPLES: Final = 300
"""Of each device before anything counts: rings are written, windows close."""
T0_US: Final = 1_750_000_000_000_000


@dataclass(frozen=True, slots=True)
class CorePlan:
    """records: of a step; a live shard polls some 200, one that is behind thousands."""

    profile: Profile
    devices: int
    frame: int
    records: int
    samples: int
    """Of each device, that count."""


@dataclass(slots=True)
class CoreReport:
    """CPU seconds per million samples: of the bare loop, of the core, and of its stages."""

    steps: int
    bare: float = 0.0
    core: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    step_ms: float = 0.0
    """Of the core, each step."""


class _NoModel:
    """Stands for a model that costs nothing."""

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "samples"})]

    def run(self, _: None, fed: dict[str, F32]) -> list[F32]:
        return [np.zeros(len(fed["samples"]), np.float32)]


def run(plan: CorePlan) -> CoreReport:
    """Steps of both in turn."""
    engine, bare = _engine(plan.profile), _bare(plan)
    warm = -(-WARM_SAMPLES // plan.frame)
    for batch in _batches(plan, 0, warm):
        _take(engine, batch, lambda _: None)
        bare.take(batch.keys, bare.decoded(batch.values))
    batches = _batches(plan, warm, max(1, plan.samples // plan.frame))
    spent_s = dict.fromkeys(("needed", "step", "conclude"), 0.0)
    bare_s = 0.0
    for batch in batches:
        begun_s = at_s = time.thread_time()
        bare.take(batch.keys, bare.decoded(batch.values))
        at_s = time.thread_time()
        bare_s += at_s - begun_s

        def stage(name: str) -> None:
            nonlocal at_s
            now_s = time.thread_time()
            spent_s[name] += now_s - at_s
            at_s = now_s

        effects = _take(engine, batch, stage)
        assert not effects.dead, effects.dead[0]
    millions = sum(map(len, batches)) * plan.frame / 1e6
    return CoreReport(
        len(batches),
        bare_s / millions,
        sum(spent_s.values()) / millions,
        {name: cpu_s / millions for name, cpu_s in spent_s.items()},
        1e3 * sum(spent_s.values()) / len(batches),
    )


def _take(engine: Engine, batch: RecordBatch, stage: Callable[[str], None]) -> Effects:
    engine.needed(batch)
    stage("needed")
    windows = engine.step(batch)
    stage("step")
    effects = engine.conclude([np.zeros(len(w.rows), np.float32) for w in windows])
    stage("conclude")
    return effects


def _engine(profile: Profile) -> Engine:
    engine = Engine(PARTITIONS)
    assignment = Assignment(profile=profile.name, profile_revision=profile.revision)
    controls = (
        Control(id="profile", profile_yaml=profile.to_yaml()),
        Control(id="assignment", assignment=assignment),
    )
    for partition in range(PARTITIONS):
        import_partition(engine, partition, None)
        for control in controls:
            value = control.SerializeToString()
            engine.step(_batch([CONTROL_KEY], [value], np.array([partition]), T0_US))
            engine.conclude([])
    return engine


def _bare(plan: CorePlan) -> BareWindows:
    window = plan.profile.window
    channels = len(plan.profile.channels)
    limit = LimitPlan("", plan.frame, channels, window.size, window.hop, "")
    return BareWindows(limit, _NoModel())


def _batches(plan: CorePlan, first: int, count: int) -> list[RecordBatch]:
    """Frames `first` and following of every device, in order of time."""
    chance = np.random.default_rng(first)
    channels, period_ns = len(plan.profile.channels), plan.profile.period_ns
    encoder = FrameEncoder(plan.frame, channels, period_ns)
    names = [f"default/core-{number}".encode() for number in range(plan.devices)]
    homes = np.array([partition_of(name, PARTITIONS) for name in names])
    out = []
    for number in range(first, first + count):
        begin_us = T0_US + number * plan.frame * period_ns // 1000
        samples = chance.normal(size=(plan.devices, plan.frame, channels)).astype(np.float32)
        start_us = np.full(plan.devices, begin_us)
        values = encoder.encode(samples, start_us, np.full(plan.devices, number))
        for at in range(0, plan.devices, plan.records):
            end = min(at + plan.records, plan.devices)
            # a poll makes keys of its own: nobody has hashed them yet
            keys = [bytes(bytearray(name)) for name in names[at:end]]
            sent_us = begin_us + plan.frame * period_ns // 1000
            out.append(_batch(keys, values[at:end], homes[at:end], sent_us))
    return out


def _batch(
    keys: list[bytes], values: list[bytes], partitions: np.ndarray, log_time_us: int
) -> RecordBatch:
    n = len(keys)
    return RecordBatch(
        partitions.astype(np.int32), np.arange(n), np.full(n, log_time_us), keys, values
    )
