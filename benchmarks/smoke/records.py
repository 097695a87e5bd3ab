"""Frames of 200 devices in memory, to warm up with and to count."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import numpy as np

from fleetpulse.identity import partition_of
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.telemetry_pb2 import Assignment, Control, Telemetry
from simulator.framing import FrameEncoder

PARTITIONS: Final = 4
DEVICES: Final = 200
FRAME: Final = 20
WARM_ROUNDS: Final = 14
"""Frames of each device that fill rings and windows before anything counts."""
ROUNDS: Final = 100
T0_US: Final = 1_750_000_000_000_000
PROFILE: Final = Profile(
    name="smoke",
    channels=("a", "b", "c", "d", "e", "f"),
    rate_hz=200,
    lateness_ms=0,
    offline_after_s=0,
    block_samples_max=FRAME,
    window=WindowSpec(size=256, hop=128),
    model="none@1",
    alert=AlertRule(threshold=1.0),
)
FRAME_US: Final = FRAME * PROFILE.period_ns // 1000


@cache
def records(disorder: float) -> tuple[RecordBatch, RecordBatch]:
    """Frames to warm up with and frames that count; disorder: share that comes a round late."""
    chance = np.random.default_rng(1)
    encoder = FrameEncoder(FRAME, len(PROFILE.channels), PROFILE.period_ns)
    keys, values = _keys(), []
    for number in range(WARM_ROUNDS + ROUNDS):
        samples = chance.normal(size=(DEVICES, FRAME, len(PROFILE.channels))).astype(np.float32)
        t0_us = np.full(DEVICES, T0_US + number * FRAME_US)
        values.append(encoder.encode(samples, t0_us, np.full(DEVICES, number)))
    for number in range(WARM_ROUNDS, WARM_ROUNDS + ROUNDS - 1):
        for device in np.flatnonzero(chance.random(DEVICES) < disorder).tolist():
            early, late = values[number], values[number + 1]
            early[device], late[device] = late[device], early[device]
    return _joined(keys, values[:WARM_ROUNDS], 0), _joined(keys, values[WARM_ROUNDS:], WARM_ROUNDS)


@cache
def telemetry() -> tuple[RecordBatch, RecordBatch]:
    """As `records`, one sample a message; fewer, because each costs more."""
    chance = np.random.default_rng(2)
    values = [
        [
            Telemetry(
                ts=T0_US // 1000 + number * 5,
                metrics=dict(zip(PROFILE.channels, chance.normal(size=6).tolist(), strict=True)),
            ).SerializeToString()
            for _ in range(DEVICES)
        ]
        for number in range(2 * ROUNDS)
    ]
    keys = _keys()
    return _joined(keys, values[:ROUNDS], 0), _joined(keys, values[ROUNDS:], ROUNDS)


def _keys() -> list[bytes]:
    return [f"default/smoke-{number}".encode() for number in range(DEVICES)]


def _joined(keys: list[bytes], rounds: Sequence[list[bytes]], before: int) -> RecordBatch:
    homes = [partition_of(key, PARTITIONS) for key in keys]
    offsets = np.arange(len(rounds) * len(keys)) + 10 + before * len(keys)
    values = [value for one in rounds for value in one]
    log_time_us = T0_US + (before + len(rounds)) * FRAME_US
    return columns(keys * len(rounds), values, homes * len(rounds), offsets.tolist(), log_time_us)


def columns(
    keys: list[bytes], values: list[bytes], homes: list[int], offsets: list[int], log_time_us: int
) -> RecordBatch:
    """Records of one log time; homes: their partitions."""
    return RecordBatch(
        np.array(homes, np.int32),
        np.array(offsets, np.int64),
        np.full(len(keys), log_time_us),
        keys,
        values,
    )


def cut(records: RecordBatch, size: int) -> Iterator[RecordBatch]:
    """Batches of `size` records, the last as long as what is left."""
    for begin in range(0, len(records), size):
        yield records.slice(begin, min(begin + size, len(records)))


def controls(profile: Profile) -> list[bytes]:
    """The values of the control records that give every device this profile."""
    assignment = Assignment(profile=profile.name, profile_revision=profile.revision)
    return [
        Control(id="profile", profile_yaml=profile.to_yaml()).SerializeToString(),
        Control(id="assignment", assignment=assignment).SerializeToString(),
    ]
