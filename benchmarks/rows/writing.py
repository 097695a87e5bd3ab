"""What a written row costs, by way and size of the write, and what progress adds to it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg

from adapters.postgres.connection import connect
from adapters.postgres.rollup_sink import PostgresRollupSink, RollupTables
from benchmarks.rows.made import device_ids, made_rows
from benchmarks.rows.ways import WAYS
from fleetpulse.effects import Effects, RollupRows
from fleetpulse.ports import Advance

SIZES: Final = (100, 1_000, 10_000)
ROWS: Final = 30_000
"""Of each way and size."""
SLOW_ROWS: Final = 4_000
WITH_PROGRESS: Final = "arrays + progress"
PARTITIONS: Final = 4
"""Whose progress advances with each write: a shard's."""
MINUTE_US: Final = 60_000_000
BEGIN_US: Final = 1_600_000_000_000_000 // MINUTE_US * MINUTE_US

_SINK: Final = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'fleetpulse-rollups'
"""

Show = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class WriteCost:
    """Of one way and size. CPU per row: of the server's process, and of the writer's thread."""

    way: str
    rows_per_write: int
    rows_per_s: float
    server_us_per_row: float
    client_us_per_row: float


@dataclass(slots=True)
class _Spent:
    rows: int = 0
    wall_s: float = 0.0
    server_s: float = 0.0
    client_s: float = 0.0

    def cost(self, way: str, size: int) -> WriteCost:
        return WriteCost(
            way,
            size,
            round(self.rows / self.wall_s, 1),
            round(self.server_s / self.rows * 1e6, 2),
            round(self.client_s / self.rows * 1e6, 2),
        )


def measure_writing(dsn: str, show: Show) -> list[WriteCost]:
    """All ways in turns, so that what else the machine does meets each alike."""
    sink = PostgresRollupSink(dsn, topic_id="bench")
    costs: list[WriteCost] = []
    with connect(dsn, purpose="bench") as connection:
        minutes = _minutes(connection)
        for size in SIZES:
            keys = [f"default/{each}".encode() for each in device_ids(size)]
            spent = {way: _Spent() for way in (*WAYS, WITH_PROGRESS)}
            rounds = max(3, ROWS // size)
            for number in range(rounds):
                for way, each in spent.items():
                    if way == "executemany" and each.rows >= max(SLOW_ROWS, 2 * size):
                        continue
                    rows = next(minutes)(keys)
                    into = _Spent() if number == 0 else each  # the first of a way warms it up
                    if way == WITH_PROGRESS:
                        _write_with_progress(connection, sink, rows, into)
                    else:
                        with _measured(connection.info.backend_pid, into, len(keys)):
                            WAYS[way](connection, rows)
                show(f"write {size:,} rows", number + 1, rounds)
            costs += [each.cost(way, size) for way, each in spent.items()]
    sink.close()
    return costs


def _minutes(connection: psycopg.Connection[Any]) -> Iterator[Callable[[list[bytes]], RollupRows]]:
    """Each one of a minute that no row is of yet; its partition is there."""
    rng = np.random.default_rng(1)
    tables = RollupTables()
    bucket_us = BEGIN_US
    while True:
        tables.prepare(connection, [made_rows("minute", [b"default/none"], bucket_us, rng)])
        yield partial(_minute, rng, bucket_us)
        bucket_us += MINUTE_US


def _minute(rng: np.random.Generator, bucket_us: int, keys: list[bytes]) -> RollupRows:
    return made_rows("minute", keys, bucket_us, rng)


def _write_with_progress(
    connection: psycopg.Connection[Any],
    sink: PostgresRollupSink,
    rows: RollupRows,
    spent: _Spent,
) -> None:
    claims = sink.claim(range(PARTITIONS))
    step = {
        p: Advance(c.owner_epoch, c.next_offset or 0, (c.next_offset or 0) + 1)
        for p, c in claims.items()
    }
    row = connection.execute(_SINK).fetchone()
    assert row is not None
    with _measured(row[0], spent, len(rows.devices)):
        sink.write(Effects(rollups=[rows]), step)


@contextmanager
def _measured(server_pid: int, spent: _Spent, rows: int) -> Iterator[None]:
    """Adds what happens within to what was spent."""
    schedule = Path(f"/proc/{server_pid}/schedstat")

    def server_s() -> float:
        return int(schedule.read_text(encoding="ascii").split()[0]) / 1e9

    wall_s, before_s, client_s = time.perf_counter(), server_s(), time.thread_time()
    yield
    spent.rows += rows
    spent.wall_s += time.perf_counter() - wall_s
    spent.server_s += server_s() - before_s
    spent.client_s += time.thread_time() - client_s
