"""How many devices a shard can know, and how fast one of them comes back to memory.

One process holds what a shard holds of its devices: the engine, the activation, the snapshot store
on a real folder and the model. Records are handed to it as a poll would; the log, the sinks and
Ray are left out, because nothing of them grows with devices that are silent.
"""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from actors.activation import Activation
from actors.partitions import OwnedPartition, Ownership
from actors.written import put
from adapters.snapshots.files import LocalFiles
from adapters.snapshots.store import FileSnapshotStore
from benchmarks.report import Latency
from fleetpulse.columns import Buffers
from fleetpulse.engine import Engine
from fleetpulse.identity import CONTROL_KEY, partition_of
from fleetpulse.persistence import export_partition, import_partition
from fleetpulse.ports import RecordBatch, Scorer
from fleetpulse.profile import Profile
from fleetpulse.telemetry_pb2 import Assignment, Control
from fleetpulse.wire import encode_block

PARTITIONS = 8
STEP_RECORDS = 200
"""Records of a step: what a busy shard polls in 20 ms."""
FRAME_SAMPLES = 40
FRAMES = 18
"""What an active device sends before the next takes its turn: enough to close a window."""
T0_US = 1_750_000_000_000_000
STEP_US = 20_000

Show = Callable[[str, int, int], None]
"""Phase, done, of how many."""


@dataclass(frozen=True, slots=True)
class DevicesPlan:
    """How much of what."""

    devices: int
    active: int
    memory_mb: int
    seed: int = 7


@dataclass(frozen=True, slots=True)
class DevicesReport:
    """What was measured."""

    devices: int
    active: int
    memory_mb: int
    register_s: float
    active_s: float
    activated: int
    windows: int
    activation_ms: Latency
    """Of each activated device: from its record at hand to its step's effects."""
    between_ms: Latency
    """Between two steps: dropping, copying, waiting for the writer."""
    bytes_per_active_device: int
    bytes_per_passive_device: int
    """Growth of the process over all registered devices, without those in memory."""
    stored_bytes_per_device: int
    snapshot_pause_ms: float
    """Longest copy of a partition on the loop."""
    snapshot_s: float
    """Storing all partitions."""
    restore_s: float
    peak_rss_mb: int


class _Shard:
    def __init__(self, plan: DevicesPlan, profile: Profile, scorer: Scorer, folder: Path) -> None:
        self.engine = Engine(PARTITIONS)
        self.scorer = scorer
        self.files = LocalFiles(folder)
        self.store = FileSnapshotStore(self.files, generations=2)
        ownership = Ownership()
        for partition in range(PARTITIONS):
            import_partition(self.engine, partition, None)
            ownership.owned[partition] = OwnedPartition(0, {}, 0)
        self.activation = Activation(
            self.store,
            self.engine,
            ownership,
            memory_bytes=plan.memory_mb << 20,
            idle_s=1e9,
        )
        self.reading = Lock()
        self.windows = 0
        self.between_us: list[int] = []
        for partition in range(PARTITIONS):
            for control in _controls(profile):
                self.step([CONTROL_KEY], [control], [partition], T0_US)

    def step(
        self, keys: list[bytes], values: list[bytes], partitions: list[int], log_time_us: int
    ) -> tuple[int, int]:
        """One batch; answers how many devices it activated and the microseconds it took."""
        batch = RecordBatch(
            np.array(partitions, np.int32),
            np.zeros(len(keys), np.int64),
            np.full(len(keys), log_time_us),
            keys,
            values,
        )
        begun_s = time.perf_counter()
        fetched, stopped = self.activation.fetch(self.engine.needed(batch))
        assert not stopped
        for each in fetched:
            self.engine.directory.activate(each.cohort, each.handles, each.states)
        windows = self.engine.step(batch)
        scores = [self.scorer.score(w.profile.scorer, w.samples) for w in windows]
        effects = self.engine.conclude(scores)
        assert not effects.dead
        done_s = time.perf_counter()
        self.windows += sum(len(rows.scores) for rows in effects.scores)
        self.activation.keep_within(self.reading)
        self.between_us.append(round((time.perf_counter() - done_s) * 1e6))
        return sum(len(each.handles) for each in fetched), round((done_s - begun_s) * 1e6)


def run(
    plan: DevicesPlan, profile: Profile, scorer: Scorer, folder: Path, show: Show
) -> DevicesReport:
    """All phases, in a folder that is empty."""
    shard = _Shard(plan, profile, scorer, folder)
    keys = [f"default/device-{number:07d}".encode() for number in range(plan.devices)]
    homes = [partition_of(key, PARTITIONS) for key in keys]
    before_bytes = _rss_bytes()
    begun_s = time.perf_counter()
    _register(shard, profile, keys, homes, show)
    registered_s = time.perf_counter()
    grown_bytes = _rss_bytes() - before_bytes - shard.engine.directory.row_bytes_used
    shard.between_us.clear()
    took_us = _activate(shard, profile, plan, keys, homes, show)
    active_s = time.perf_counter() - registered_s
    shard.activation.close()
    pause_ms, snapshot_s = _snapshot(shard)
    stored_bytes = sum(file.size_bytes for file in shard.files.ls(""))
    restore_s = _restore(folder)
    passive = max(1, shard.engine.directory.passive_total)
    return DevicesReport(
        devices=plan.devices,
        active=plan.active,
        memory_mb=plan.memory_mb,
        register_s=round(registered_s - begun_s, 1),
        active_s=round(active_s, 1),
        activated=shard.activation.activated_total,
        windows=shard.windows,
        activation_ms=Latency.of(took_us),
        between_ms=Latency.of(shard.between_us),
        bytes_per_active_device=max(c.row_bytes for c in shard.engine.directory.cohorts),
        bytes_per_passive_device=int(grown_bytes / passive),
        stored_bytes_per_device=stored_bytes // plan.devices,
        snapshot_pause_ms=round(pause_ms, 1),
        snapshot_s=round(snapshot_s, 1),
        restore_s=round(restore_s, 1),
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def _register(
    shard: _Shard, profile: Profile, keys: list[bytes], homes: list[int], show: Show
) -> None:
    """Every device is heard once."""
    frame = _frame(profile, T0_US, FRAME_SAMPLES)
    for begin in range(0, len(keys), STEP_RECORDS):
        end = min(begin + STEP_RECORDS, len(keys))
        log_time_us = T0_US + 1_000_000 + begin // STEP_RECORDS
        shard.step(keys[begin:end], [frame] * (end - begin), homes[begin:end], log_time_us)
        show("register", end, len(keys))


def _activate(
    shard: _Shard,
    profile: Profile,
    plan: DevicesPlan,
    keys: list[bytes],
    homes: list[int],
    show: Show,
) -> list[int]:
    """Devices take turns in random order; answers each activated device's time in µs."""
    order = np.random.default_rng(plan.seed).permutation(len(keys))[: plan.active]
    groups = np.array_split(order, max(1, len(order) * FRAMES // STEP_RECORDS))
    frame_us = FRAME_SAMPLES * profile.period_ns // 1000
    took_us: list[int] = []
    for number, turn in enumerate(_turns(groups)):
        batch: list[tuple[int, int]] = [(at, k) for k, group in turn for at in group.tolist()]
        now_us = T0_US + 60_000_000 + number * STEP_US
        frames = {
            k: _frame(profile, now_us + k * (frame_us - STEP_US), FRAME_SAMPLES) for k, _ in turn
        }
        activated, us = shard.step(
            [keys[at] for at, _ in batch],
            [frames[k] for _, k in batch],
            [homes[at] for at, _ in batch],
            now_us + FRAMES * frame_us,
        )
        took_us += [us] * activated
        show("activate", number + 1, len(groups) + FRAMES - 1)
    return took_us


def _turns(groups: list[np.ndarray]) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Of each step the groups that send, with the number of the frame that they send."""
    for at in range(len(groups) + FRAMES - 1):
        yield [(k, groups[at - k]) for k in range(FRAMES) if 0 <= at - k < len(groups)]


def _snapshot(shard: _Shard) -> tuple[float, float]:
    pauses_ms: list[float] = []
    buffers = Buffers()
    begun_s = time.perf_counter()
    for partition in range(PARTITIONS):
        copied_s = time.perf_counter()
        snapshot = export_partition(
            shard.engine, partition, next_offset=1, topic_id="bench", buffers=buffers
        )
        pauses_ms.append((time.perf_counter() - copied_s) * 1e3)
        shard.store.save(put(shard.store, snapshot))
    return max(pauses_ms), time.perf_counter() - begun_s


def _restore(folder: Path) -> float:
    engine = Engine(PARTITIONS)
    store = FileSnapshotStore(LocalFiles(folder), generations=2)
    begun_s = time.perf_counter()
    for partition in range(PARTITIONS):
        import_partition(engine, partition, store.load(partition))
    return time.perf_counter() - begun_s


def _frame(profile: Profile, t0_us: int, count: int) -> bytes:
    slot_us = profile.period_ns // 1000
    start_us = t0_us // slot_us * slot_us
    noise = np.random.default_rng(start_us).normal(size=(count, len(profile.channels)))
    return encode_block(
        noise.astype(np.float32), t0_us=start_us, period_ns=profile.period_ns, sequence=1
    )


def _controls(profile: Profile) -> list[bytes]:
    assignment = Assignment(profile=profile.name, profile_revision=profile.revision)
    return [
        Control(id="profile", profile_yaml=profile.to_yaml()).SerializeToString(),
        Control(id="assignment", assignment=assignment).SerializeToString(),
    ]


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
