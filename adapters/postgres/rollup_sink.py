"""EffectSink "rollups": minutes, hours and days, in the background."""

from typing import Any, Final

import numpy as np
import psycopg
from psycopg.sql import SQL, Identifier

from adapters.postgres.effect_sink import PostgresSink
from adapters.postgres.marks import forget_views
from adapters.postgres.rollup_upsert import upsert
from adapters.postgres.time_partitions import TimePartitions
from fleetpulse.effects import Effects, Resolution, RollupRows

_FORGET: Final = "DELETE FROM {table} WHERE tenant = %s AND device_id = %s"
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
        self._profiles: set[str] = set()
        """Those that the database has."""

    def prepare(self, connection: psycopg.Connection[Any], rollups: list[RollupRows]) -> None:
        """Make the partitions and the profiles that the rows need."""
        for resolution, batches in self._by_resolution(rollups).items():
            buckets_us = np.concatenate([rows.bucket_us for rows in batches])
            self.of[resolution].ensure(connection, buckets_us)
            for profile in (rows.profile for rows in batches):
                if profile.ref not in self._profiles:
                    row = (profile.ref, list(profile.channels), profile.to_yaml())
                    connection.execute(_PROFILE, row)
                    self._profiles.add(profile.ref)

    def write(
        self,
        connection: psycopg.Connection[Any],
        rollups: list[RollupRows],
        *,
        view_epoch: int = 0,
        scored: bool = True,
    ) -> None:
        """Insert or replace the rows, unless those there are of a later view.

        scored: otherwise a row that is there keeps its scores.
        """
        grouped = self._by_resolution(rollups)
        if grouped:
            tables = {resolution: partitions.table for resolution, partitions in self.of.items()}
            upsert(connection, tables, grouped, view_epoch=view_epoch, scored=scored)

    def forget(self, connection: psycopg.Connection[Any], tenant: str, device_id: str) -> None:
        """Delete a device's rows."""
        for resolution in self.of:
            table = Identifier(self.of[resolution].table)
            connection.execute(SQL(_FORGET).format(table=table), (tenant, device_id))

    def _by_resolution(self, rollups: list[RollupRows]) -> dict[Resolution, list[RollupRows]]:
        """In one order, so that two writers do not wait for each other."""
        grouped: dict[Resolution, list[RollupRows]] = {each: [] for each in self.of}
        for rows in rollups:
            if rows.resolution in self.of and len(rows.devices):
                grouped[rows.resolution].append(rows)
        return {resolution: batches for resolution, batches in grouped.items() if batches}


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

    def _write_bulk(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        self._tables.write(connection, effects.rollups)

    def _apply(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        for gone in effects.forgotten:
            forget_views(connection, self._topic_id, gone)
            self._tables.forget(connection, gone.tenant, gone.device_id)
