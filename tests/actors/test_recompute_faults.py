"""Recomputation while others read, delete, fail and ask."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.effect_sink import PostgresSink
from adapters.postgres.jobs import PostgresJobs
from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.effects import F32, Effects, Forgotten, Reason, Rejection
from fleetpulse.ports import Advance
from fleetpulse.recompute.job import Mark
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.recompute.requests import JobRow
from tests.actors.plant import HOUR, KEY, NEXT_DAY, PARTITION, PARTITIONS, Plant

SINKS = (PostgresAlertSink, PostgresRollupSink)
TABLES = ("alerts", "sessions", "devices", "rollup_minute", "rollup_hour", "rollup_day")


def test_readers_see_the_old_view_or_the_new_one(plants: Callable[[], Plant]) -> None:
    plant = plants()
    plant.send(*[n for n in HOUR if n not in (100, 300)], *NEXT_DAY, 100, 300)
    plant.live()
    plant.marked()
    seen: set[tuple[Any, ...]] = set()
    done = Event()

    def read() -> None:
        counts = [
            f"(SELECT sum(count[1]) FROM rollup_{each} WHERE NOT withheld)"
            for each in ("minute", "hour", "day")
        ]
        counts.append("(SELECT sum(count[1]) FROM sessions WHERE NOT withdrawn)")
        with psycopg.connect(plant.dsn, autocommit=True) as connection:
            while not done.is_set():
                seen.update(connection.execute(f"SELECT {', '.join(counts)}").fetchall())

    reader = Thread(target=read)
    reader.start()
    try:
        while not seen:
            time.sleep(0.01)
        plant.support().work()
        corrected = plant.rows("SELECT sum(count[1]) FROM rollup_minute")[0][0]
        while not any(row[0] == corrected for row in seen):
            time.sleep(0.01)
    finally:
        done.set()
        reader.join(10)
    assert len(seen) == 2, "before and after, nothing in between"
    assert all(len(set(row[:3])) == 1 for row in seen), "minutes, hours and the day agree"
    assert len({row[3] for row in seen}) == 2, "sessions changed with them"


def test_a_person_marks_devices_and_sees_their_jobs(plant: Plant) -> None:
    plant.send(*HOUR, *NEXT_DAY)
    plant.live()
    view = plant.view()
    changed = TimeRange(plant.t0_us, plant.t0_us + 600_000_000)
    mark = Mark("person:1", "default", "pump-1", changed, "person")

    async def ask() -> tuple[list[str], list[int], list[int], JobRow | None]:
        jobs = PostgresJobs(plant.dsn, partitions=PARTITIONS)
        unknown = await jobs.unknown("default", ["pump-1", "nobody"])
        first = await jobs.mark([mark])
        row = await jobs.job("default", first[0])
        second = await jobs.mark([replace(mark, source="person:2")])
        assert [each.job_id for each in await jobs.jobs("default", None, None, 10)] == first
        await jobs.close()
        return unknown, first, second, row

    unknown, first, second, row = asyncio.run(ask())
    assert unknown == ["nobody"]
    assert first == second, "a device has one unfinished job"
    assert row is not None
    assert (row.state, row.marks) == ("marked", 1), "as of the first mark"
    assert plant.support().work() == 1
    assert plant.jobs() == [("promoted", 1, 1, "")]
    assert plant.view() == view, "what was right stays as it is"


def test_a_device_that_is_deleted_meanwhile_is_not_brought_back(plant: Plant) -> None:
    plant.send(*[n for n in HOUR if n != 100], *NEXT_DAY, 100)
    plant.live()
    plant.marked()
    support = plant.support()
    jobs = support.claim()
    ready, end = support.ready(jobs)
    found = support.compute(ready, end)
    gone = Effects(forgotten=[Forgotten(PARTITION, end, plant.t0_us, "default", "pump-1")])
    for kind in (PostgresRollupSink, PostgresAlertSink):
        write(plant, kind, gone, end)
    support.conclude(ready, found, end)
    assert plant.view() == []
    assert plant.jobs() == []


@pytest.mark.parametrize("order", [SINKS, SINKS[::-1]], ids=["alerts first", "rollups first"])
def test_a_late_record_that_is_read_between_the_sinks_does_not_bring_a_device_back(
    plant: Plant, order: tuple[type[PostgresSink], ...]
) -> None:
    plant.send(*[n for n in HOUR if n != 100], *NEXT_DAY, 100)
    plant.live()
    at = plant.done
    gone = Effects(forgotten=[Forgotten(PARTITION, at, plant.t0_us, "default", "pump-1")])
    write(plant, order[0], gone, at)
    plant.marked()
    assert plant.support().work() == 1
    again = Rejection(PARTITION, at + 1, 0, KEY, b"", Reason.LATE, "", plant.t0_us, plant.t0_us)
    controller = plant.controller()
    controller._marks.write(Effects(late=[again]), {})
    controller.close()
    write(plant, order[1], gone, at)
    assert plant.view() == []
    hidden = " UNION ALL ".join(f"SELECT tenant FROM {table}" for table in TABLES)
    assert plant.rows(hidden) == []
    assert plant.rows("SELECT count(*) FROM recompute_outbox") == [(0,)], "Kafka was told"
    assert plant.rows("SELECT needs_offset FROM recompute_jobs") == [(at + 2,)], "of its next life"


@pytest.mark.parametrize("silent", [False, True])
def test_who_asks_for_a_day_that_the_log_has_lost_is_told(plant: Plant, silent: bool) -> None:
    plant.send(*HOUR)
    plant.live()
    lost = plant.done
    if not silent:
        plant.send(*NEXT_DAY)
        plant.live()
    view = plant.view()
    topic = plant.settings.kafka.topic("telemetry")
    client = AdminClient({"bootstrap.servers": plant.settings.kafka.servers})
    for deleted in client.delete_records([TopicPartition(topic, PARTITION, lost)]).values():
        deleted.result(10)
    past = TimeRange(plant.t0_us, plant.t0_us + 600_000_000)
    plant.mark(Mark("person:1", "default", "pump-1", past, "person"))
    assert plant.support().work() == 1
    ((state, passes, view_epoch, error),) = plant.jobs()
    assert (state, passes, view_epoch) == ("failed", 0, None)
    assert ("the log has no record" if silent else "all of it stays as it was") in error
    assert plant.view() == view


def test_a_part_that_the_log_has_lost_is_told_with_the_promotion(plant: Plant) -> None:
    plant.send(*[n for n in HOUR if n != 100], *NEXT_DAY, 100)
    plant.live()
    plant.marked()
    support = plant.support()
    ready, end = support.ready(support.claim())
    whole = support.compute(ready, end)[KEY]
    part = replace(whole, exact_from_us=ready[0].changed.from_us)
    support.conclude(ready, {KEY: part}, end)
    ((state, passes, _, error),) = plant.jobs()
    assert (state, passes) == ("promoted", 1)
    assert error.startswith("a part of it stays as it was")


def write(plant: Plant, kind: type[PostgresSink], effects: Effects, at: int) -> None:
    """One sink alone takes the record at an offset."""
    sink = kind(plant.dsn, topic_id=plant.topic_id)
    claim = sink.claim([PARTITION])[PARTITION]
    sink.write(effects, {PARTITION: Advance(claim.owner_epoch, at, at + 1)})
    sink.close()


def test_a_late_record_waits_until_live_has_passed_it(plant: Plant) -> None:
    plant.send(*HOUR[:20])
    plant.live()
    at_us, offset = plant.t0_us, plant.done + 3
    plant.send(*HOUR[20:30])
    late = Rejection(PARTITION, offset, 0, KEY, b"", Reason.LATE, "", at_us, at_us)
    controller = plant.controller()
    controller._marks.write(Effects(late=[late]), {})
    controller.close()
    assert plant.support().work() == 1
    assert plant.jobs() == [("marked", 0, None, "")]


def test_a_computation_that_fails_is_left_to_a_person_after_some_attempts(plant: Plant) -> None:
    plant.send(*[n for n in HOUR[:300] if n != 100], 100)
    plant.live()
    plant.marked()

    class Broken:
        def score(self, model: str, samples: F32) -> F32:
            raise ValueError("no such model")

    broken = replace(plant.support(), scorer=Broken())
    for _ in range(5):
        plant.rows("UPDATE recompute_jobs SET due_at = now() RETURNING 1")
        assert broken.work() == 1
    assert plant.jobs() == [("failed", 0, None, "ValueError: no such model")]
    controller = plant.controller()
    status = controller.status()
    controller.close()
    assert (status.failed, status.marked, status.tether_records) == (1, 0, 0)
