"""The core and the commit path on frames in memory, against loops that only slice and window."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

import numpy as np

from actors.commit import Commit
from actors.partitions import OwnedPartition, Ownership, SinkPosition
from actors.sink_writer import SinkWriter
from adapters.kafka.encode import encode_rollups, encode_scores
from adapters.memory.sink import MemoryEffectSink, MemoryTable
from benchmarks.limit import BareWindows, LimitPlan
from benchmarks.smoke.race import Pair, Work
from fleetpulse.effects import F32, Effects
from fleetpulse.engine import Engine
from fleetpulse.identity import CONTROL_KEY, partition_of
from fleetpulse.persistence import import_partition
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.telemetry_pb2 import Assignment, Control, Score, Telemetry
from simulator.framing import FrameEncoder

PARTITIONS: Final = 4
DEVICES: Final = 200
FRAME: Final = 20
WARM_ROUNDS: Final = 14
"""Frames of each device that fill rings and windows before anything counts."""
ROUNDS: Final = 100
LARGE: Final = 2000
SMALL: Final = 100
"""Records of a batch: of a shard that is behind, and of one at 100,000 samples/s."""
ENCODED: Final = 5
COMMITTED: Final = 4
"""How often the same results are encoded and committed: once is too short to measure."""
DISORDER: Final = 0.01
"""Share of frames that come a round late."""
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
LATE: Final = PROFILE.model_copy(update={"lateness_ms": 2000})
FRAME_US: Final = FRAME * PROFILE.period_ns // 1000


def frame_pairs() -> list[Pair]:
    """All pairs of this file."""
    bare, bare_small = partial(_bare, LARGE), partial(_bare, SMALL)
    return [
        Pair("core", partial(_core, PROFILE, 0.0, LARGE), bare),
        Pair("core, small batches", partial(_core, PROFILE, 0.0, SMALL), bare_small),
        Pair("core, disorder", partial(_core, LATE, DISORDER, LARGE), bare),
        Pair("core, single samples", _singles, _bare_singles),
        Pair("commit", _commit, _bare_commit),
        Pair("encode", _encode, _bare_encode),
    ]


class _NoModel:
    """Stands for a model that costs nothing."""

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "samples"})]

    def run(self, _: None, fed: dict[str, F32]) -> list[F32]:
        return [np.zeros(len(fed["samples"]), np.float32)]


class _Shard:
    """An engine that knows the profile."""

    def __init__(self, profile: Profile) -> None:
        self.engine = Engine(PARTITIONS)
        for partition in range(PARTITIONS):
            import_partition(self.engine, partition, None)
            for value in _controls(profile):
                self.take(_batch([CONTROL_KEY], [value], [partition], [0], T0_US))

    def take(self, batch: RecordBatch) -> Effects:
        windows = self.engine.step(batch)
        effects = self.engine.conclude([np.zeros(len(w.rows), np.float32) for w in windows])
        assert not effects.dead, effects.dead[0]
        return effects


def _core(profile: Profile, disorder: float, size: int) -> Work:
    shard = _Shard(profile)
    warm, counted = _records(disorder)
    for batch in _cut(warm, size):
        shard.take(batch)
    batches = list(_cut(counted, size))
    return lambda: [shard.take(batch) for batch in batches]


def _bare(size: int) -> Work:
    plan = LimitPlan("", FRAME, len(PROFILE.channels), 256, 128, "")
    windows = BareWindows(plan, _NoModel())
    warm, counted = _records(0.0)
    for batch in _cut(warm, size):
        windows.take(batch.keys, windows.decoded(batch.values))
    batches = list(_cut(counted, size))

    def work() -> None:
        for batch in batches:
            windows.take(batch.keys, windows.decoded(batch.values))

    return work


def _singles() -> Work:
    shard = _Shard(PROFILE)
    warm, counted = _telemetry()
    for batch in _cut(warm, LARGE):
        shard.take(batch)
    batches = list(_cut(counted, LARGE))
    return lambda: [shard.take(batch) for batch in batches]


def _bare_singles() -> Work:
    _, counted = _telemetry()
    return lambda: [dict(Telemetry.FromString(value).metrics) for value in counted.values]


def _commit() -> Work:
    """Effects of small steps through three sinks in memory, by several shards in turn."""
    commits = [_commit_of_a_shard() for _ in range(COMMITTED)]
    cuts = _effects()

    def work() -> None:
        for commit in commits:
            for batch, effects in cuts:
                commit.take(batch, effects, 0.001)
            commit.drain(60.0)
            commit.close()

    return work


def _commit_of_a_shard() -> Commit:
    ownership = Ownership()
    writers = [
        SinkWriter(MemoryEffectSink(MemoryTable(), name=name), interval_s=0.02, backlog_max=10_000)
        for name in ("alerts", "kafka", "rollups")
    ]
    commit = Commit(writers, ownership)
    claims = commit.claim(range(PARTITIONS))
    for p in range(PARTITIONS):
        positions = {name: SinkPosition(mine[p].owner_epoch, 0) for name, mine in claims.items()}
        ownership.owned[p] = OwnedPartition(0, positions, 0)
    return commit


def _bare_commit() -> Work:
    """The same effects through queues to three threads."""
    effects = [effects for _, effects in _effects()]

    def take(queue: "SimpleQueue[Effects | None]") -> None:
        merged = Effects()
        while (handed := queue.get()) is not None:
            merged.extend(handed)

    def work() -> None:
        for _ in range(COMMITTED):
            queues: list[SimpleQueue[Effects | None]] = [SimpleQueue() for _ in range(3)]
            threads = [Thread(target=take, args=(queue,), daemon=True) for queue in queues]
            for thread in threads:
                thread.start()
            for handed in (*effects, None):
                for queue in queues:
                    queue.put(handed)
            for thread in threads:
                thread.join()

    return work


def _encode() -> Work:
    cuts = _effects() * ENCODED
    return lambda: [
        ([encode_scores(rows) for rows in e.scores], [encode_rollups(rows) for rows in e.rollups])
        for _, e in cuts
    ]


def _bare_encode() -> Work:
    scores = [rows for _, effects in _effects() * ENCODED for rows in effects.scores]
    return lambda: [
        Score(window_start_us=start, window_end_us=end, score=score).SerializeToString()
        for rows in scores
        for start, end, score in zip(
            rows.window_start_us.tolist(),
            rows.window_end_us.tolist(),
            rows.scores.tolist(),
            strict=True,
        )
    ]


@cache
def _effects() -> list[tuple[RecordBatch, Effects]]:
    shard = _Shard(PROFILE)
    warm, counted = _records(0.0)
    for batch in _cut(warm, LARGE):
        shard.take(batch)
    return [(batch, shard.take(batch)) for batch in _cut(counted, SMALL)]


@cache
def _records(disorder: float) -> tuple[RecordBatch, RecordBatch]:
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
def _telemetry() -> tuple[RecordBatch, RecordBatch]:
    """As `_records`, one sample a message; fewer, because each costs more."""
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
    return _batch(keys * len(rounds), values, homes * len(rounds), offsets.tolist(), log_time_us)


def _batch(
    keys: list[bytes], values: list[bytes], homes: list[int], offsets: list[int], log_time_us: int
) -> RecordBatch:
    return RecordBatch(
        np.array(homes, np.int32),
        np.array(offsets, np.int64),
        np.full(len(keys), log_time_us),
        keys,
        values,
    )


def _cut(records: RecordBatch, size: int) -> Iterator[RecordBatch]:
    for begin in range(0, len(records), size):
        yield records.slice(begin, min(begin + size, len(records)))


def _controls(profile: Profile) -> list[bytes]:
    assignment = Assignment(profile=profile.name, profile_revision=profile.revision)
    return [
        Control(id="profile", profile_yaml=profile.to_yaml()).SerializeToString(),
        Control(id="assignment", assignment=assignment).SerializeToString(),
    ]
