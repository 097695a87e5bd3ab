"""Rollups in PostgreSQL: bits, resolutions, repetition, owners."""

from dataclasses import replace

import numpy as np
import psycopg
import pytest

from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.effects import Effects, Resolution
from fleetpulse.errors import DatabaseUnavailable, Fenced
from fleetpulse.ports import Advance
from tests.adapters.written import write
from tests.contracts.cases import PROFILE, effects


@pytest.mark.parametrize("year", [1999, 2013, 2026, 2041])
def test_event_time_may_lie_anywhere(
    database: psycopg.Connection, rollups: PostgresRollupSink, year: int
) -> None:
    batch = effects(0, 1, 2)
    bucket_us = np.array(
        [
            int(np.datetime64(f"{year}-{at}", "us").astype(np.int64))
            for at in ("01-01T00:00", "06-30T23:59", "12-31T23:59")
        ]
    )
    write(rollups, Effects(rollups=[replace(batch.rollups[0], bucket_us=bucket_us)]))
    rows = database.execute(
        "SELECT extract(epoch FROM bucket)::bigint * 1000000, tenant, device_id, profile, count,"
        " min, score_max FROM rollup_minute ORDER BY bucket"
    ).fetchall()
    assert [each[0] for each in rows] == bucket_us.tolist()
    assert rows[1][1:] == ("default", "pump-1", "pump@1", [1, 1], [2.0, 3.0], 1.0)


def test_absent_values_stay_absent(
    database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    batch = effects(0).rollups[0]
    absent = replace(batch, min=np.array([[np.nan, 1.0]]), score_max=np.array([np.nan]))
    write(rollups, Effects(rollups=[absent]))
    row = database.execute("SELECT min, score_max FROM rollup_minute").fetchone()
    assert row is not None
    assert np.array_equal(row[0], [np.nan, 1.0], equal_nan=True)
    assert np.isnan(row[1])


def test_the_last_row_of_a_bucket_counts(
    database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    first = effects(0).rollups[0]
    second = replace(first, mean=first.mean + 10)
    write(rollups, Effects(rollups=[first, second]))
    write(rollups, Effects(rollups=[replace(first, mean=first.mean + 20)]))
    assert database.execute("SELECT mean FROM rollup_minute").fetchall() == [([20.0, 21.0],)]


def test_a_corrected_view_is_not_replaced_by_an_older_one(
    database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    write(rollups, effects(0))
    database.execute("UPDATE rollup_minute SET view_epoch = 1, mean = '{7,7}'")
    write(rollups, effects(0))
    assert database.execute("SELECT mean FROM rollup_minute").fetchall() == [([7.0, 7.0],)]


def test_hours_and_days_have_their_tables_and_seconds_none(
    database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    batch = effects(0).rollups[0]
    write(
        rollups,
        Effects(rollups=[replace(batch, resolution=each) for each in ("second", "hour", "day")]),
    )
    for table, rows in (("rollup_minute", 0), ("rollup_hour", 1), ("rollup_day", 1)):
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,)
    assert database.execute("SELECT profile, channels FROM profiles").fetchall() == [
        ("pump@1", ["flow", "heat"])
    ]


def test_rows_of_every_resolution_and_width_keep_their_bits(
    database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    wide = effects(0, 1).rollups[0]
    odd = np.array([[np.pi, -0.0], [5e-324, np.nan]])
    wide = replace(wide, mean=odd, score_std=np.array([0.1, np.nan]))
    narrow = replace(
        wide,
        profile=PROFILE.model_copy(update={"name": "fan", "channels": ("heat",)}),
        devices=[b"other/fan-1", b"other/fan-2"],
        **{name: getattr(wide, name)[:, 1:] for name in ("count", "min", "max", "mean", "std")},
    )
    resolutions: tuple[Resolution, ...] = ("minute", "hour", "day")
    write(
        rollups,
        Effects(rollups=[replace(b, resolution=r) for b in (narrow, wide) for r in resolutions]),
    )
    for resolution in resolutions:
        rows = database.execute(
            f"SELECT tenant, profile, mean, score_std FROM rollup_{resolution}"
            " ORDER BY tenant, device_id, bucket",
            binary=True,
        ).fetchall()
        assert [row[:2] for row in rows] == [("default", "pump@1")] * 2 + [("other", "fan@1")] * 2
        assert np.array([row[2] for row in rows[:2]]).tobytes() == odd.tobytes()
        assert np.array([row[2] for row in rows[2:]]).tobytes() == odd[:, 1:].tobytes()
        assert np.array([row[3] for row in rows[2:]]).tobytes() == wide.score_std.tobytes()


def test_the_last_of_two_profiles_of_a_bucket_counts(
    database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    first = effects(0, 1).rollups[0]
    later = PROFILE.model_copy(update={"revision": 2})
    second = replace(effects(1).rollups[0], profile=later)
    write(rollups, Effects(rollups=[first, second]))
    rows = database.execute("SELECT profile FROM rollup_minute ORDER BY bucket").fetchall()
    assert rows == [("pump@1",), ("pump@2",)]


def test_an_owner_stopped_behind_its_rows_does_not_lock_its_successor_out(
    dsn: str, database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    """It holds the rows, not the progress: the successor claims at once and writes soon."""
    claim = rollups.claim([0])[0]
    zombie = PostgresRollupSink(dsn, topic_id="topic")
    connection = zombie._connection = psycopg.connect(dsn, autocommit=True)
    zombie._prepare(connection, effects(0))
    connection.execute("SET idle_in_transaction_session_timeout = 500")
    connection.execute("BEGIN")
    zombie._write_bulk(connection, effects(0))
    successor = PostgresRollupSink(dsn, topic_id="topic")
    owner_epoch = successor.claim([0])[0].owner_epoch
    successor.write(effects(0), {0: Advance(owner_epoch, 0, 1)})
    with pytest.raises(DatabaseUnavailable):
        zombie.write(effects(0), {0: Advance(claim.owner_epoch, 0, 1)})
    with pytest.raises(Fenced):
        zombie.write(effects(5), {0: Advance(claim.owner_epoch, 1, 2)})
    assert database.execute("SELECT count(*) FROM rollup_minute").fetchone() == (1,)
    for sink in (zombie, successor):
        sink.close()


def test_a_dropped_partition_is_made_again(
    database: psycopg.Connection, rollups: PostgresRollupSink
) -> None:
    write(rollups, effects(0))
    for (name,) in database.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'rollup_minute'::regclass"
    ).fetchall():
        database.execute(f"DROP TABLE {name}")
    write(rollups, effects(1))
    assert database.execute("SELECT count(*) FROM rollup_minute").fetchone() == (1,)
