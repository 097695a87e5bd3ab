"""Old rows leave by whole partitions: detached beside readers and writers, then dropped.

A partition goes when its end in event time, and its own making, lie longer ago than the table's
retention: a recorded series that was replayed is kept as long as one that was just measured.
It stays while an open alert or session lies in it, or an unfinished recompute job needs it.

Any step may be the last one: detaching is completed and a detached partition dropped, or attached
again if it is needed after all, by whoever tends next.
"""

import time
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from adapters.postgres.connection import connect, unavailable
from adapters.postgres.time_partitions import UNITS, TimePartitions, attach, finalize, lock, state
from fleetpulse.settings import RetentionSettings

STATEMENT_TIMEOUT_MS: Final = 4_000
"""Detaching waits for the transactions that see the partition; what it misses comes next time."""
DROPPED_MAX: Final = 32
"""Partitions of a table that go in one tending."""
_TENDER: Final = "SELECT pg_try_advisory_lock(hashtext('time_partitions'))"
_DUE: Final = """
SELECT name, greatest(ends, made_at) < now() - %(days)s * interval '1 day' AND %(days)s > 0,
    starts::text, ends::text
FROM time_partitions WHERE parent = %(parent)s ORDER BY starts
"""
_DETACH: Final = "ALTER TABLE {table} DETACH PARTITION {name} CONCURRENTLY"
_DROP: Final = "DROP TABLE IF EXISTS {name}"
_UNLIST: Final = "DELETE FROM time_partitions WHERE name = %s"
_OPEN: Final = {
    "alerts": "SELECT EXISTS (SELECT FROM {name} WHERE cleared_at IS NULL AND NOT withdrawn)",
    "sessions": "SELECT EXISTS (SELECT FROM {name} WHERE ended_at IS NULL AND NOT withdrawn)",
}
# A job works on whole UTC days from that of its range on.
_JOBS: Final = """
SELECT EXISTS (
    SELECT FROM recompute_jobs JOIN time_partitions
        ON epoch_us(from_us) < ends + interval '1 day' AND epoch_us(to_us) > starts
    WHERE name = %s AND state IN ('marked', 'computing', 'following'))
"""


class PostgresRetention:
    """Tends the partitions of every table; any number of processes may, one at a time does."""

    def __init__(self, dsn: str, settings: RetentionSettings) -> None:
        self._dsn = dsn
        self._ahead = settings.ahead
        self._days = {
            "rollup_minute": settings.minute_days,
            "rollup_hour": settings.hour_days,
            "rollup_day": settings.day_days,
            "alerts": settings.alert_days,
            "sessions": settings.session_days,
        }

    def tend(self) -> list[str]:
        """Make partitions ahead and drop old ones; answers the names of those dropped.

        Nothing happens while another process tends. Raises DatabaseUnavailable.
        """
        with unavailable(), connect(self._dsn, purpose="retention") as connection:
            connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
            if connection.execute(_TENDER).fetchone() != (True,):
                return []
            dropped = []
            for table in UNITS:
                now_us = time.time_ns() // 1000
                TimePartitions(table).ensure_ahead(connection, now_us, self._ahead)
                dropped += self._drop_old(connection, table)
            return dropped

    def _drop_old(self, connection: psycopg.Connection[Any], table: str) -> list[str]:
        dropped: list[str] = []
        asked = {"days": self._days[table], "parent": table}
        for name, due, starts, ends in connection.execute(_DUE, asked).fetchall():
            _, attached, leaving = state(connection, name)
            if attached and not leaving:
                if not due or len(dropped) == DROPPED_MAX or _needed(connection, table, name):
                    continue
                connection.execute(_sql(_DETACH, table, name))
            if _finish(connection, table, name, starts, ends, due=due):
                dropped.append(name)
        return dropped


def _finish(
    connection: psycopg.Connection[Any], table: str, name: str, starts: str, ends: str, *, due: bool
) -> bool:
    """Drop a partition that nobody writes to any more, or attach it again; whether it is gone."""
    with connection.transaction():
        lock(connection, table)
        made, attached, leaving = state(connection, name)
        if leaving:
            finalize(connection, table, name)
        elif attached:
            return False
        if made and (not due or _needed(connection, table, name)):
            attach(connection, table, name, starts, ends)
            return False
        connection.execute(_sql(_DROP, table, name))
        connection.execute(_UNLIST, (name,))
        return True


def _needed(connection: psycopg.Connection[Any], table: str, name: str) -> bool:
    questions = []
    if table in _OPEN:
        questions.append(connection.execute(_sql(_OPEN[table], table, name)).fetchone())
    questions.append(connection.execute(_JOBS, (name,)).fetchone())
    return (True,) in questions


def _sql(statement: str, table: str, name: str) -> Composed:
    return SQL(statement).format(table=Identifier(table), name=Identifier(name))
