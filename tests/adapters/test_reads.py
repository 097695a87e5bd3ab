"""What the API reads is what the sinks wrote."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.sql import SQL

from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import migrate
from adapters.postgres.reads import PostgresReads
from adapters.postgres.rollup_reads import top_parameters, top_query
from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.effects import DeviceSeen, Effects, RollupRows
from fleetpulse.errors import DatabaseUnavailable
from fleetpulse.ports import Advance
from fleetpulse.reads import Measure, PeriodFilter, PeriodKey, TopQuestion
from fleetpulse.settings import PostgresSettings
from tests.contracts.cases import PROFILE, T0_US, alert, effects, session

Ask = Callable[[Callable[[PostgresReads], Awaitable[Any]]], Any]
MINUTE_US = 60_000_000


@pytest.fixture(scope="module")
def dsn(postgres: PostgresSettings) -> str:
    """Pumps 1 to 3; pump-1 has five alerts, of which the fifth is open, and five minutes."""
    assert postgres.dsn is not None
    dsn = postgres.dsn.get_secret_value()
    migrate(dsn)
    written = effects(0, 1, 2, 3, 4)
    written.sessions.append(session(9, ended=False))
    written.alerts += [alert(number, cleared=True) for number in range(4)]
    written.devices = [
        DeviceSeen(0, "default", f"pump-{number}", "pump@1", T0_US) for number in (1, 2, 3)
    ]
    written.devices.append(DeviceSeen(0, "other", "pump-9", "pump@1", T0_US))
    for kind in (PostgresAlertSink, PostgresRollupSink):
        sink = kind(dsn, topic_id="topic")
        sink.write(written, {0: Advance(sink.claim([0])[0].owner_epoch, 0, 1)})
        sink.close()
    return dsn


@pytest.fixture
def ask(dsn: str) -> Ask:
    def asked(question: Callable[[PostgresReads], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            reads = PostgresReads(dsn)
            try:
                return await question(reads)
            finally:
                await reads.close()

        return asyncio.run(run())

    return asked


def test_devices_come_in_pages_of_their_tenant(ask: Ask) -> None:
    first = ask(lambda reads: reads.devices("default", "", "", 2))
    rest = ask(lambda reads: reads.devices("default", "", first[-1].device_id, 2))
    assert [each.device_id for each in first + rest] == ["pump-1", "pump-2", "pump-3"]
    assert [each.alert_open for each in first] == [True, False]
    assert {each.first_seen_us for each in first} == {T0_US}


def test_devices_are_found_by_a_part_of_their_id(ask: Ask) -> None:
    found = ask(lambda reads: reads.devices("default", "MP-3", "", 10))
    assert [each.device_id for each in found] == ["pump-3"]
    assert ask(lambda reads: reads.devices("default", "%", "", 10)) == []


def test_a_device_of_another_tenant_is_unknown(ask: Ask) -> None:
    assert ask(lambda reads: reads.device("default", "pump-9")) is None
    assert ask(lambda reads: reads.device("other", "pump-9")) is not None


def test_rollups_of_a_range_name_their_channels(ask: Ask) -> None:
    rows = ask(
        lambda reads: reads.rollups(
            "default", "pump-1", "minute", T0_US + MINUTE_US, T0_US + 4 * MINUTE_US, 2
        )
    )
    assert [each.bucket_us for each in rows] == [T0_US + MINUTE_US, T0_US + 2 * MINUTE_US]
    assert rows[0].channels == list(PROFILE.channels)
    assert rows[0].mean == [2.0, 3.0]


def hours(values: list[float], device: int, bucket_us: int) -> RollupRows:
    """Scores of one device in successive hours."""
    scores = np.array(values)
    none = np.isnan(scores)
    rows = effects(*range(len(values))).rollups[0]
    return replace(
        rows,
        resolution="hour",
        devices=[f"default/pump-{device}".encode()] * len(values),
        bucket_us=bucket_us + 3_600_000_000 * np.arange(len(values)),
        score_count=np.where(none, 0, 9).astype(np.int32),
        score_over=np.where(none, 0, device).astype(np.int32),
        score_max=scores,
        score_mean=-scores,
    )


@pytest.mark.parametrize(
    ("by", "found"),
    [
        ("max", [(0, "pump-3"), (0, "pump-1"), (1, "pump-2"), (1, "pump-1")]),
        ("mean", [(0, "pump-2"), (0, "pump-1"), (1, "pump-1"), (1, "pump-2")]),
        ("over", [(0, "pump-3"), (0, "pump-2"), (1, "pump-2"), (1, "pump-1")]),
    ],
)
def test_the_highest_scores_of_an_hour_are_found(
    dsn: str, ask: Ask, by: Measure, found: list[tuple[int, str]]
) -> None:
    hour_us = T0_US // 3_600_000_000 * 3_600_000_000
    nan = float("nan")
    batches = [hours([2, 1], 1, hour_us), hours([1, 2], 2, hour_us), hours([3, nan], 3, hour_us)]
    sink = PostgresRollupSink(dsn, topic_id=f"top-{by}")
    epoch = sink.claim([0])[0].owner_epoch
    sink.write(Effects(rollups=batches), {0: Advance(epoch, 0, 1)})
    sink.close()
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE rollup_hour SET withheld = device_id = 'pump-9'")
    buckets_us = range(hour_us, hour_us + 3 * 3_600_000_000, 3_600_000_000)
    rows = ask(lambda reads: reads.top(TopQuestion("default", "hour", by, buckets_us, 2)))
    assert [((row.bucket_us - hour_us) // 3_600_000_000, row.device_id) for row in rows] == found
    nobody = TopQuestion("other", "hour", by, buckets_us, 2)
    assert ask(lambda reads: reads.top(nobody)) == []


def test_the_highest_scores_come_from_an_index(dsn: str) -> None:
    asked = TopQuestion("default", "hour", "max", range(0, 7200, 3600), 2)
    with psycopg.connect(dsn) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_bitmapscan = off")
        query = SQL("EXPLAIN ") + top_query("hour", "max")
        plan = "\n".join(r for (r,) in connection.execute(query, top_parameters(asked)).fetchall())
    assert "Sort Key: rollup_hour" not in plan, f"each hour is sorted: {plan}"
    assert "Index" in plan


def test_alerts_come_newest_first_in_pages(ask: Ask) -> None:
    where = PeriodFilter(tenant="default")
    first = ask(lambda reads: reads.alerts(where, None, 2))
    last = first[-1]
    rest = ask(lambda reads: reads.alerts(where, PeriodKey(last.raised_at_us, last.alert_id), 9))
    assert [int(each.alert_id, 16) for each in first + rest] == [4, 3, 2, 1, 0]
    assert last.cleared_at_us == alert(3, cleared=True).at_us


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"open": True}, [4]),
        ({"open": False}, [3, 2, 1, 0]),
        ({"device_id": "pump-2"}, []),
        ({"from_us": T0_US + MINUTE_US, "to_us": T0_US + 3 * MINUTE_US}, [2, 1]),
        ({"tenant": "other"}, []),
    ],
)
def test_alerts_are_filtered(ask: Ask, changes: dict[str, object], numbers: list[int]) -> None:
    where = replace(PeriodFilter(tenant="default"), **changes)  # type: ignore[arg-type]
    found = ask(lambda reads: reads.alerts(where, None, 10))
    assert [int(each.alert_id, 16) for each in found] == numbers


def test_an_alert_tells_when_it_was_first_committed(ask: Ask, dsn: str) -> None:
    where = PeriodFilter(tenant="default")
    before = ask(lambda reads: reads.alerts(where, None, 9))[1]
    assert 0 <= time.time_ns() // 1000 - before.committed_at_us < 600_000_000
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE alerts SET committed_at = committed_at - interval '1 day'")
    sink = PostgresAlertSink(dsn, topic_id="later")
    step = {0: Advance(sink.claim([0])[0].owner_epoch, 0, 1)}
    sink.write(Effects(alerts=[alert(3, cleared=True)]), step)
    sink.close()
    again = ask(lambda reads: reads.alerts(where, None, 9))[1]
    assert again.committed_at_us == before.committed_at_us - 86_400_000_000
    assert again == before, "the moment of its commit is part of what an alert is"


def test_open_alerts_name_their_devices(ask: Ask) -> None:
    assert ask(lambda reads: reads.open_alerts()) == {b"default/pump-1"}


def test_a_database_that_is_away_is_told_in_time() -> None:
    async def run() -> None:
        reads = PostgresReads("postgresql://nobody@127.0.0.1:1/none")
        reads._pool.timeout = 0.3
        try:
            await reads.ping()
        finally:
            await reads.close()

    with pytest.raises(DatabaseUnavailable):
        asyncio.run(run())


def test_reading_takes_no_part_in_writing(dsn: str, ask: Ask) -> None:
    """A writer's open transaction delays no reader."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE devices SET profile = 'pump@2'")
        rows = ask(lambda reads: reads.devices("default", "", "", 1))
        assert [each.profile for each in rows] == ["pump@1"]
        connection.rollback()


def test_a_device_tells_whether_it_is_heard(ask: Ask) -> None:
    offline = ask(lambda reads: reads.device("default", "pump-1"))
    online = ask(lambda reads: reads.device("default", "pump-2"))
    assert (offline.online, offline.since_us, offline.heard_us) == (False, T0_US, T0_US - 1)
    assert (online.online, online.since_us, online.heard_us) == (True, T0_US, None)
    assert ask(lambda reads: reads.offline_devices()) == {b"default/pump-1"}


def test_sessions_are_read_newest_first_in_pages(ask: Ask) -> None:
    where = PeriodFilter(tenant="default")
    page = ask(lambda reads: reads.sessions(where, None, 3))
    last = PeriodKey(page[-1].started_at_us, page[-1].session_id)
    rest = ask(lambda reads: reads.sessions(where, last, 9))
    assert [int(each.session_id, 16) for each in page + rest] == [9, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"open": True}, [9]),
        ({"open": False}, [4, 3, 2, 1, 0]),
        ({"device_id": "pump-2"}, []),
        ({"tenant": "other"}, []),
        ({"from_us": T0_US + 4 * MINUTE_US}, [9, 4]),
        ({"to_us": T0_US + MINUTE_US}, [0]),
    ],
)
def test_sessions_are_filtered(ask: Ask, changes: dict[str, object], found: list[int]) -> None:
    where = replace(PeriodFilter(tenant="default"), **changes)  # type: ignore[arg-type]
    rows = ask(lambda reads: reads.sessions(where, None, 9))
    assert [int(each.session_id, 16) for each in rows] == found


def test_a_session_reads_as_it_was_written(ask: Ask) -> None:
    written = session(2, ended=True)
    row = ask(lambda reads: reads.session("default", written.session_id))
    assert (row.started_at_us, row.ended_at_us) == (written.started_at_us, written.ended_at_us)
    assert repr(row.summary) == repr(written.summary)
    running = ask(lambda reads: reads.session("default", f"{9:032x}"))
    assert (running.ended_at_us, running.summary) == (None, None)
    assert ask(lambda reads: reads.session("other", written.session_id)) is None
