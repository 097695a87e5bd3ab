"""Shard loops on in-memory ports, whose sinks and loop can be made to fail."""

import random
import time
from collections.abc import Callable, Mapping, Sequence

from actors.activation import Activation
from actors.commit import ALERT_SINK, Commit
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
from fleetpulse.effects import F32, AlertEvent, DeviceEvent, Effects
from fleetpulse.engine import Engine
from fleetpulse.errors import Fenced
from fleetpulse.live import LiveUpdate, LiveWish
from fleetpulse.ports import Advance, Claim, EffectSink, PartitionPause
from fleetpulse.settings import ShardSettings
from tests.core.logs import PARTITIONS, Log, fake_scores

SINKS = ("alerts", "kafka", "rollups")
SETTINGS = ShardSettings(
    poll_records_max=40, poll_bytes_max=0, poll_timeout_ms=1, commit_backlog_max=4
)


class FakeModel:
    """A scorer whose scores depend on nothing but the window."""

    def score(self, model: str, samples: F32) -> F32:
        assert model == "any@1"
        return fake_scores(samples)


class InjectedBug(Exception):
    """Stands for a fault in the core."""


class FailingSink:
    """A sink that fails at some writes: before it wrote, or after it wrote (outcome unknown)."""

    def __init__(self, sink: EffectSink, chance: random.Random, rate: float) -> None:
        self.name = sink.name
        self._sink = sink
        self._chance = chance
        self._rate = rate

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        return self._sink.claim(partitions)

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        fate = self._chance.random()
        if fate < self._rate:
            raise Fenced("injected before the write")
        self._sink.write(effects, advance)
        if fate < 2 * self._rate:
            raise Fenced("injected after the write")

    def close(self) -> None:
        self._sink.close()


class Told(LiveFeed):
    """A feed that only notes the alerts and events it would publish."""

    def __init__(self, engine: Engine, told: list[AlertEvent | DeviceEvent]) -> None:
        super().__init__(engine, _nobody_watches, stale_after_s=60)
        self._told = told

    def committed(self, effects: Effects) -> None:
        self._told += [*effects.alerts, *effects.presences, *effects.sessions]


class World:
    """What outlives an incarnation: the log, the sinks' tables and the snapshots."""

    def __init__(self, log: Log, seed: int, failure_rate: float) -> None:
        self.log = MemoryLog(PARTITIONS)
        for partition, log_time_us, key, value in zip(
            log.partitions, log.log_time_us, log.keys, log.values, strict=True
        ):
            self.log.append(partition, log_time_us, key, value)
        self.tables = {name: MemoryTable() for name in SINKS}
        self.files = MemoryFiles()
        self.quarantine = Quarantine()
        self.pauses: dict[int, PartitionPause] = {}
        self.incarnations = 0
        self.told: list[AlertEvent | DeviceEvent] = []
        """Alerts and events that people were told about, over all incarnations."""
        self.model = FakeModel()
        self.memory_bytes = 1 << 30
        self.poll_records = SETTINGS.poll_records_max
        self.idle_s = 1e6
        """Of devices, before they become passive."""
        self.leaves_group = False
        """After an error the reader is closed, as an incarnation's end does."""
        self._chance = random.Random(seed)
        self._failure_rate = failure_rate

    @property
    def finished(self) -> bool:
        """Whether every sink has the whole log."""
        return all(
            self.reached(name).get(partition) == len(self.log.records[partition])
            for name in SINKS
            for partition in range(PARTITIONS)
        )

    def reached(self, name: str) -> dict[int, int | None]:
        """How far a sink is in each partition."""
        return {each: claim.next_offset for each, claim in self.tables[name].claims.items()}

    def run(self, timeout_s: float = 60.0) -> None:
        """Incarnation after incarnation until everything is written."""
        deadline_s = time.monotonic() + timeout_s
        while not self.finished:
            assert time.monotonic() < deadline_s, "the shard does not get through the log"
            self.live_once(deadline_s)

    def live_on(self) -> None:
        """One more incarnation, to which nothing happens."""
        self._failure_rate = 0.0
        loop, _, close = self.incarnation()
        for _ in range(100):
            loop.turn()
        close()

    def live_once(self, deadline_s: float) -> None:
        """One incarnation, which may die at any turn as by kill -9."""
        self.incarnations += 1
        loop, reader, close = self.incarnation()
        turns = self._chance.randint(1, 60) if self._failure_rate else 1_000_000
        try:
            while turns and not self.finished and time.monotonic() < deadline_s:
                loop.turn()
                turns -= 1
        except (Fenced, InjectedBug):
            if self.leaves_group:
                reader.close()
        finally:
            close()
            # as a crash: nobody is told
            with self.log.changed:
                self.log.members = [each for each in self.log.members if each is not reader]
                self.log.owners = {}

    def incarnation(self) -> tuple[ShardLoop, MemoryLogReader, Callable[[], None]]:
        """A loop, its reader, and what ends its threads."""
        engine, ownership = Engine(PARTITIONS), Ownership()
        feed = Told(engine, self.told)

        def told(effects: Effects, _: Mapping[int, Advance]) -> None:
            feed.committed(effects)

        def nobody(_effects: Effects, _advance: Mapping[int, Advance]) -> None:
            pass

        sinks = [FailingSink(self.sink(name), self._chance, self._failure_rate) for name in SINKS]
        writers = [
            SinkWriter(
                sink,
                interval_s=0.001,
                backlog_max=4,
                written=told if sink.name == ALERT_SINK else nobody,
            )
            for sink in sinks
        ]
        commit = Commit(writers, ownership)
        snapshots = FileSnapshotStore(self.files, generations=2)
        snapshotter = Snapshotter(
            snapshots, engine, ownership, commit, topic_id="t", replay_budget_s=0.001
        )
        activation = Activation(
            snapshots, engine, ownership, memory_bytes=self.memory_bytes, idle_s=self.idle_s
        )

        def bounds(partitions: Sequence[int]) -> dict[int, LogBounds]:
            return {p: LogBounds("t", 0, len(self.log.records[p])) for p in partitions}

        parts = ShardParts(
            engine,
            ownership,
            commit,
            snapshotter,
            snapshots,
            activation,
            self.model,
            feed,
            bounds,
            pauses=lambda: self.pauses,
        )
        settings = SETTINGS.model_copy(update={"poll_records_max": self.poll_records})
        loop = ShardLoop(parts, settings, self.quarantine, Meter("shard-0", 0))
        reader = MemoryLogReader(self.log, loop)
        loop.attach(reader)

        def close() -> None:
            snapshotter.close()
            activation.close()
            commit.close()

        return loop, reader, close

    def sink(self, name: str) -> EffectSink:
        """A new owner's."""
        return MemoryEffectSink(self.tables[name], name=name)

    def written(self) -> Effects:
        """What all sinks have; they must agree."""
        return self.tables["kafka"].written


def _nobody_watches(update: LiveUpdate) -> LiveWish:
    del update
    return LiveWish(frozenset(), picture_s=1.0)
