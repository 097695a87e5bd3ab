"""The core and the commit path on frames in memory, against loops that only slice and window."""

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
from benchmarks.smoke.records import (
    FRAME,
    PARTITIONS,
    PROFILE,
    T0_US,
    columns,
    controls,
    cut,
    records,
    telemetry,
)
from fleetpulse.effects import F32, Effects
from fleetpulse.engine import Engine
from fleetpulse.identity import CONTROL_KEY
from fleetpulse.persistence import import_partition
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import Profile
from fleetpulse.telemetry_pb2 import Score, Telemetry

LARGE: Final = 2000
SMALL: Final = 100
"""Records of a batch: of a shard that is behind, and of one at 100,000 samples/s."""
ENCODED: Final = 5
COMMITTED: Final = 4
"""How often the same results are encoded and committed: once is too short to measure."""
DISORDER: Final = 0.01
"""Share of frames that come a round late."""
LATE: Final = PROFILE.model_copy(update={"lateness_ms": 2000})


def frame_pairs() -> list[Pair]:
    """All pairs of this file."""
    bare, bare_small = partial(bare_windows, LARGE), partial(bare_windows, SMALL)
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
            for value in controls(profile):
                self.take(columns([CONTROL_KEY], [value], [partition], [0], T0_US))

    def take(self, batch: RecordBatch) -> Effects:
        windows = self.engine.step(batch)
        effects = self.engine.conclude([np.zeros(len(w.rows), np.float32) for w in windows])
        assert not effects.dead, effects.dead[0]
        return effects


def _core(profile: Profile, disorder: float, size: int) -> Work:
    shard = _Shard(profile)
    warm, counted = records(disorder)
    for batch in cut(warm, size):
        shard.take(batch)
    batches = list(cut(counted, size))
    return lambda: [shard.take(batch) for batch in batches]


def bare_windows(size: int) -> Work:
    """The bound: slices frames of a known length and cuts windows, in batches of `size` records."""
    plan = LimitPlan("", FRAME, len(PROFILE.channels), 256, 128, "")
    windows = BareWindows(plan, _NoModel())
    warm, counted = records(0.0)
    for batch in cut(warm, size):
        windows.take(batch.keys, windows.decoded(batch.values))
    batches = list(cut(counted, size))

    def work() -> None:
        for batch in batches:
            windows.take(batch.keys, windows.decoded(batch.values))

    return work


def _singles() -> Work:
    shard = _Shard(PROFILE)
    warm, counted = telemetry()
    for batch in cut(warm, LARGE):
        shard.take(batch)
    batches = list(cut(counted, LARGE))
    return lambda: [shard.take(batch) for batch in batches]


def _bare_singles() -> Work:
    _, counted = telemetry()
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
    warm, counted = records(0.0)
    for batch in cut(warm, LARGE):
        shard.take(batch)
    return [(batch, shard.take(batch)) for batch in cut(counted, SMALL)]
