"""EffectSink "rollups": minutes, hours and days, in the background."""

from typing import Any, Final

import numpy as np
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from adapters.postgres.binary_copy import ROLLUP_COLUMNS, copy_data
from adapters.postgres.effect_sink import PostgresSink
from adapters.postgres.marks import end_jobs
from adapters.postgres.time_partitions import TimePartitions
from fleetpulse.effects import Effects, Resolution, RollupRows

_STAGING: Final = """
CREATE TEMP TABLE IF NOT EXISTS {staging} (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS
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
_FORGET: Final = "DELETE FROM {table} WHERE tenant = %s AND device_id = %s"
_SET_EPOCH: Final = "UPDATE {staging} SET view_epoch = %s"
_PROFILE: Final = """
INSERT INTO profiles (profile, channels, definition) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""


class RollupTables:
    """Writes rollups of each resolution; the same for live's sink and for promotions."""

    def __init__(self) -> None:
        self.of: dict[Resolution, TimePartitions] = {
            "minute": TimePartitions("rollup_minute"),
            "hour": TimePartitions("rollup_hour"),
            "day": TimePartitions("rollup_day"),
        }

    def prepare(self, connection: psycopg.Connection[Any], rollups: list[RollupRows]) -> None:
        """Make the partitions that the rows need."""
        for resolution, batches in self._by_resolution(rollups).items():
            buckets_us = np.concatenate([rows.bucket_us for rows in batches])
            self.of[resolution].ensure(connection, buckets_us)

    def stage(self, connection: psycopg.Connection[Any], rollups: list[RollupRows]) -> None:
        """Send the rows to where they lock nothing."""
        for resolution, batches in self._by_resolution(rollups).items():
            connection.execute(self._sql(_STAGING, resolution))
            with connection.cursor() as cursor, cursor.copy(self._sql(_COPY, resolution)) as copy:
                copy.write(copy_data(batches))

    def apply(
        self,
        connection: psycopg.Connection[Any],
        rollups: list[RollupRows],
        *,
        view_epoch: int = 0,
    ) -> None:
        """Write what was staged."""
        for resolution, batches in self._by_resolution(rollups).items():
            for profile in {rows.profile.ref: rows.profile for rows in batches}.values():
                connection.execute(
                    _PROFILE, (profile.ref, list(profile.channels), profile.to_yaml())
                )
            if view_epoch:
                connection.execute(self._sql(_SET_EPOCH, resolution), (view_epoch,))
            connection.execute(self._sql(_UPSERT, resolution))

    def forget(self, connection: psycopg.Connection[Any], tenant: str, device_id: str) -> None:
        """Delete a device's rows."""
        for resolution in self.of:
            connection.execute(self._sql(_FORGET, resolution), (tenant, device_id))

    def _by_resolution(self, rollups: list[RollupRows]) -> dict[Resolution, list[RollupRows]]:
        """In one order, so that two writers do not wait for each other."""
        grouped: dict[Resolution, list[RollupRows]] = {each: [] for each in self.of}
        for rows in rollups:
            if rows.resolution in self.of and len(rows.devices):
                grouped[rows.resolution].append(rows)
        return {resolution: batches for resolution, batches in grouped.items() if batches}

    def _sql(self, template: str, resolution: Resolution) -> Composed:
        return SQL(template).format(
            table=Identifier(self.of[resolution].table),
            staging=Identifier(f"staging_{resolution}"),
            columns=SQL(ROLLUP_COLUMNS),
        )


class PostgresRollupSink(PostgresSink):
    """Many rows at once, at the turn of a minute; alerts do not wait for them."""

    name = "rollups"

    def __init__(self, dsn: str, *, topic_id: str) -> None:
        super().__init__(dsn, topic_id=topic_id)
        self._tables = RollupTables()
        self._partitions = tuple(self._tables.of.values())

    def _has_rows(self, effects: Effects) -> bool:
        rollups = any(rows.resolution in self._tables.of for rows in effects.rollups)
        return rollups or bool(effects.forgotten)

    def _prepare(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        self._tables.prepare(connection, effects.rollups)

    def _stage(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        self._tables.stage(connection, effects.rollups)

    def _apply(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        self._tables.apply(connection, effects.rollups)
        for gone in effects.forgotten:
            end_jobs(connection, gone.tenant, gone.device_id)
            self._tables.forget(connection, gone.tenant, gone.device_id)
