"""A log with a live view in PostgreSQL, written as shards write it."""

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
from confluent_kafka import Producer

from actors.recompute import Controller
from actors.support import Support
from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import producer_config
from adapters.kafka.controls import publish
from adapters.kafka.encode import encode_rejected
from adapters.kafka.range_reader import RangeReader
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.blackboard import Blackboard
from adapters.postgres.jobs import PostgresJobs
from adapters.postgres.rollup_sink import PostgresRollupSink
from benchmarks.topics import read_to_end
from fleetpulse.effects import F32, Effects
from fleetpulse.engine import Engine, PartitionState
from fleetpulse.identity import partition_of
from fleetpulse.ports import Advance
from fleetpulse.profile import AlertRule, Profile, SessionSpec, WindowSpec
from fleetpulse.recompute.job import Mark
from fleetpulse.rerun import rerun
from fleetpulse.settings import KafkaSettings, PostgresSettings, RecomputeSettings, Settings
from fleetpulse.telemetry_pb2 import Assignment
from tests.core.logs import fake_scores, frame

PARTITIONS = 2
KEY = b"default/pump-1"
PARTITION = partition_of(KEY, PARTITIONS)
PROFILE = Profile(
    name="pump", channels=("a", "b"), rate_hz=10, lateness_ms=500, block_samples_max=50,
    past_bound_s=1e6, rate_limit=None, window=WindowSpec(size=16, hop=8, coverage_min=0.6),
    model="any@1", alert=AlertRule(threshold=6.0, raise_after=1, clear_after=1, dedup_s=0),
    session=SessionSpec(channel="a", above=11.5, gap_s=20),
)  # fmt: skip
FRAME = 50
"""Samples: 5 s."""


class FakeModel:
    def score(self, model: str, samples: F32) -> F32:
        return fake_scores(samples)


class NoWorkers:
    """Computation is driven by the tests."""

    free = False

    def start(self, settings: Settings, topic_id: str) -> None:
        raise AssertionError("a worker although none is free")


@dataclass
class Plant:
    """A log with a live view in PostgreSQL, written as shards write it."""

    settings: Settings
    dsn: str
    t0_us: int
    topic_id: str
    ends: ExitStack
    done: int = 0
    engine: Engine = field(default_factory=lambda: Engine(PARTITIONS))

    def send(self, *numbers: int, seed: int = 1) -> None:
        """Frames of the device by number, each 5 s long."""
        self.produce(*(frame(PROFILE, seed, n * FRAME, FRAME, t0_us=self.t0_us) for n in numbers))

    def produce(self, *values: bytes) -> None:
        """Records of the device."""
        producer = Producer(producer_config(self.settings.kafka, client_id="test"))
        for value in values:
            producer.produce(self.settings.kafka.topic("telemetry"), value, KEY, PARTITION)
        producer.flush(20)

    def live(self) -> Effects:
        """Live reads all that is new and commits it."""
        log = RangeReader(self.settings.kafka, client_id="live")
        end = log.bounds(PARTITION)[1]
        effects = Effects()
        batches = log.read(PARTITION, self.done, end)
        for turn in rerun(self.engine, batches, FakeModel()):
            effects.extend(turn.effects)
        log.close()
        for kind in (PostgresAlertSink, PostgresRollupSink):
            sink = kind(self.dsn, topic_id=self.topic_id)
            epoch = sink.claim([PARTITION])[PARTITION].owner_epoch
            sink.write(effects, {PARTITION: Advance(epoch, self.done, end)})
            sink.close()
        producer = Producer(producer_config(self.settings.kafka, client_id="test"))
        for each in effects.late:
            topic = self.settings.kafka.topic("telemetry.late")
            producer.produce(topic, encode_rejected(each), each.key, PARTITION)
        producer.flush(20)
        self.done = end
        return effects

    def controller(self) -> Controller:
        return Controller(self.settings, NoWorkers())

    def support(self) -> Support:
        blackboard = Blackboard(self.dsn)
        log = RangeReader(self.settings.kafka, client_id="support")
        self.ends.callback(blackboard.close)
        self.ends.callback(log.close)
        return Support(self.settings, blackboard, log, FakeModel(), self.topic_id)

    def mark(self, mark: Mark) -> None:
        """As a person or a changed profile does."""

        async def ask() -> None:
            jobs = PostgresJobs(self.dsn, partitions=PARTITIONS)
            await jobs.mark([mark])
            await jobs.close()

        asyncio.run(ask())

    def marked(self) -> None:
        """A controller notices what is late."""
        controller = self.controller()
        collect(controller)
        controller.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def minutes(self) -> dict[int, tuple[int, int, list[int]]]:
        """Minute number -> view epoch, scores, counts; of what readers see."""
        found = self.rows(
            "SELECT (extract(epoch FROM bucket) * 1000000)::bigint, view_epoch, score_count, count"
            " FROM rollup_minute WHERE NOT withheld ORDER BY bucket"
        )
        return {(at - self.t0_us) // 60_000_000: tuple(rest) for at, *rest in found}

    def view(self) -> list[tuple[Any, ...]]:
        """All that readers see, without the epochs."""
        columns = (
            "bucket, profile, count, min, max, mean, std, score_count, score_over,"
            " score_min, score_max, score_mean, score_std"
        )
        found = [
            (resolution, *map(repr, row))
            for resolution in ("minute", "hour", "day")
            for row in self.rows(
                f"SELECT {columns} FROM rollup_{resolution} WHERE NOT withheld ORDER BY bucket"
            )
        ]
        found += self.rows(
            "SELECT alert_id, raised_at, cleared_at, window_start, score, peak_score FROM alerts"
            " WHERE NOT withdrawn ORDER BY raised_at"
        )
        return found + [
            ("session", *map(repr, row))
            for row in self.rows(
                "SELECT session_id, started_at, ended_at, channels, count, min, max, mean, std,"
                " score_count, score_over, score_min, score_max, score_mean, score_std"
                " FROM sessions WHERE NOT withdrawn ORDER BY started_at"
            )
        ]

    def topic(self, name: str) -> list[tuple[bytes, bytes]]:
        """Keys and values."""
        found: list[tuple[bytes, bytes]] = []
        read_to_end(
            self.settings.kafka, name, lambda m: found.append((m.key() or b"", m.value() or b""))
        )
        return found

    def jobs(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT state, passes, view_epoch, error FROM recompute_jobs ORDER BY 1")


def collect(controller: Controller) -> None:
    """Until late records have come."""
    deadline = time.monotonic() + 20
    while not controller.collect(0.2):
        assert time.monotonic() < deadline, "late records do not arrive"


def a_plant(kafka: KafkaSettings, database: PostgresSettings, ends: ExitStack) -> Plant:
    prefix = f"{kafka.topic_prefix}{uuid.uuid4().hex[:6]}."
    settings = Settings(
        kafka=kafka.model_copy(update={"topic_prefix": prefix, "partitions": PARTITIONS}),
        postgres=database,
        recompute=RecomputeSettings(delay_s=0, lease_s=0.3),
    )
    admin = KafkaAdmin(settings.kafka)
    admin.create_topics()
    publish(settings.kafka, [PROFILE], [Assignment(device_pattern="*", profile="pump")])
    assert database.dsn is not None
    dsn = database.dsn.get_secret_value()
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "TRUNCATE recompute_jobs, recompute_marks, recompute_views, recompute_outbox, progress,"
            " alerts, devices, sessions, rollup_minute, rollup_hour, rollup_day"
        )
    # ten in the evening, two days ago
    t0_us = (time.time_ns() // 86_400_000_000_000 * 24 - 26) * 3_600_000_000
    plant = Plant(settings, dsn, t0_us, admin.topic_id(), ends)
    plant.engine.partitions[PARTITION] = PartitionState()
    return plant


HOUR = list(range(12 * 61))
"""Frames of an hour and a minute."""
NEXT_DAY = [12 * 60 * 3]


def orderly(plants: Callable[[], Plant]) -> list[tuple[Any, ...]]:
    """The view of the same data, as if nothing had been late."""
    plant = plants()
    plant.send(*HOUR, *NEXT_DAY)
    plant.live()
    return plant.view()
