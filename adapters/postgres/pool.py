"""A small pool on a running loop, for those that answer requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool

from adapters.postgres.connection import LIMITS, STATEMENT_TIMEOUT_MS, unavailable

WAIT_S: Final = 5.0
"""For a free connection."""

Pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]]


def pool_of(dsn: str, *, purpose: str, connections_max: int) -> Pool:
    """Opens with its first use; `purpose` is what the server's activity view shows."""
    return AsyncConnectionPool(
        dsn,
        min_size=0,
        max_size=connections_max,
        open=False,
        timeout=WAIT_S,
        kwargs={"autocommit": True, "application_name": f"fleetpulse-{purpose}", **LIMITS},
        configure=_configure,
        check=AsyncConnectionPool.check_connection,
    )


@asynccontextmanager
async def connection_of(pool: Pool) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection for a while; raises DatabaseUnavailable."""
    await pool.open()
    with unavailable():
        async with pool.connection() as connection:
            yield connection


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
