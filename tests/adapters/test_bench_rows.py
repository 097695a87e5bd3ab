"""The ways that are compared write the same, and the questions are asked of what was filled."""

import numpy as np
import psycopg
import pytest

from adapters.postgres.rollup_sink import RollupTables
from benchmarks.rows.asking import ask_all
from benchmarks.rows.filling import ROWS_PER_DEVICE, fill
from benchmarks.rows.made import made_rows
from benchmarks.rows.ways import WAYS

MINUTE_US = 1_700_000_040_000_000
KEYS = [f"default/pump-{number}".encode() for number in range(7)]


def test_every_way_writes_the_same_rows(database: psycopg.Connection) -> None:
    rows = made_rows("minute", KEYS, MINUTE_US, np.random.default_rng(1))
    RollupTables().prepare(database, [rows])
    found = {}
    for name, way in WAYS.items():
        database.execute("TRUNCATE rollup_minute")
        way(database, rows)
        cursor = database.execute("SELECT * FROM rollup_minute ORDER BY device_id", binary=True)
        found[name] = cursor.fetchall()
    assert len(found["arrays, shipped"]) == len(KEYS)
    assert all(rows == found["arrays, shipped"] for rows in found.values())


@pytest.mark.parametrize("way", ["arrays, shipped", "COPY + staging", "executemany"])
def test_a_second_writing_replaces_the_first(database: psycopg.Connection, way: str) -> None:
    rng = np.random.default_rng(1)
    first, second = (made_rows("minute", KEYS, MINUTE_US, rng) for _ in range(2))
    RollupTables().prepare(database, [first])
    for rows in (first, second):
        WAYS[way](database, rows)
    found = database.execute("SELECT score_max FROM rollup_minute ORDER BY device_id").fetchall()
    assert [value for (value,) in found] == second.score_max.tolist()


def test_what_was_filled_is_found(
    database: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.rows.asking.TIMES", 3)
    filled = fill(database, 10 * ROWS_PER_DEVICE, lambda *_: None)
    assert filled.rows == sum(
        database.execute(f"SELECT count(*) FROM rollup_{each}").fetchone()[0]  # type: ignore[index]
        for each in ("minute", "hour", "day")
    )
    answers = ask_all(dsn, filled.devices, lambda *_: None)
    assert [each.rows for each in answers] == [1440, 240, 240]
    assert all("Index Scan" in "\n".join(each.plan) for each in answers)
