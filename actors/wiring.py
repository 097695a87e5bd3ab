"""The composition root of a shard: real adapters into one incarnation of the loop."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from actors.activation import Activation
from actors.commit import Commit
from actors.feed import LiveFeed, Publish
from actors.meter import Meter
from actors.partition_keeper import PartitionKeeper
from actors.partitions import Ownership
from actors.pause_watch import PauseWatch
from actors.quarantine import Quarantine
from actors.recovery import Bounds, LogBounds
from actors.shard_loop import ShardLoop, ShardParts
from actors.sink_writer import SinkWriter
from actors.snapshotter import Snapshotter
from actors.status import shard_status
from actors.trace import Tracer, tracer
from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.at_least_once import AtLeastOnceSink
from adapters.kafka.effect_sink import KafkaEffectSink
from adapters.kafka.log_reader import SLOT, KafkaLogReader, Membership
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.partition_pauses import PostgresPartitionPauses
from adapters.postgres.retention import PostgresRetention
from adapters.postgres.rollup_sink import PostgresRollupSink
from adapters.snapshots.place import snapshot_store
from fleetpulse.effects import Effects
from fleetpulse.engine import Engine
from fleetpulse.errors import ConfigError
from fleetpulse.live import ShardStatus
from fleetpulse.ports import Advance, EffectSink, Scorer
from fleetpulse.settings import Settings, ShardSettings


@dataclass(frozen=True, slots=True)
class Incarnation:
    """A loop with everything that belongs to it."""

    loop: ShardLoop
    parts: ShardParts
    reader: KafkaLogReader
    meter: Meter
    watch: PauseWatch
    keeper: PartitionKeeper

    def status(self) -> ShardStatus:
        """The shard's state now."""
        parts = self.parts
        return shard_status(
            self.meter,
            parts.engine,
            parts.ownership,
            parts.commit,
            self.reader.end_offset,
            full=self.loop.full,
            pauses=parts.pauses(),
        )

    def close(self) -> None:
        """End its threads and leave the group, each even if another fails to."""
        with ExitStack() as ends:
            ends.callback(self.parts.tracer.close)
            ends.callback(self.parts.commit.close)
            ends.callback(self.reader.close)
            ends.callback(self.parts.snapshotter.close)
            ends.callback(self.parts.activation.close)
            ends.callback(self.parts.feed.close)
            ends.callback(self.watch.close)
            ends.callback(self.keeper.close)


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
    feed = LiveFeed(engine, publish, stale_after_s=settings.shard.stale_after_s)

    def membership() -> Membership:
        return reader.membership()

    def commit_soon(offsets: Mapping[int, int]) -> None:
        reader.commit_soon(offsets)

    kafka = _kafka_sink(settings, str(slot), membership, commit_soon)
    sinks = _sinks(settings, topic_id, kafka)
    trace = tracer(settings.shard.trace_folder, meter.shard)
    commit = Commit(_writers(settings.shard, sinks, feed, trace), ownership)
    snapshots = snapshot_store(settings)
    snapshotter = Snapshotter(
        snapshots,
        engine,
        ownership,
        commit,
        topic_id=topic_id,
        replay_budget_s=settings.snapshot.replay_budget_s,
        told=lambda: feed.told,
    )
    activation = Activation(
        snapshots,
        engine,
        ownership,
        memory_bytes=settings.shard.device_memory_mb << 20,
        idle_s=settings.shard.passivate_after_s,
    )
    with ExitStack() as ends:
        ends.callback(commit.close)
        ends.callback(snapshotter.close)
        ends.callback(activation.close)
        watch = PauseWatch(PostgresPartitionPauses(_dsn(settings)))
        ends.callback(watch.close)
        parts = ShardParts(
            engine,
            ownership,
            commit,
            snapshotter,
            snapshots,
            activation,
            scorer,
            feed,
            _bounds(admin, topic_id),
            pauses=lambda: watch.current,
            tracer=trace,
        )
        loop = ShardLoop(parts, settings.shard, quarantine, meter)
        reader = KafkaLogReader(settings.kafka, loop, client_id=f"{SLOT}{slot}")
        loop.attach(reader)
        incarnation = Incarnation(loop, parts, reader, meter, watch, _keeper(settings))
        feed.start(incarnation.status)
        ends.pop_all()
    return incarnation


def _bounds(admin: KafkaAdmin, topic_id: str) -> Bounds:
    def bounds(partitions: Sequence[int]) -> Mapping[int, LogBounds]:
        marks = admin.watermarks()
        return {p: LogBounds(topic_id, *marks[p]) for p in partitions}

    return bounds


def _keeper(settings: Settings) -> PartitionKeeper:
    retention = PostgresRetention(_dsn(settings), settings.retention)
    return PartitionKeeper(retention, interval_s=settings.retention.interval_s)


@dataclass(frozen=True, slots=True)
class _Sinks:
    alerts: EffectSink
    kafka: KafkaEffectSink
    rollups: EffectSink


def _sinks(settings: Settings, topic_id: str, kafka: KafkaEffectSink) -> _Sinks:
    dsn = _dsn(settings)
    return _Sinks(
        PostgresAlertSink(dsn, topic_id=topic_id),
        kafka,
        PostgresRollupSink(dsn, topic_id=topic_id),
    )


def _kafka_sink(
    settings: Settings,
    slot: str,
    membership: Callable[[], Membership],
    commit: Callable[[Mapping[int, int]], None],
) -> KafkaEffectSink:
    if settings.shard.effects == "at-least-once":
        return AtLeastOnceSink(
            settings.kafka,
            slot=slot,
            stale_after_s=settings.shard.stale_after_s,
            membership=membership,
            commit=commit,
        )
    return KafkaEffectSink(
        settings.kafka,
        slot=slot,
        transaction_timeout_ms=settings.shard.transaction_timeout_ms,
        stale_after_s=settings.shard.stale_after_s,
        membership=membership,
    )


def _dsn(settings: Settings) -> str:
    if settings.postgres.dsn is None:
        raise ConfigError("FLEETPULSE_POSTGRES__DSN: a shard needs it")
    return settings.postgres.dsn.get_secret_value()


def _writers(
    settings: ShardSettings, sinks: _Sinks, feed: LiveFeed, trace: Tracer
) -> list[SinkWriter]:
    backlog_max = settings.commit_backlog_max

    def alerts_written(effects: Effects, advance: Mapping[int, Advance]) -> None:
        feed.committed(effects)  # first: the trace writes a file, and the disk may be busy
        trace.committed(sinks.alerts.name, advance)

    def kafka_written(_: Effects, advance: Mapping[int, Advance]) -> None:
        trace.committed(sinks.kafka.name, advance)

    return [
        SinkWriter(
            sinks.alerts,
            interval_s=settings.alert_commit_interval_ms / 1000,
            backlog_max=backlog_max,
            urgent=lambda effects: bool(effects.alerts),
            written=alerts_written,
        ),
        SinkWriter(
            sinks.kafka,
            interval_s=settings.kafka_commit_interval_ms / 1000,
            backlog_max=backlog_max,
            written=kafka_written,
        ),
        SinkWriter(
            sinks.rollups,
            interval_s=settings.rollup_commit_interval_ms / 1000,
            backlog_max=backlog_max,
        ),
    ]
