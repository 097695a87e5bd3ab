"""A whole shard on a log and sinks in memory, against a loop that only slices and windows."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from actors.activation import Activation
from actors.commit import Commit
from actors.feed import LiveFeed
from actors.meter import Meter
from actors.partitions import Ownership
from actors.quarantine import Quarantine
from actors.recovery import LogBounds
from actors.shard_loop import ShardLoop, ShardParts
from actors.sink_writer import SinkWriter
from actors.snapshotter import Snapshotter
from adapters.memory.files import MemoryFiles
from adapters.memory.log import MemoryLog, MemoryLogReader
from adapters.memory.sink import MemoryEffectSink, MemoryTable
from adapters.snapshots.store import FileSnapshotStore
from benchmarks.smoke.frames import LARGE, bare_windows
from benchmarks.smoke.race import Pair, Work
from benchmarks.smoke.records import PARTITIONS, PROFILE, T0_US, controls, records
from fleetpulse.effects import F32
from fleetpulse.engine import Engine
from fleetpulse.identity import CONTROL_KEY
from fleetpulse.live import LiveUpdate, LiveWish
from fleetpulse.ports import RecordBatch
from fleetpulse.settings import ShardSettings

_TOPIC: Final = "smoke"
_SETTINGS: Final = ShardSettings(poll_records_max=LARGE, poll_timeout_ms=1)
_DRAIN_S: Final = 60.0


def shard_pairs() -> list[Pair]:
    """All pairs of this file."""
    return [Pair("shard", _shard, partial(bare_windows, LARGE))]


class _FreeModel:
    """Scores that cost nothing."""

    def score(self, _: str, samples: F32, /) -> F32:
        return np.zeros(len(samples), np.float32)


class _Shard:
    """One incarnation of the loop, as shipped, up to its ports."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        engine, ownership = Engine(PARTITIONS), Ownership()
        self._commit = Commit(list(map(_writer, ("alerts", "kafka", "rollups"))), ownership)
        snapshots = FileSnapshotStore(MemoryFiles(), generations=2)
        self._snapshotter = Snapshotter(
            snapshots, engine, ownership, self._commit, topic_id=_TOPIC, replay_budget_s=600
        )
        self._activation = Activation(
            snapshots, engine, ownership, memory_bytes=1 << 30, idle_s=600
        )
        self._ownership = ownership
        parts = ShardParts(
            engine,
            ownership,
            self._commit,
            self._snapshotter,
            snapshots,
            self._activation,
            _FreeModel(),
            LiveFeed(engine, _nobody_watches, stale_after_s=60),
            self._bounds,
            pauses=dict,
        )
        self._loop = ShardLoop(parts, _SETTINGS, Quarantine(), Meter("shard-0", 0))
        self._reader = MemoryLogReader(log, self._loop)
        self._loop.attach(self._reader)

    def work_off(self) -> None:
        """Everything in the log, until its results are written."""
        while not self._through:
            self._loop.turn()
        self._commit.drain(_DRAIN_S)

    def close(self) -> None:
        """End its threads."""
        self._snapshotter.close()
        self._activation.close()
        self._commit.close()

    @property
    def _through(self) -> bool:
        owned = self._ownership.owned
        ends = enumerate(map(len, self._log.records))
        return all(p in owned and owned[p].next_offset == end for p, end in ends)

    def _bounds(self, partitions: Sequence[int]) -> Mapping[int, LogBounds]:
        return {p: LogBounds(_TOPIC, 0, len(self._log.records[p])) for p in partitions}


def _shard() -> Work:
    log = MemoryLog(PARTITIONS)
    for partition in range(PARTITIONS):
        for value in controls(PROFILE):
            log.append(partition, T0_US, CONTROL_KEY, value)
    warm, counted = records(0.0)
    _append(log, warm)
    shard = _Shard(log)
    shard.work_off()
    _append(log, counted)

    def work() -> None:
        shard.work_off()
        shard.close()

    return work


def _append(log: MemoryLog, batch: RecordBatch) -> None:
    columns = batch.partitions.tolist(), batch.log_time_us.tolist(), batch.keys, batch.values
    for partition, log_time_us, key, value in zip(*columns, strict=True):
        log.append(partition, log_time_us, key, value)


def _writer(name: str) -> SinkWriter:
    sink = MemoryEffectSink(MemoryTable(), name=name)
    return SinkWriter(sink, interval_s=0.02, backlog_max=10_000)


def _nobody_watches(_: LiveUpdate) -> LiveWish:
    return LiveWish(frozenset(), picture_s=1.0)
