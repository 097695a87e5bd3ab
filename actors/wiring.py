"""The composition root of a shard: real adapters into one incarnation of the loop."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from actors.commit import Commit
from actors.feed import LiveFeed, Publish
from actors.meter import Meter
from actors.partitions import Ownership
from actors.quarantine import Quarantine
from actors.recovery import LogBounds
from actors.shard_loop import ShardLoop, ShardParts
from actors.sink_writer import SinkWriter
from actors.snapshotter import Snapshotter
from actors.status import shard_status
from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.effect_sink import KafkaEffectSink
from adapters.kafka.log_reader import KafkaLogReader, Membership
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.rollup_sink import PostgresRollupSink
from adapters.snapshots.folder import FolderSnapshotStore
from fleetpulse.engine import Engine
from fleetpulse.errors import ConfigError
from fleetpulse.live import ShardStatus
from fleetpulse.ports import EffectSink, Scorer
from fleetpulse.settings import Settings, ShardSettings


@dataclass(frozen=True, slots=True)
class Incarnation:
    """A loop with everything that belongs to it."""

    loop: ShardLoop
    parts: ShardParts
    reader: KafkaLogReader
    meter: Meter

    def status(self) -> ShardStatus:
        """The shard's state now."""
        parts = self.parts
        return shard_status(
            self.meter,
            parts.engine,
            parts.ownership,
            parts.commit,
            self.reader.end_offset,
            paused=self.loop.paused,
        )

    def close(self) -> None:
        """End its threads and leave the group, each even if another fails to."""
        with ExitStack() as ends:
            ends.callback(self.parts.commit.close)
            ends.callback(self.reader.close)
            ends.callback(self.parts.snapshotter.close)
            ends.callback(self.parts.feed.close)


def incarnate(
    settings: Settings,
    slot: int,
    scorer: Scorer,
    meter: Meter,
    quarantine: Quarantine,
    publish: Publish,
) -> Incarnation:
    """Connect to Kafka and PostgreSQL and build a loop; raises RetryLater when one is away."""
    admin = KafkaAdmin(settings.kafka)
    topic_id = admin.topic_id()
    engine, ownership = Engine(settings.kafka.partitions), Ownership()
    feed = LiveFeed(engine, publish)

    def membership() -> Membership:
        return reader.membership()

    sinks = _sinks(settings, slot, topic_id, membership)
    commit = Commit(_writers(settings.shard, sinks, feed), ownership)
    snapshots = FolderSnapshotStore(settings.snapshots, generations=settings.snapshot.generations)
    snapshotter = Snapshotter(
        snapshots,
        engine,
        ownership,
        commit,
        topic_id=topic_id,
        replay_budget_s=settings.snapshot.replay_budget_s,
        told=lambda: feed.told,
    )

    def bounds(partitions: Sequence[int]) -> Mapping[int, LogBounds]:
        marks = admin.watermarks()
        return {p: LogBounds(topic_id, *marks[p]) for p in partitions}

    parts = ShardParts(engine, ownership, commit, snapshotter, snapshots, scorer, feed, bounds)
    loop = ShardLoop(parts, settings.shard, quarantine, meter)
    with ExitStack() as ends:
        ends.callback(commit.close)
        ends.callback(snapshotter.close)
        reader = KafkaLogReader(settings.kafka, loop, client_id=f"shard-{slot}")
        loop.attach(reader)
        incarnation = Incarnation(loop, parts, reader, meter)
        feed.start(incarnation.status)
        ends.pop_all()
    return incarnation


@dataclass(frozen=True, slots=True)
class _Sinks:
    alerts: EffectSink
    kafka: EffectSink
    rollups: EffectSink


def _sinks(
    settings: Settings, slot: int, topic_id: str, membership: Callable[[], Membership]
) -> _Sinks:
    if settings.postgres.dsn is None:
        raise ConfigError("FLEETPULSE_POSTGRES__DSN: a shard needs it")
    dsn = settings.postgres.dsn.get_secret_value()
    return _Sinks(
        PostgresAlertSink(dsn, topic_id=topic_id),
        KafkaEffectSink(
            settings.kafka,
            slot=str(slot),
            transaction_timeout_ms=settings.shard.transaction_timeout_ms,
            membership=membership,
        ),
        PostgresRollupSink(dsn, topic_id=topic_id),
    )


def _writers(settings: ShardSettings, sinks: _Sinks, feed: LiveFeed) -> list[SinkWriter]:
    backlog_max = settings.commit_backlog_max
    return [
        SinkWriter(
            sinks.alerts,
            interval_s=settings.alert_commit_interval_ms / 1000,
            backlog_max=backlog_max,
            urgent=lambda effects: bool(effects.alerts),
            written=feed.committed,
        ),
        SinkWriter(
            sinks.kafka,
            interval_s=settings.kafka_commit_interval_ms / 1000,
            backlog_max=backlog_max,
        ),
        SinkWriter(
            sinks.rollups,
            interval_s=settings.rollup_commit_interval_ms / 1000,
            backlog_max=backlog_max,
        ),
    ]
