"""Reads on PostgreSQL: what the API asks, on a small pool of connections that only read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier
from psycopg_pool import AsyncConnectionPool

from adapters.postgres.connection import LIMITS, STATEMENT_TIMEOUT_MS, unavailable
from fleetpulse.identity import DeviceKey
from fleetpulse.reads import AlertFilter, AlertKey, AlertRow, DeviceRow, Resolution, RollupRow

CONNECTIONS_MAX: Final = 4
WAIT_S: Final = 5.0
"""For a free connection."""


def _us(column: str) -> Composed:
    """A time column as epoch microseconds, exactly."""
    return SQL("(extract(epoch FROM {0}) * 1000000)::bigint AS {1}").format(
        Identifier(column), Identifier(f"{column}_us")
    )


_DEVICES: Final = SQL("""
SELECT tenant, device_id, profile, {first_seen},
    EXISTS (SELECT FROM alerts a WHERE a.tenant = d.tenant AND a.device_id = d.device_id
        AND a.cleared_at IS NULL) AS alert_open
FROM devices d
WHERE tenant = %(tenant)s AND {which}
ORDER BY device_id LIMIT %(limit)s
""")
_LISTED: Final = SQL("device_id > %(after)s AND strpos(lower(device_id), lower(%(search)s)) > 0")
_NAMED: Final = SQL("device_id = %(device_id)s")
_ALERTS: Final = SQL("""
SELECT alert_id, tenant, device_id, {raised_at}, {cleared_at}, {window_start}, {window_end},
    score, peak_score, threshold, model, profile
FROM alerts
WHERE tenant = %(tenant)s
    AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s)
    AND (%(open)s::boolean IS NULL OR (cleared_at IS NULL) = %(open)s)
    AND (%(from_us)s::bigint IS NULL OR raised_at >= epoch_us(%(from_us)s))
    AND (%(to_us)s::bigint IS NULL OR raised_at < epoch_us(%(to_us)s))
    AND (%(before_us)s::bigint IS NULL
        OR (raised_at, alert_id) < (epoch_us(%(before_us)s), %(before_id)s::text))
ORDER BY raised_at DESC, alert_id DESC LIMIT %(limit)s
""").format(**{c: _us(c) for c in ("raised_at", "cleared_at", "window_start", "window_end")})
_ROLLUPS: Final = SQL("""
SELECT {bucket}, profile, coalesce(p.channels, ARRAY[]::text[]) AS channels, revision, view_epoch,
    count, min, max, mean, std,
    score_count, score_over, score_min, score_max, score_mean, score_std
FROM {table} LEFT JOIN profiles p USING (profile)
WHERE tenant = %(tenant)s AND device_id = %(device_id)s
    AND bucket >= epoch_us(%(from_us)s) AND bucket < epoch_us(%(to_us)s)
ORDER BY bucket LIMIT %(limit)s
""")
_OPEN: Final = SQL("SELECT DISTINCT tenant, device_id FROM alerts WHERE cleared_at IS NULL")

T = TypeVar("T")


class PostgresReads:
    """Reads on a running loop; connections open when they are needed."""

    def __init__(self, dsn: str) -> None:
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            dsn,
            min_size=0,
            max_size=CONNECTIONS_MAX,
            open=False,
            timeout=WAIT_S,
            kwargs={"autocommit": True, "application_name": "fleetpulse-reads", **LIMITS},
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
        )

    async def devices(self, tenant: str, search: str, after: str, limit: int) -> list[DeviceRow]:
        """In order of id, those after `after` whose id contains `search`."""
        asked = {"tenant": tenant, "search": search, "after": after, "limit": limit}
        return await self._rows(DeviceRow, _devices(_LISTED), asked)

    async def device(self, tenant: str, device_id: str) -> DeviceRow | None:
        """One device."""
        asked = {"tenant": tenant, "device_id": device_id, "limit": 1}
        return next(iter(await self._rows(DeviceRow, _devices(_NAMED), asked)), None)

    async def rollups(
        self,
        tenant: str,
        device_id: str,
        resolution: Resolution,
        from_us: int,
        to_us: int,
        limit: int,
    ) -> list[RollupRow]:
        """Buckets that start in [from_us, to_us), oldest first."""
        asked = {
            "tenant": tenant,
            "device_id": device_id,
            "from_us": from_us,
            "to_us": to_us,
            "limit": limit,
        }
        query = _ROLLUPS.format(bucket=_us("bucket"), table=Identifier(f"rollup_{resolution}"))
        return await self._rows(RollupRow, query, asked)

    async def alerts(
        self, where: AlertFilter, before: AlertKey | None, limit: int
    ) -> list[AlertRow]:
        """Newest first, those older than `before`."""
        asked = {
            "tenant": where.tenant,
            "device_id": where.device_id,
            "open": where.open,
            "from_us": where.from_us,
            "to_us": where.to_us,
            "before_us": before.raised_at_us if before else None,
            "before_id": before.alert_id if before else None,
            "limit": limit,
        }
        return await self._rows(AlertRow, _ALERTS, asked)

    async def open_alerts(self) -> set[bytes]:
        """Record keys of the devices with an open alert."""
        async with self._connection() as connection:
            cursor = await connection.execute(_OPEN)
            return {DeviceKey(*row).encode() for row in await cursor.fetchall()}

    async def ping(self) -> None:
        """Return if the database answers."""
        async with self._connection() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def _rows(self, kind: type[T], query: Composed, asked: dict[str, Any]) -> list[T]:
        async with self._connection() as connection:
            cursor = connection.cursor(row_factory=class_row(kind))
            return await (await cursor.execute(query, asked)).fetchall()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        await self._pool.open()
        with unavailable():
            async with self._pool.connection() as connection:
                yield connection


def _devices(which: SQL) -> Composed:
    return _DEVICES.format(first_seen=_us("first_seen"), which=which)


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
