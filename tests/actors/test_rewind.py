"""Back to a savepoint, and forth again: the database ends as if nobody had gone back."""

import copy
import random
import time
import uuid
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from actors.rewind import pasts, rewind
from actors.written import put
from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.durable import DurableRecord, DurableWriter
from adapters.kafka.log_reader import KafkaLogReader
from adapters.kafka.rewind import GroupOffsets
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import migrate
from adapters.postgres.rewind import rewind_database
from adapters.postgres.rollup_sink import PostgresRollupSink
from adapters.snapshots.place import snapshot_store
from adapters.snapshots.savepoints import put_in_place, store_of
from fleetpulse.effects import Effects
from fleetpulse.errors import ConfigError
from fleetpulse.persistence import export_partition
from fleetpulse.ports import Advance, Claim, EffectSink
from fleetpulse.rewind import PartitionPast, partition_past
from fleetpulse.settings import KafkaSettings, PostgresSettings, Settings
from tests.actors.incarnations import SINKS, World
from tests.actors.plant import HOUR, NEXT_DAY, PARTITION, Plant
from tests.actors.plant import PARTITIONS as PLANT_PARTITIONS
from tests.actors.test_savepoint import NAME, asked, behind, finish, savepoint
from tests.core.logs import PARTITIONS, Log, feed, fresh_engine
from tests.core.test_cuts import disorderly_log

TABLES = ("alerts", "sessions", "devices", "rollup_minute", "rollup_hour", "rollup_day")
KINDS = {"alerts": PostgresAlertSink, "rollups": PostgresRollupSink}


@pytest.fixture
def dsn(postgres: PostgresSettings) -> str:
    """A database without rows."""
    assert postgres.dsn is not None
    dsn = postgres.dsn.get_secret_value()
    migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"TRUNCATE progress, {', '.join(TABLES)}")
    return dsn


class DatabaseWorld(World):
    """The two sinks of the database are real."""

    def __init__(self, dsn: str, log: Log, seed: int, failure_rate: float) -> None:
        super().__init__(log, seed, failure_rate)
        self.dsn = dsn

    def sink(self, name: str) -> EffectSink:
        kind = KINDS.get(name)
        return kind(self.dsn, topic_id="t") if kind else super().sink(name)

    def reached(self, name: str) -> dict[int, int | None]:
        if name not in KINDS:
            return super().reached(name)
        query = "SELECT partition, next_offset FROM progress WHERE sink = %s"
        with psycopg.connect(self.dsn) as connection:
            return dict(connection.execute(query, (name,)).fetchall())

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that readers see of the log; when it was written is no result of it."""
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            return {
                table: [
                    tuple(repr(value) for name, value in row.items() if name != "committed_at")
                    for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4")
                ]
                for table in TABLES
            }

    def go_back(self) -> dict[str, int]:
        """As `rewind` does, with a group in memory."""
        store = store_of(self.files, NAME)
        snapshots = [store.opened(store.document(each)) for each in store.ls()]
        places = [partition_past(each) for each in snapshots]
        gone = rewind_database(self.dsn, "t", places, pasts(store, snapshots))
        kafka = self.tables["kafka"]
        for each in snapshots:
            epoch = kafka.claims[each.partition].owner_epoch
            kafka.claims[each.partition] = Claim(epoch + 1, each.next_offset)
        put_in_place(self.files, NAME)
        return gone


@pytest.mark.parametrize("seed", range(6))
def test_who_goes_back_and_forth_ends_where_he_was(dsn: str, seed: int) -> None:
    share = random.Random(seed).uniform(0.1, 0.5)
    log = asked(disorderly_log(seed), savepoint(), share)
    world = DatabaseWorld(dsn, log, seed, failure_rate=0.03 if seed % 2 else 0.0)
    finish(world)
    undisturbed = world.rows()
    an_older_release_saw_more(dsn)
    gone = world.go_back()
    assert gone["alerts"] > 1, "nothing came after the savepoint, so nothing was tested"
    for name in SINKS:
        assert world.reached(name) == behind(log, savepoint())
    world.run()
    found = world.rows()
    for table, rows in undisturbed.items():
        other = set(found[table]) ^ set(rows)
        assert not other, f"{table}: {sorted(other)}"


def an_older_release_saw_more(dsn: str) -> None:
    """Results from after the savepoint that the replay does not bring again."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table, time in (("alerts", "raised_at"), ("sessions", "started_at")):
            names = [
                name
                for (name,) in connection.execute(
                    "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
                    " ORDER BY ordinal_position",
                    (table,),
                )
            ]
            ident = "alert_id" if table == "alerts" else "session_id"
            other = {ident: "'ghost'", time: f"{time} + interval '1 day'"}
            values = ", ".join(other.get(name, name) for name in names)
            connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table}"
                f" ORDER BY {time} DESC LIMIT 1"
            )
        connection.execute("UPDATE alerts SET cleared_at = raised_at WHERE cleared_at IS NULL")


def test_what_a_replay_does_not_bring_back_stays(dsn: str) -> None:
    """Rows of a recompute, and of a device that the savepoint does not know but saw."""
    log = asked(disorderly_log(1), savepoint(), 0.3)
    world = DatabaseWorld(dsn, log, 1, failure_rate=0.0)
    finish(world)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE rollup_minute SET view_epoch = 1")
        connection.execute("UPDATE alerts SET view_epoch = 2, score = 99, peak_score = 99")
        connection.execute("INSERT INTO devices VALUES ('t', 'former', 'pump@1', 'epoch')")
        connection.execute("INSERT INTO devices VALUES ('t', 'new', 'pump@1', '2030-01-01')")
    before = world.rows()
    gone = world.go_back()
    assert (gone["rollup_minute"], gone["alerts"], gone["devices"]) == (0, 0, 1)
    after = world.rows()
    for table in ("rollup_minute", "alerts"):
        assert after[table] == before[table]
    assert {row[1] for row in before["devices"]} - {row[1] for row in after["devices"]} == {"'new'"}
    world.run()
    assert world.rows()["alerts"] == before["alerts"], "live replaced what a recompute wrote"


def test_what_was_late_is_computed_again_when_the_replay_tells_it_again(
    plant: Plant, tmp_path: Path
) -> None:
    owns_all(plant)
    plant.send(*HOUR[:60])
    plant.live()
    engine, offset = copy.deepcopy(plant.engine), plant.done
    store = snapshot_store(Settings(data_folder=tmp_path))
    exported = export_partition(plant.engine, PARTITION, next_offset=offset, topic_id="any")
    kept = put(store, exported)
    plant.send(*[n for n in HOUR[60:] if n not in (100, 101, 300)], *NEXT_DAY, 101, 100, 300)
    plant.live()
    plant.marked()
    plant.support().work()
    before, promoted = plant.view(), "SELECT * FROM alerts WHERE view_epoch > 0 ORDER BY raised_at"
    corrected = plant.rows(promoted)
    assert corrected
    places = [PartitionPast(each, 0, 0, frozenset()) for each in range(PLANT_PARTITIONS)]
    places[PARTITION] = partition_past(kept)
    gone = rewind_database(plant.dsn, plant.topic_id, places, pasts(store, [kept]))
    assert gone["rollup_minute"], "nothing was corrected beside what live has to write again"
    plant.engine, plant.done = engine, offset
    assert len(plant.live().late) == 3
    assert plant.rows(promoted) == corrected, "live's replay changed what a recompute had written"
    plant.marked()
    assert [each[:3] for each in plant.jobs()] == [("marked", 0, None), ("promoted", 1, 1)]
    plant.support().work()
    assert plant.jobs() == [("promoted", 1, 1, ""), ("promoted", 1, 2, "")]
    assert plant.view() == before, "bit for bit"


def owns_all(plant: Plant) -> None:
    """Both sinks have begun with every partition."""
    for kind in KINDS.values():
        sink = kind(plant.dsn, topic_id=plant.topic_id)
        claims = sink.claim(range(PLANT_PARTITIONS))
        sink.write(Effects(), {p: Advance(claims[p].owner_epoch, 0, 0) for p in claims})
        sink.close()


@pytest.fixture
def stopped(kafka: KafkaSettings, postgres: PostgresSettings, dsn: str, tmp_path: Path) -> Settings:
    """Shards that have written up to offset 20, with a savepoint at 10."""
    prefix = f"{kafka.topic_prefix}{uuid.uuid4().hex[:6]}."
    settings = Settings(
        kafka=kafka.model_copy(update={"topic_prefix": prefix, "partitions": PARTITIONS}),
        postgres=postgres,
        data_folder=tmp_path,
    )
    admin = KafkaAdmin(settings.kafka)
    admin.create_topics()
    topic = settings.kafka.topic("telemetry")
    records = [DurableRecord(topic, b"!tick", b"", p) for p in range(PARTITIONS)] * 25
    DurableWriter(settings.kafka, client_id="test").write(records, timeout_s=20)
    engine, store = fresh_engine(), snapshot_store(settings)
    feed(engine, disorderly_log(1).batch())
    for partition, offset in product(range(PARTITIONS), (10, 20)):
        found = put(
            store,
            export_partition(engine, partition, next_offset=offset, topic_id=admin.topic_id()),
        )
        store.save(found)
        if offset == 10:
            store.keep(found, NAME)
    for kind in KINDS.values():
        sink = kind(dsn, topic_id=admin.topic_id())
        claims = sink.claim(range(PARTITIONS))
        sink.write(Effects(), {p: Advance(claims[p].owner_epoch, 0, 20) for p in claims})
        sink.close()
    GroupOffsets(settings.kafka).set(dict.fromkeys(range(PARTITIONS), 20))
    return settings


def places(settings: Settings) -> tuple[dict[int, int], set[int], set[int]]:
    """Of the group, of the database, of the newest snapshots."""
    assert settings.postgres.dsn is not None
    with psycopg.connect(settings.postgres.dsn.get_secret_value()) as connection:
        rows = connection.execute("SELECT next_offset FROM progress").fetchall()
    found = [snapshot_store(settings).load(partition) for partition in range(PARTITIONS)]
    return (
        GroupOffsets(settings.kafka).current(),
        {offset for (offset,) in rows},
        {each.next_offset for each in found if each},
    )


def test_every_sink_and_every_snapshot_is_at_the_savepoint(stopped: Settings) -> None:
    assert places(stopped) == (dict.fromkeys(range(PARTITIONS), 20), {20}, {20})
    done = rewind(stopped, NAME)
    assert (done.offsets, done.set_aside) == (dict.fromkeys(range(PARTITIONS), 10), PARTITIONS)
    assert places(stopped) == (dict.fromkeys(range(PARTITIONS), 10), {10}, {10})
    assert rewind(stopped, NAME).set_aside == 0, "doing it again must be harmless"


def test_nothing_is_touched_where_going_back_cannot_be(stopped: Settings) -> None:
    before = places(stopped)
    with pytest.raises(ConfigError, match="no savepoint sunday"):
        rewind(stopped, "sunday")
    recreated = stopped.kafka.model_copy(update={"topic_prefix": f"x{uuid.uuid4().hex[:6]}."})
    KafkaAdmin(recreated).create_topics()
    with pytest.raises(ConfigError, match="made anew"):
        rewind(stopped.model_copy(update={"kafka": recreated}), NAME)
    reader = KafkaLogReader(stopped.kafka, Owner(), client_id="shard-0")
    deadline = time.monotonic() + 20
    while not reader.membership().assignments:
        assert time.monotonic() < deadline, "the shard gets no partition"
        reader.poll(10, 0.1)
    with pytest.raises(ConfigError, match="shards run: stop them first"):
        rewind(stopped, NAME)
    reader.close()
    assert places(stopped) == before
    GroupOffsets(stopped.kafka).set({0: 5})
    with pytest.raises(ConfigError, match="behind"):
        rewind(stopped, NAME)


class Owner:
    """A shard that only owns."""

    def assigned(self, partitions: Sequence[int]) -> None:
        pass

    def revoked(self, partitions: Sequence[int]) -> None:
        pass

    def lost(self, partitions: Sequence[int]) -> None:
        pass
