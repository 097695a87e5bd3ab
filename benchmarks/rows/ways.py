"""Ways to write rollup rows: the shipped one, and those that it was chosen from."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
from psycopg.sql import SQL

from adapters.postgres.rollup_sink import RollupTables
from benchmarks.rows.copy_rows import COPY_END, COPY_HEAD, ROLLUP_COLUMNS, copied
from fleetpulse.effects import RollupRows

Way = Callable[[psycopg.Connection[Any], RollupRows], None]
"""Writes minutes in a transaction of its own."""

_UPDATE: Final = """
ON CONFLICT (tenant, device_id, bucket) DO UPDATE SET
    (profile, revision, view_epoch, count, min, max, mean, std,
        score_count, score_over, score_min, score_max, score_mean, score_std)
    = (excluded.profile, excluded.revision, excluded.view_epoch, excluded.count, excluded.min,
        excluded.max, excluded.mean, excluded.std, excluded.score_count, excluded.score_over,
        excluded.score_min, excluded.score_max, excluded.score_mean, excluded.score_std)
WHERE (rollup_minute.view_epoch, rollup_minute.revision)
    <= (excluded.view_epoch, excluded.revision)
"""
_STAGING: Final = """
CREATE TEMP TABLE IF NOT EXISTS staging (LIKE rollup_minute INCLUDING DEFAULTS)
ON COMMIT DELETE ROWS
"""
_FROM_STAGING: Final = SQL("""
INSERT INTO rollup_minute ({columns})
SELECT DISTINCT ON (tenant, device_id, bucket) {columns} FROM staging
ORDER BY tenant, device_id, bucket, ctid DESC
{update}
""").format(columns=SQL(ROLLUP_COLUMNS), update=SQL(_UPDATE))
_ROW: Final = SQL("INSERT INTO rollup_minute ({columns}) VALUES ({values}) {update}").format(
    columns=SQL(ROLLUP_COLUMNS),
    values=SQL(", ").join(
        SQL("epoch_us(%s)" if column == "bucket" else "%s") for column in ROLLUP_COLUMNS.split(", ")
    ),
    update=SQL(_UPDATE),
)
_shipped: Final = RollupTables()


def arrays(connection: psycopg.Connection[Any], rows: RollupRows) -> None:
    """As shipped: arrays, unnested by the server."""
    with connection.transaction():
        _shipped.write(connection, [rows])


def staging(connection: psycopg.Connection[Any], rows: RollupRows) -> None:
    """COPY into a temporary table, and from there."""
    with connection.transaction():
        connection.execute(_STAGING)
        copy_into(connection, "staging", [rows])
        connection.execute(_FROM_STAGING)


def row_by_row(connection: psycopg.Connection[Any], rows: RollupRows) -> None:
    """executemany, which sends them in a pipeline."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_ROW, list(_tuples(rows)))


def copy_only(connection: psycopg.Connection[Any], rows: RollupRows) -> None:
    """The bound: new rows only, a second one of a bucket would fail."""
    with connection.transaction():
        copy_into(connection, "rollup_minute", [rows])


WAYS: Final[dict[str, Way]] = {
    "arrays, shipped": arrays,
    "COPY + staging": staging,
    "executemany": row_by_row,
    "COPY, no upsert": copy_only,
}


def copy_into(connection: psycopg.Connection[Any], table: str, batches: list[RollupRows]) -> None:
    """COPY in binary."""
    statement = f"COPY {table} ({ROLLUP_COLUMNS}) FROM STDIN (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(b"".join([COPY_HEAD, *map(copied, batches), COPY_END]))


def _tuples(rows: RollupRows) -> Iterator[tuple[Any, ...]]:
    for at, key in enumerate(rows.devices):
        tenant, _, device = key.decode().partition("/")
        per_channel = (rows.count, rows.min, rows.max, rows.mean, rows.std)
        scores = (
            rows.score_count, rows.score_over, rows.score_min,
            rows.score_max, rows.score_mean, rows.score_std,
        )  # fmt: skip
        yield (
            tenant, device, int(rows.bucket_us[at]), rows.profile.ref, 0, 0,
            *(values[at].tolist() for values in per_channel),
            *(values[at].item() for values in scores),
        )  # fmt: skip
