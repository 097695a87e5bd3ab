"""Sinks under one roof: how to become an owner, and what a reader of the results sees."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

import numpy as np
import psycopg
from confluent_kafka import Consumer, TopicPartition

from adapters.kafka.client import consumer_config
from adapters.kafka.effect_sink import KafkaEffectSink
from adapters.kafka.log_reader import KafkaLogReader, Membership
from adapters.memory.sink import MemoryEffectSink, MemoryTable
from adapters.postgres.effect_sink import PostgresSink
from fleetpulse import telemetry_pb2 as pb
from fleetpulse.effects import (
    AlertEvent,
    DeviceSeen,
    Effects,
    Presence,
    RollupRows,
    ScoreRows,
    SessionEvent,
    SessionSummary,
)
from fleetpulse.ports import EffectSink
from fleetpulse.profile import AlertRule, Profile
from fleetpulse.settings import KafkaSettings

PARTITIONS = 3
PROFILE = Profile(
    name="pump", channels=("flow", "heat"), rate_hz=200, alert=AlertRule(threshold=1.0)
)
T0_US = 1_700_000_000_000_000 // 60_000_000 * 60_000_000


def effects(*numbers: int, partition: int = 0) -> Effects:
    """For each number an alert, a score and a minute, by which every sink's reader knows it."""
    n = len(numbers)
    at_us = T0_US + 60_000_000 * np.array(numbers, np.int64)
    partitions = np.full(n, partition, np.int32)
    devices = [b"default/pump-1"] * n
    per_channel = np.arange(2.0 * n).reshape(n, 2)
    per_row = np.arange(float(n))
    some = np.ones(n, np.int32)
    return Effects(
        scores=[
            ScoreRows(
                PROFILE, partitions, devices, at_us, at_us + 1, per_row.astype("f4"), "m@1", 1.0
            )
        ],
        rollups=[
            RollupRows(
                "minute", PROFILE, partitions, devices, at_us, np.ones((n, 2), np.int32),
                per_channel, per_channel, per_channel, per_channel,
                some, some, per_row, per_row, per_row, per_row,
            )
        ],
        alerts=[alert(number, partition=partition) for number in numbers],
        devices=[DeviceSeen(partition, "default", "pump-1", "pump@1", T0_US)],
        presences=[Presence(partition, "default", "pump-1", "offline", T0_US, T0_US - 1)],
        sessions=[session(number, partition=partition, ended=True) for number in numbers],
    )  # fmt: skip


def session(number: int, *, partition: int = 0, ended: bool) -> SessionEvent:
    at_us = T0_US + 60_000_000 * number
    nan = float("nan")
    summary = SessionSummary(
        ("flow", "heat"), (7, 0), (1.0, nan), (3.0, nan), (2.0, nan), (0.5, nan),
        4, 1, 0.25, 2.0, 0.75, 0.5,
    )  # fmt: skip
    return SessionEvent(
        partition=partition,
        session_id=f"{number:032x}",
        tenant="default",
        device_id="pump-1",
        profile="pump@1",
        kind="ended" if ended else "started",
        started_at_us=at_us,
        ended_at_us=at_us + 9_000_000 if ended else None,
        summary=summary if ended else None,
    )


def alert(number: int, *, partition: int = 0, cleared: bool = False) -> AlertEvent:
    at_us = T0_US + 60_000_000 * number
    return AlertEvent(
        partition=partition,
        alert_id=f"{number:032x}",
        tenant="default",
        device_id="pump-1",
        kind="cleared" if cleared else "raised",
        at_us=at_us + (1_000_000 if cleared else 0),
        raised_at_us=at_us,
        window_start_us=at_us - 1_280_000,
        window_end_us=at_us,
        score=0.5 if cleared else 2.0,
        peak_score=3.0 if cleared else 2.0,
        threshold=1.0,
        model="m@1",
        profile="pump@1",
    )


class Case(Protocol):
    """One kind of sink."""

    def owner(self) -> EffectSink:
        """A new owner. Where a group decides on ownership, it has taken it from the former one."""

    def seen(self) -> list[int]:
        """The numbers of `effects` that a reader of the results sees, each as often as it is."""

    def close(self) -> None: ...


class MemoryCase:
    def __init__(self) -> None:
        self._table = MemoryTable()

    def owner(self) -> EffectSink:
        return MemoryEffectSink(self._table)

    def seen(self) -> list[int]:
        return sorted(int(each.alert_id, 16) for each in self._table.written.alerts)

    def close(self) -> None: ...


class PostgresCase:
    _topic_ids = count()

    def __init__(self, dsn: str, kind: type[PostgresSink], select: str) -> None:
        self._dsn = dsn
        self._kind = kind
        self._select = select
        self._topic_id = f"topic-{next(self._topic_ids)}"
        self._owners: list[PostgresSink] = []
        with psycopg.connect(dsn) as connection:
            connection.execute("TRUNCATE alerts, sessions, rollup_minute")

    def owner(self) -> EffectSink:
        self._owners.append(self._kind(self._dsn, topic_id=self._topic_id))
        return self._owners[-1]

    def seen(self) -> list[int]:
        with psycopg.connect(self._dsn) as connection:
            rows = connection.execute(self._select).fetchall()
        return sorted(int((at.timestamp() * 1e6 - T0_US) // 60_000_000) for (at,) in rows)

    def close(self) -> None:
        for each in self._owners:
            each.close()


class KafkaCase:
    """Owners are members of one group; each new one has all partitions of the former."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.members: list[Member] = []
        self._sinks: list[KafkaEffectSink] = []

    def owner(self) -> EffectSink:
        for former in self.members:
            former.leave()
        member = Member(self.settings)
        member.poll_until(lambda: len(member.partitions) == PARTITIONS)
        self.members.append(member)
        sink = KafkaEffectSink(
            self.settings,
            slot=f"slot-{len(self._sinks)}",
            transaction_timeout_ms=5000,
            stale_after_s=60,
            membership=member.membership,
        )
        self._sinks.append(sink)
        return sink

    def slot(self, sink: EffectSink) -> str:
        return next(f"slot-{at}" for at, each in enumerate(self._sinks) if each is sink)

    def seen(self) -> list[int]:
        config = consumer_config(self.settings, client_id="check", group="check")
        reader = Consumer({**config, "auto.offset.reset": "earliest", "enable.partition.eof": True})
        try:
            topic = self.settings.topic("scores")
            reader.assign([TopicPartition(topic, each, 0) for each in range(PARTITIONS)])
            found: list[int] = []
            ended: set[int | None] = set()
            while len(ended) < PARTITIONS:
                for message in reader.consume(100, 0.05):
                    if message.error():
                        ended.add(message.partition())
                    else:
                        start_us = pb.Score.FromString(message.value() or b"").window_start_us
                        found.append((start_us - T0_US) // 60_000_000)
            return sorted(found)
        finally:
            reader.close()

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
        for member in self.members:
            member.leave()


class Member:
    """A reader that owns what it is given, and keeps its last proof of membership when it goes."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.partitions: set[int] = set()
        self.proof: Membership | None = None
        self.last_act: Callable[[], object] = lambda: None
        self.reader = KafkaLogReader(settings, self, client_id="member")
        self._gone = False

    def assigned(self, partitions: Sequence[int]) -> None:
        self.partitions |= set(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        if self._gone:
            self.proof = self.reader.membership()
            assert self.proof.assignments.keys() >= self.partitions
            self.last_act()
        self.partitions -= set(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self.partitions -= set(partitions)

    def membership(self) -> Membership:
        return self.proof or self.reader.membership()

    def poll_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.reader.poll(100, 0.05)

    def leave(self) -> None:
        if not self._gone:
            self._gone = True
            self.reader.close()
