"""Decode and core in this process: what a sample costs, and where the time goes.

Records are handed over as a poll would; log, sinks and Ray are left out.
"""

import cProfile
import pstats
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.scale.shape import Shape
from fleetpulse.effects import F32
from fleetpulse.engine import Engine
from fleetpulse.identity import CONTROL_KEY, partition_of
from fleetpulse.persistence import import_partition
from fleetpulse.ports import RecordBatch
from fleetpulse.telemetry_pb2 import Assignment, Control
from fleetpulse.wire import encode_block

PARTITIONS: Final = 8
T0_US: Final = 1_750_000_000_000_000
SAMPLES: Final = 2_000_000
"""Measured at least."""
STEPS_MIN: Final = 30
STEPS_MAX: Final = 2_000
SECONDS_MAX: Final = 20.0
WARM_STEPS_MAX: Final = 3_000
_FRAMES: Final = 16
"""Different ones in a round."""
_TOP: Final = 6


@dataclass(frozen=True, slots=True)
class CoreCost:
    """What was measured. Counts are of the measured part."""

    steps: int
    records: int
    samples: int
    values: int
    windows: int
    device_seconds: int
    cpu_s: float
    bytes_per_device: int

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds per million samples."""
        return self.cpu_s / self.samples * 1e6


class _Load:
    """A fleet whose devices send one frame each, round after round."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.engine = Engine(PARTITIONS)
        for partition in range(PARTITIONS):
            import_partition(self.engine, partition, None)
        self.keys = [f"default/device-{number:07d}".encode() for number in range(shape.devices)]
        self.homes = np.array([partition_of(key, PARTITIONS) for key in self.keys], np.int32)
        self._noise = np.random.default_rng(1)
        for partition in range(PARTITIONS):
            for control in _controls(shape):
                batch = _batch([CONTROL_KEY], [control], np.array([partition], np.int32), T0_US)
                self.step(batch)

    def step(self, batch: RecordBatch) -> tuple[int, int]:
        """One step; windows and device seconds that closed."""
        windows = self.engine.step(batch)
        effects = self.engine.conclude([self._score(each.samples) for each in windows])
        assert not effects.dead, effects.dead[0]
        scored = sum(len(rows.scores) for rows in effects.scores)
        return scored, sum(len(r.devices) for r in effects.rollups if r.resolution == "second")

    def steps(self) -> Iterator[RecordBatch]:
        """For ever; each device's frames follow one another."""
        shape = self.shape
        period_us = self.shape.profile.period_ns // 1000
        keys: list[bytes] = []
        values: list[bytes] = []
        homes: list[np.ndarray] = []
        number = 0
        while True:
            t0_us = T0_US + number * shape.frame_samples * period_us
            frames = self._frames(t0_us)
            for begin in range(0, shape.devices, shape.step_records):
                end = min(begin + shape.step_records, shape.devices)
                keys += self.keys[begin:end]
                values += [frames[at % _FRAMES] for at in range(begin, end)]
                homes.append(self.homes[begin:end])
                while len(keys) >= shape.step_records:
                    all_homes = np.concatenate(homes)
                    cut = shape.step_records
                    log_us = t0_us + shape.frame_samples * period_us
                    yield _batch(keys[:cut], values[:cut], all_homes[:cut], log_us)
                    keys, values, homes = keys[cut:], values[cut:], [all_homes[cut:]]
            number += 1

    def _frames(self, t0_us: int) -> list[bytes]:
        shape = self.shape
        samples = self._noise.standard_normal((_FRAMES, shape.frame_samples, shape.channels), "f4")
        period_ns = shape.profile.period_ns
        return [
            encode_block(each, t0_us=t0_us, period_ns=period_ns, sequence=1) for each in samples
        ]

    def _score(self, samples: F32) -> F32:
        """Takes the CPU time that the model would."""
        until_s = time.thread_time() + len(samples) * self.shape.model_us / 1e6
        while self.shape.model_us and time.thread_time() < until_s:
            pass
        return np.zeros(len(samples), np.float32)


def measure(shape: Shape) -> CoreCost:
    """CPU of steps, once every device is in memory and (up to some thousands) has a full window."""
    load = _Load(shape)
    feed = load.steps()
    round_steps = max(1, -(-shape.devices // shape.step_records))
    for _ in range(min(round_steps * 2 + _steps_to_fill(shape), WARM_STEPS_MAX + round_steps)):
        load.step(next(feed))
    row_bytes = max(cohort.row_bytes for cohort in load.engine.directory.cohorts)
    steps = windows = seconds = 0
    cpu_s = 0.0
    begun_s = time.monotonic()
    while steps < STEPS_MIN or (
        steps * shape.step_records * shape.frame_samples < SAMPLES
        and steps < STEPS_MAX
        and time.monotonic() - begun_s < SECONDS_MAX
    ):
        batch = next(feed)
        before_s = time.thread_time()
        closed = load.step(batch)
        cpu_s += time.thread_time() - before_s
        steps, windows, seconds = steps + 1, windows + closed[0], seconds + closed[1]
    samples = steps * shape.step_records * shape.frame_samples
    return CoreCost(
        steps,
        steps * shape.step_records,
        samples,
        samples * shape.channels,
        windows,
        seconds,
        round(cpu_s, 4),
        row_bytes,
    )


def hottest(shape: Shape) -> list[tuple[str, float]]:
    """Functions by their own share of the time, under the profiler."""
    load = _Load(shape)
    feed = load.steps()
    rounds = max(1, -(-shape.devices // shape.step_records))
    for _ in range(2 * rounds):
        load.step(next(feed))
    profile = cProfile.Profile(time.thread_time)
    for _ in range(max(20, rounds)):
        batch = next(feed)
        profile.enable()
        load.step(batch)
        profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    ranked = sorted(stats.items(), key=lambda item: -item[1][2])[:_TOP]
    return [(_name(where), round(own / total, 3)) for where, (_, _, own, _, _) in ranked]


def _steps_to_fill(shape: Shape) -> int:
    """Until every device has a window."""
    frames = -(-shape.window // shape.frame_samples)
    return -(-shape.devices * frames // shape.step_records)


def _name(where: tuple[str, int, str]) -> str:
    file, _, function = where
    return f"{Path(file).stem}.{function}" if file != "~" else function


def _batch(
    keys: list[bytes], values: list[bytes], partitions: np.ndarray, log_time_us: int
) -> RecordBatch:
    size = len(keys)
    return RecordBatch(
        partitions, np.zeros(size, np.int64), np.full(size, log_time_us), keys, values
    )


def _controls(shape: Shape) -> list[bytes]:
    profile = shape.profile
    assignment = Assignment(profile=profile.name, profile_revision=profile.revision)
    return [
        Control(id="profile", profile_yaml=profile.to_yaml()).SerializeToString(),
        Control(id="assignment", assignment=assignment).SerializeToString(),
    ]
