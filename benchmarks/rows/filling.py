"""Fills the rollup tables with days of a fleet, much faster than the days last.

A partition is filled before it has an index and before it hangs on its table, in the order in
which sinks would have written it: bucket by bucket, all devices.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import psycopg

from benchmarks.rows.copy_rows import COPY_END, COPY_HEAD, ROLLUP_COLUMNS, copied
from benchmarks.rows.made import PROFILE, device_ids, made_rows
from fleetpulse.effects import RESOLUTION_S, Resolution

DAY_US: Final = 86_400_000_000
END_US: Final = 1_790_000_000_000_000 // DAY_US * DAY_US
"""Midnight: where the filled days end."""
DAYS: Final[dict[Resolution, int]] = {"minute": 3, "hour": 28, "day": 28}
ROWS_PER_DEVICE: Final = sum(
    days * 86_400 // RESOLUTION_S[resolution] for resolution, days in DAYS.items()
)
_UNIT: Final[dict[Resolution, str]] = {"minute": "D", "hour": "M", "day": "Y"}

Show = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Filled:
    """What the tables hold. bytes_per_row: heap and indexes of a resolution."""

    devices: int
    rows: int
    seconds: float
    bytes_per_row: dict[str, float]


def fill(connection: psycopg.Connection[Any], rows: int, show: Show) -> Filled:
    """About so many rows in all."""
    connection.execute("SET statement_timeout = 0")
    begun_s = time.monotonic()
    devices = max(10, round(rows / ROWS_PER_DEVICE))
    keys = [f"default/{each}".encode() for each in device_ids(devices)]
    rng = np.random.default_rng(2)
    connection.execute(
        "INSERT INTO profiles (profile, channels, definition) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (PROFILE.ref, list(PROFILE.channels), PROFILE.to_yaml()),
    )
    done = 0
    for resolution, days in DAYS.items():
        step_us = RESOLUTION_S[resolution] * 1_000_000
        buckets = np.arange(END_US - days * DAY_US, END_US, step_us)
        for starts, ends, part in _partitions(resolution, buckets):
            for _ in _fill_partition(connection, resolution, starts, ends, part, keys, rng):
                done += len(keys)
                show("fill", done, devices * ROWS_PER_DEVICE)
    connection.execute("VACUUM ANALYZE")
    return Filled(
        devices,
        devices * ROWS_PER_DEVICE,
        round(time.monotonic() - begun_s, 1),
        {each: _bytes_per_row(connection, each, devices) for each in DAYS},
    )


def _partitions(
    resolution: Resolution, buckets: np.ndarray
) -> Iterator[tuple[np.datetime64, np.datetime64, np.ndarray]]:
    units = buckets.view("datetime64[us]").astype(f"datetime64[{_UNIT[resolution]}]")
    for unit in np.unique(units):
        yield (
            unit.astype("datetime64[D]"),
            (unit + 1).astype("datetime64[D]"),
            buckets[units == unit],
        )


def _fill_partition(
    connection: psycopg.Connection[Any],
    resolution: Literal["minute", "hour", "day", "second"],
    starts: np.datetime64,
    ends: np.datetime64,
    buckets: np.ndarray,
    keys: list[bytes],
    rng: np.random.Generator,
) -> Iterator[None]:
    assert resolution != "second"
    table = f"rollup_{resolution}"
    name = f"{table}_{starts}".replace("-", "_")
    copy_rows = f"COPY {name} ({ROLLUP_COLUMNS}) FROM STDIN (FORMAT binary, FREEZE)"
    with connection.transaction():
        connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS)".encode())
        with connection.cursor() as cursor, cursor.copy(copy_rows.encode()) as copy:
            copy.write(COPY_HEAD)
            for bucket_us in buckets.tolist():
                copy.write(copied(made_rows(resolution, keys, bucket_us, rng)))
                yield
            copy.write(COPY_END)
        connection.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{starts} 00:00:00+00') TO ('{ends} 00:00:00+00')".encode()
        )


def _bytes_per_row(
    connection: psycopg.Connection[Any], resolution: Resolution, devices: int
) -> float:
    row = connection.execute(
        "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits"
        " WHERE inhparent = %s::regclass",
        (f"rollup_{resolution}",),
    ).fetchone()
    assert row is not None
    rows = devices * DAYS[resolution] * 86_400 // RESOLUTION_S[resolution]
    return round(int(row[0]) / rows, 1)
