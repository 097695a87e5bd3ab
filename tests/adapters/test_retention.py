"""Time partitions come before they are needed and leave when nothing needs them."""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psycopg
import pytest
from psycopg.sql import SQL

from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import migrate
from adapters.postgres.retention import PostgresRetention
from adapters.postgres.rollup_reads import rollups_query
from adapters.postgres.rollup_sink import PostgresRollupSink
from adapters.postgres.time_partitions import UNITS
from fleetpulse.effects import Effects
from fleetpulse.errors import DatabaseUnavailable
from fleetpulse.settings import RetentionSettings
from tests.adapters.written import write
from tests.contracts.cases import alert, effects, session

DAY_US = 86_400_000_000
NOW_US = time.time_ns() // 1000
OLD_US, NEW_US = NOW_US - 100 * DAY_US, NOW_US - DAY_US
KEPT_DAYS = 30.0
SETTINGS = RetentionSettings(
    minute_days=KEPT_DAYS, hour_days=KEPT_DAYS, day_days=0, alert_days=KEPT_DAYS,
    session_days=KEPT_DAYS,
)  # fmt: skip


@pytest.fixture
def database(dsn: str) -> Iterator[psycopg.Connection]:
    migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE progress, devices, recompute_jobs CASCADE")
        for (name,) in connection.execute("SELECT name FROM time_partitions").fetchall():
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute("TRUNCATE time_partitions")
        yield connection


@pytest.fixture
def retention(dsn: str) -> PostgresRetention:
    return PostgresRetention(dsn, SETTINGS)


def minutes(*bucket_us: int) -> Effects:
    rows = effects(*range(len(bucket_us))).rollups[0]
    return Effects(
        rollups=[replace(rows, bucket_us=np.array(bucket_us) // 60_000_000 * 60_000_000)]
    )


def long_ago(database: psycopg.Connection) -> None:
    """As if every partition had been made when its time came."""
    database.execute("UPDATE time_partitions SET made_at = least(made_at, starts)")


def count(database: psycopg.Connection, table: str) -> int:
    row = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def attached(database: psycopg.Connection, table: str) -> set[str]:
    rows = database.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", (table,)
    )
    return {name for (name,) in rows.fetchall()}


def partition_of(table: str, at_us: int, unit: str = "D") -> str:
    return f"{table}_{np.datetime64(at_us, 'us').astype(f'datetime64[{unit}]')}".replace("-", "_")


def test_partitions_are_made_before_their_time(
    database: psycopg.Connection, retention: PostgresRetention
) -> None:
    retention.tend()
    for table, unit in UNITS.items():
        now = np.datetime64(NOW_US, "us").astype(f"datetime64[{unit}]")
        names = {f"{table}_{now + ahead}".replace("-", "_") for ahead in range(3)}
        assert attached(database, table) == names
    retention.tend()
    assert count(database, "time_partitions") == 3 * len(UNITS), "tending again made something"


def test_rows_older_than_retention_vanish_with_their_partition(
    database: psycopg.Connection, rollups: PostgresRollupSink, retention: PostgresRetention
) -> None:
    write(rollups, minutes(OLD_US, NEW_US))
    long_ago(database)
    gone = partition_of("rollup_minute", OLD_US)
    assert retention.tend() == [gone]
    assert count(database, "rollup_minute") == 1, "the newer row stays"
    assert database.execute("SELECT to_regclass(%s)", (gone,)).fetchone() == (None,)
    assert retention.tend() == []


def test_what_was_measured_long_ago_but_written_now_is_kept_as_long(
    database: psycopg.Connection, rollups: PostgresRollupSink, retention: PostgresRetention
) -> None:
    write(rollups, minutes(OLD_US))
    assert retention.tend() == []
    assert count(database, "rollup_minute") == 1


def test_a_table_without_retention_keeps_everything(
    dsn: str, database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    write(rollups, minutes(OLD_US))
    long_ago(database)
    for_good = SETTINGS.model_copy(update={"minute_days": 0.0})
    assert PostgresRetention(dsn, for_good).tend() == []


@pytest.mark.parametrize("table", ["alerts", "sessions"])
def test_what_is_open_holds_its_partition(
    database: psycopg.Connection,
    alerts: PostgresAlertSink,
    retention: PostgresRetention,
    table: str,
) -> None:
    write(alerts, Effects(alerts=[alert(1)], sessions=[session(1, ended=False)]))
    long_ago(database)
    assert retention.tend() == []
    ended = {
        "alerts": Effects(alerts=[alert(1, cleared=True)]),
        "sessions": Effects(sessions=[session(1, ended=True)]),
    }
    write(alerts, ended[table])
    assert [name.rpartition("_20")[0] for name in retention.tend()] == [table]
    assert count(database, table) == 0


def test_a_withdrawn_session_holds_nothing(
    database: psycopg.Connection, alerts: PostgresAlertSink, retention: PostgresRetention
) -> None:
    write(alerts, Effects(sessions=[session(1, ended=False)]))
    database.execute("UPDATE sessions SET withdrawn = true, view_epoch = 1")
    long_ago(database)
    assert [name.rpartition("_20")[0] for name in retention.tend()] == ["sessions"]


def test_an_unfinished_recompute_holds_what_it_works_on(
    database: psycopg.Connection, rollups: PostgresRollupSink, retention: PostgresRetention
) -> None:
    write(rollups, minutes(OLD_US))
    long_ago(database)
    database.execute(
        "INSERT INTO recompute_jobs (tenant, device_id, partition, from_us, to_us, cause, due_at)"
        " VALUES ('default', 'pump-1', 0, %s, %s, 'person', now())",
        (OLD_US, OLD_US + 1),
    )
    assert retention.tend() == []
    database.execute("UPDATE recompute_jobs SET state = 'promoted'")
    assert retention.tend() == [partition_of("rollup_minute", OLD_US)]


def test_a_reader_is_waited_for_and_the_removal_finished_later(
    dsn: str,
    database: psycopg.Connection,
    rollups: PostgresRollupSink,
    retention: PostgresRetention,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.postgres.retention.STATEMENT_TIMEOUT_MS", 300)
    write(rollups, minutes(OLD_US, NEW_US))
    long_ago(database)
    with psycopg.connect(dsn) as reader:
        assert count(reader, "rollup_minute") == 2
        with pytest.raises(DatabaseUnavailable):
            retention.tend()
        assert count(database, "rollup_minute") == 1, "half detached: new readers miss it"
    assert retention.tend() == [partition_of("rollup_minute", OLD_US)]


@pytest.mark.parametrize("how", ["DETACH PARTITION {}", "half"])
def test_a_row_that_comes_while_its_partition_leaves_brings_it_back(
    dsn: str,
    database: psycopg.Connection,
    rollups: PostgresRollupSink,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    write(rollups, minutes(OLD_US, NEW_US))
    old = partition_of("rollup_minute", OLD_US)
    if how == "half":
        with psycopg.connect(dsn) as reader:
            count(reader, "rollup_minute")
            database.execute("SET statement_timeout = 300")
            with pytest.raises(psycopg.errors.QueryCanceled):
                database.execute(f"ALTER TABLE rollup_minute DETACH PARTITION {old} CONCURRENTLY")
    else:
        database.execute("ALTER TABLE rollup_minute " + how.format(old))
    write(rollups, minutes(OLD_US + 60_000_000))
    assert count(database, "rollup_minute") == 3
    assert old in attached(database, "rollup_minute")


def test_a_crash_between_detaching_and_dropping_is_made_good(
    database: psycopg.Connection, alerts: PostgresAlertSink, retention: PostgresRetention
) -> None:
    write(alerts, Effects(alerts=[alert(1)], sessions=[session(1, ended=True)]))
    long_ago(database)
    for table in ("alerts", "sessions"):
        for name in attached(database, table):
            database.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
    dropped = retention.tend()
    assert [name.rpartition("_20")[0] for name in dropped] == ["sessions"]
    assert count(database, "alerts") == 1, "an open alert went with its partition"


def test_one_process_tends_at_a_time(
    dsn: str,
    database: psycopg.Connection,
    rollups: PostgresRollupSink,
    retention: PostgresRetention,
) -> None:
    write(rollups, minutes(OLD_US))
    long_ago(database)
    with psycopg.connect(dsn) as another:
        another.execute("SELECT pg_advisory_lock(hashtext('time_partitions'))")
        assert retention.tend() == []
        another.execute("SELECT pg_advisory_unlock_all()")  # the server ends a session later
    assert len(retention.tend()) == 1


def test_partitions_of_an_older_release_are_known(
    dsn: str, database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    write(rollups, minutes(OLD_US))
    before = database.execute("SELECT name, parent, starts, ends FROM time_partitions").fetchall()
    database.execute("DROP TABLE time_partitions")
    database.execute("DELETE FROM migrations WHERE name LIKE '0005%'")
    assert migrate(dsn) == ["0005_time_partitions.sql"]
    after = database.execute("SELECT name, parent, starts, ends FROM time_partitions").fetchall()
    assert before == after


def test_a_query_of_a_day_reads_the_partitions_of_that_day(
    database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    write(rollups, minutes(*(NOW_US - days * DAY_US for days in range(5))))
    query = SQL("EXPLAIN ") + rollups_query("minute")
    day_us = NEW_US // DAY_US * DAY_US
    asked = {
        "tenant": "default", "device_id": "pump-1", "limit": 2000,
        "from_us": day_us, "to_us": day_us + DAY_US,
    }  # fmt: skip
    plan = "\n".join(line for (line,) in database.execute(query, asked).fetchall())
    assert partition_of("rollup_minute", NEW_US) in plan
    others = attached(database, "rollup_minute") - {partition_of("rollup_minute", NEW_US)}
    assert not any(name in plan for name in others), f"other days are read: {plan}"
