"""Jobs on PostgreSQL: what the API marks and asks, on a small pool."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL

from adapters.postgres.marks import MARK, mark_columns
from adapters.postgres.periods import in_us
from adapters.postgres.pool import connection_of, pool_of
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.recompute.job import Mark, State
from fleetpulse.recompute.requests import JobRow

CONNECTIONS_MAX: Final = 2
_UNKNOWN: Final = """
SELECT asked FROM unnest(%(asked)s::text[]) AS asked
WHERE NOT EXISTS (SELECT FROM devices WHERE tenant = %(tenant)s AND device_id = asked)
"""
_JOBS: Final = SQL("""
SELECT job_id, tenant, device_id, from_us, to_us, cause, state, marks, passes, attempts,
    view_epoch, error, {marked_at}, {started_at}, {finished_at}
FROM recompute_jobs WHERE tenant = %(tenant)s AND {which}
ORDER BY job_id DESC LIMIT %(limit)s
""")
_TIMES: Final = {c: in_us(c) for c in ("marked_at", "started_at", "finished_at")}
_ONE: Final = SQL("job_id = %(job_id)s")
_LISTED: Final = SQL("""
(%(state)s::text IS NULL OR state = %(state)s)
    AND (%(before)s::bigint IS NULL OR job_id < %(before)s)
""")


class PostgresJobs:
    """On a running loop; connections open when they are needed."""

    def __init__(self, dsn: str, *, partitions: int) -> None:
        """partitions: of the telemetry topic."""
        self._partitions = partitions
        self._pool = pool_of(dsn, purpose="jobs", connections_max=CONNECTIONS_MAX)

    async def unknown(self, tenant: str, device_ids: Sequence[str]) -> list[str]:
        """Those of the devices that nothing was ever heard of."""
        async with connection_of(self._pool) as connection:
            asked = {"tenant": tenant, "asked": list(device_ids)}
            cursor = await connection.execute(_UNKNOWN, asked)
            return [row[0] for row in await cursor.fetchall()]

    async def mark(self, marks: Sequence[Mark]) -> list[int]:
        """All marks or none; answers their jobs."""
        async with connection_of(self._pool) as connection, connection.transaction():
            return [await self._mark(connection, mark) for mark in marks]

    async def job(self, tenant: str, job_id: int) -> JobRow | None:
        """One job."""
        rows = await self._rows(_ONE, {"tenant": tenant, "job_id": job_id, "limit": 1})
        return next(iter(rows), None)

    async def jobs(
        self, tenant: str, state: State | None, before: int | None, limit: int
    ) -> list[JobRow]:
        """Newest first, those with a lower id than `before`."""
        asked = {"tenant": tenant, "state": state, "before": before, "limit": limit}
        return await self._rows(_LISTED, asked)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def _mark(self, connection: psycopg.AsyncConnection[Any], mark: Mark) -> int:
        key = DeviceKey(mark.tenant, mark.device_id).encode()
        columns = mark_columns(mark, partition_of(key, self._partitions), delay_s=0.0)
        row = await (await connection.execute(MARK, columns)).fetchone()
        assert row is not None, "a person's mark has a source of its own"
        return int(row[0])

    async def _rows(self, which: SQL, asked: dict[str, Any]) -> list[JobRow]:
        async with connection_of(self._pool) as connection:
            cursor = connection.cursor(row_factory=class_row(JobRow))
            return await (
                await cursor.execute(_JOBS.format(which=which, **_TIMES), asked)
            ).fetchall()
