"""Reads on PostgreSQL: what the API asks, on a small pool of connections that only read."""

from typing import Any, Final, TypeVar

from psycopg.rows import class_row
from psycopg.sql import SQL, Composed

from adapters.postgres.periods import ALERT, in_us, page_by, page_of
from adapters.postgres.pool import connection_of, pool_of
from adapters.postgres.rollup_reads import rollups_query, top_parameters, top_query
from adapters.postgres.session_reads import SESSION, SESSIONS, row_of
from fleetpulse.identity import DeviceKey
from fleetpulse.reads import (
    AlertRow,
    DeviceRow,
    PeriodFilter,
    PeriodKey,
    Resolution,
    RollupRow,
    SessionRow,
    TopQuestion,
    TopRow,
)

CONNECTIONS_MAX: Final = 4


_DEVICES: Final = SQL("""
SELECT tenant, device_id, profile, {first_seen},
    EXISTS (SELECT FROM alerts a WHERE a.tenant = d.tenant AND a.device_id = d.device_id
        AND a.cleared_at IS NULL AND NOT a.withdrawn) AS alert_open,
    online, (extract(epoch FROM coalesce(since, first_seen)) * 1000000)::bigint AS since_us,
    (extract(epoch FROM heard_at) * 1000000)::bigint AS heard_us
FROM devices d
WHERE tenant = %(tenant)s AND {which}
ORDER BY device_id LIMIT %(limit)s
""")
_LISTED: Final = SQL("device_id > %(after)s AND strpos(lower(device_id), lower(%(search)s)) > 0")
_NAMED: Final = SQL("device_id = %(device_id)s")
_ALERTS: Final = (
    ALERT + SQL("WHERE NOT withdrawn AND ") + page_by("raised_at", "cleared_at", "alert_id")
)
_OFFLINE: Final = SQL("SELECT tenant, device_id FROM devices WHERE NOT online")
_OPEN: Final = SQL("""
SELECT DISTINCT tenant, device_id FROM alerts WHERE cleared_at IS NULL AND NOT withdrawn
""")

T = TypeVar("T")


class PostgresReads:
    """Reads on a running loop; connections open when they are needed."""

    def __init__(self, dsn: str) -> None:
        self._pool = pool_of(dsn, purpose="reads", connections_max=CONNECTIONS_MAX)

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
        return await self._rows(RollupRow, rollups_query(resolution), asked, binary=True)

    async def top(self, asked: TopQuestion) -> list[TopRow]:
        """Highest first within a bucket, oldest bucket first."""
        query = top_query(asked.resolution, asked.by)
        return await self._rows(TopRow, query, top_parameters(asked))

    async def alerts(
        self, where: PeriodFilter, before: PeriodKey | None, limit: int
    ) -> list[AlertRow]:
        """Newest first, those older than `before`."""
        return await self._rows(AlertRow, _ALERTS, page_of(where, before, limit))

    async def sessions(
        self, where: PeriodFilter, before: PeriodKey | None, limit: int
    ) -> list[SessionRow]:
        """Newest first, those older than `before`."""
        async with connection_of(self._pool) as connection:
            cursor = await connection.execute(SESSIONS, page_of(where, before, limit))
            return [row_of(row) for row in await cursor.fetchall()]

    async def session(self, tenant: str, session_id: str) -> SessionRow | None:
        """One session."""
        async with connection_of(self._pool) as connection:
            cursor = await connection.execute(SESSION, (tenant, session_id))
            row = await cursor.fetchone()
            return row_of(row) if row else None

    async def offline_devices(self) -> set[bytes]:
        """Record keys of the devices that are offline."""
        return await self._keys(_OFFLINE)

    async def open_alerts(self) -> set[bytes]:
        """Record keys of the devices with an open alert."""
        return await self._keys(_OPEN)

    async def _keys(self, query: SQL) -> set[bytes]:
        async with connection_of(self._pool) as connection:
            cursor = await connection.execute(query)
            return {DeviceKey(*row).encode() for row in await cursor.fetchall()}

    async def ping(self) -> None:
        """Return if the database answers."""
        async with connection_of(self._pool) as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def _rows(
        self, kind: type[T], query: Composed, asked: dict[str, Any], *, binary: bool = False
    ) -> list[T]:
        """binary: arrays of float8 are read four times as fast; a float4 comes with all digits."""
        async with connection_of(self._pool) as connection:
            cursor = connection.cursor(row_factory=class_row(kind), binary=binary)
            return await (await cursor.execute(query, asked)).fetchall()


def _devices(which: SQL) -> Composed:
    return _DEVICES.format(first_seen=in_us("first_seen"), which=which)
