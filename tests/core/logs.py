"""Small telemetry logs, and what an engine makes of them however they are cut."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fleetpulse.effects import Effects
from fleetpulse.engine import Engine, cut_at_controls
from fleetpulse.identity import CONTROL_KEY, TICK_KEY, DeviceKey, partition_of
from fleetpulse.persistence import export_partition, import_partition
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import Profile
from fleetpulse.telemetry_pb2 import Assignment, Control
from fleetpulse.wire import encode_block

PARTITIONS = 2
T0_US = 1_750_000_000_000_000


@dataclass
class Log:
    """Records of two partitions, appended in order."""

    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    log_time_us: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)

    def append(self, partition: int, key: bytes, value: bytes, log_time_us: int) -> None:
        self.offsets.append(self.partitions.count(partition))
        self.partitions.append(partition)
        self.keys.append(key)
        self.values.append(value)
        self.log_time_us.append(log_time_us)

    def device(self, device: str, value: bytes, log_time_us: int) -> None:
        key = DeviceKey("default", device).encode()
        self.append(partition_of(key, PARTITIONS), key, value, log_time_us)

    def tick(self, log_time_us: int) -> None:
        for partition in range(PARTITIONS):
            self.append(partition, TICK_KEY, b"", log_time_us)

    def control(self, control: Control, log_time_us: int = T0_US) -> None:
        for partition in range(PARTITIONS):
            self.append(partition, CONTROL_KEY, control.SerializeToString(), log_time_us)

    def profile(self, profile: Profile, pattern: str = "*", log_time_us: int = T0_US) -> None:
        content = profile.to_yaml()
        self.control(Control(id=f"profile {profile.ref}", profile_yaml=content), log_time_us)
        assignment = Assignment(
            tenant="*",
            device_pattern=pattern,
            profile=profile.name,
            profile_revision=profile.revision,
        )
        assign = Control(id=f"assign {pattern} {profile.ref}", assignment=assignment)
        self.control(assign, log_time_us)

    def batch(self, begin: int = 0, end: int | None = None) -> RecordBatch:
        whole = RecordBatch(
            np.array(self.partitions, np.int32),
            np.array(self.offsets, np.int64),
            np.array(self.log_time_us, np.int64),
            list(self.keys),
            list(self.values),
        )
        return whole.slice(begin, len(whole) if end is None else end)


def frame(profile: Profile, device: int, first: int, count: int, *, t0_us: int = T0_US) -> bytes:
    """A frame whose values depend only on device and sample number."""
    at = np.arange(first, first + count)
    channels = np.arange(len(profile.channels))
    rng = np.sin(at[:, None] * (0.1 + 0.01 * device) + channels) * (1 + device)
    rng += np.random.default_rng(device).normal(size=(1, len(channels)))
    spikes = (at[:, None] // 40 % 7 == 0) * (at[:, None] * 7919 % 13)
    samples = (rng + spikes).astype(np.float32)
    start_us = t0_us + first * profile.period_ns // 1000
    return encode_block(samples, t0_us=start_us, period_ns=profile.period_ns, sequence=first + 1)


def fresh_engine() -> Engine:
    engine = Engine(PARTITIONS)
    for partition in range(PARTITIONS):
        import_partition(engine, partition, None)
    return engine


def reborn(engine: Engine) -> Engine:
    """What a restart from snapshots gives."""
    other = Engine(PARTITIONS)
    for partition in range(PARTITIONS):
        snapshot = export_partition(engine, partition, next_offset=0, topic_id="t")
        import_partition(other, partition, snapshot)
    return other


Model = Callable[[np.ndarray], np.ndarray]


def fake_scores(samples: np.ndarray) -> np.ndarray:
    """Stands for a model: depends on nothing but the window."""
    ordered = np.sort(np.abs(samples.reshape(len(samples), -1)), axis=1)
    return np.asarray(ordered[:, -3], np.float32)


def feed(engine: Engine, batch: RecordBatch, model: Model = fake_scores) -> Effects:
    """One whole batch through the engine."""
    effects = Effects()
    for part in cut_at_controls(batch):
        windows = engine.step(part)
        effects.extend(engine.conclude([model(w.samples) for w in windows]))
    return effects


def per_device(effects: Effects) -> dict[str, list[object]]:
    """Every result as exact values, in order per device and kind."""
    out: dict[str, list[object]] = {}
    for rows in effects.scores:
        for i, key in enumerate(rows.devices):
            row = (int(rows.window_end_us[i]), rows.scores[i].tobytes(), rows.model)
            out.setdefault(f"score {key!r}", []).append(row)
    names = ("count", "min", "max", "mean", "std", "score_count", "score_over",
             "score_min", "score_max", "score_mean", "score_std")  # fmt: skip
    for rollup in effects.rollups:
        for i, key in enumerate(rollup.devices):
            bits = tuple(getattr(rollup, name)[i].tobytes() for name in names)
            entry = (int(rollup.bucket_us[i]), *bits)
            out.setdefault(f"{rollup.resolution} {key!r}", []).append(entry)
    for alert in effects.alerts:
        out.setdefault(f"alert {alert.device_id}", []).append(alert)
    for kind, rejections in (("dead", effects.dead), ("late", effects.late)):
        for r in sorted(rejections, key=lambda r: r.offset):
            out.setdefault(f"{kind} {r.partition}", []).append(r)
    _add_events(out, effects)
    return out


def _add_events(out: dict[str, list[object]], effects: Effects) -> None:
    for gone in effects.forgotten:
        out.setdefault(f"forgotten {gone.device_id}", []).append(gone)
    for seen in effects.devices:
        out.setdefault(f"seen {seen.device_id}", []).append(seen)
    for presence in effects.presences:
        out.setdefault(f"presence {presence.device_id}", []).append(presence)
    for session in effects.sessions:  # as text: NaN equals NaN there
        out.setdefault(f"session {session.device_id}", []).append(repr(session))


def difference(found: Effects, expected: Effects) -> str:
    """The first result that is not the same; empty if all are."""
    mine, theirs = per_device(found), per_device(expected)
    for name in sorted(mine.keys() | theirs.keys()):
        a, b = mine.get(name, []), theirs.get(name, [])
        for i in range(max(len(a), len(b))):
            if a[i : i + 1] != b[i : i + 1]:
                return f"{name}, number {i}: {a[i : i + 1]} instead of {b[i : i + 1]}"
    return ""
