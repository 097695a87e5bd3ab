"""EffectSink "rollups": minutes, hours and days, in the background."""

from typing import Any, Final

import numpy as np
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from adapters.postgres.binary_copy import ROLLUP_COLUMNS, copy_data
from adapters.postgres.effect_sink import PostgresSink
from adapters.postgres.time_partitions import TimePartitions
from fleetpulse.effects import Effects, Resolution, RollupRows

_STAGING: Final = """
CREATE TEMP TABLE IF NOT EXISTS {staging} (LIKE {table}) ON COMMIT DELETE ROWS
"""
_COPY: Final = "COPY {staging} ({columns}) FROM STDIN (FORMAT binary)"
# A device that changes its profile within a bucket may close it twice: the last row counts.
# An older view or revision never replaces a newer one.
_UPSERT: Final = """
INSERT INTO {table} ({columns})
SELECT DISTINCT ON (tenant, device_id, bucket) {columns} FROM {staging}
ORDER BY tenant, device_id, bucket, ctid DESC
ON CONFLICT (tenant, device_id, bucket) DO UPDATE SET
    (profile, revision, view_epoch, count, min, max, mean, std,
        score_count, score_over, score_min, score_max, score_mean, score_std)
    = (excluded.profile, excluded.revision, excluded.view_epoch, excluded.count, excluded.min,
        excluded.max, excluded.mean, excluded.std, excluded.score_count, excluded.score_over,
        excluded.score_min, excluded.score_max, excluded.score_mean, excluded.score_std)
WHERE ({table}.view_epoch, {table}.revision) <= (excluded.view_epoch, excluded.revision)
"""
_PROFILE: Final = """
INSERT INTO profiles (profile, channels, definition) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""


class PostgresRollupSink(PostgresSink):
    """Many rows at once, at the turn of a minute; alerts do not wait for them."""

    name = "rollups"

    def __init__(self, dsn: str, *, topic_id: str) -> None:
        super().__init__(dsn, topic_id=topic_id)
        self._tables: dict[Resolution, TimePartitions] = {
            "minute": TimePartitions("rollup_minute", "D"),
            "hour": TimePartitions("rollup_hour", "M"),
            "day": TimePartitions("rollup_day", "Y"),
        }
        self._partitions = tuple(self._tables.values())

    def _has_rows(self, effects: Effects) -> bool:
        return any(rows.resolution in self._tables for rows in effects.rollups)

    def _prepare(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        for resolution, batches in self._by_resolution(effects).items():
            buckets_us = np.concatenate([rows.bucket_us for rows in batches])
            self._tables[resolution].ensure(connection, buckets_us)

    def _stage(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        for resolution, batches in self._by_resolution(effects).items():
            connection.execute(self._sql(_STAGING, resolution))
            with connection.cursor() as cursor, cursor.copy(self._sql(_COPY, resolution)) as copy:
                copy.write(copy_data(batches))

    def _apply(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        for resolution, batches in self._by_resolution(effects).items():
            for profile in {rows.profile.ref: rows.profile for rows in batches}.values():
                connection.execute(
                    _PROFILE, (profile.ref, list(profile.channels), profile.to_yaml())
                )
            connection.execute(self._sql(_UPSERT, resolution))

    def _by_resolution(self, effects: Effects) -> dict[Resolution, list[RollupRows]]:
        grouped: dict[Resolution, list[RollupRows]] = {}
        for rows in effects.rollups:
            if rows.resolution in self._tables and len(rows.devices):
                grouped.setdefault(rows.resolution, []).append(rows)
        return grouped

    def _sql(self, template: str, resolution: Resolution) -> Composed:
        table = self._tables[resolution].table
        return SQL(template).format(
            table=Identifier(table),
            staging=Identifier(f"staging_{resolution}"),
            columns=SQL(ROLLUP_COLUMNS),
        )
