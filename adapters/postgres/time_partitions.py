"""Partitions by time: those ahead are made in good time, others for the rows that arrive.

Event time may be years back (a replay), and a default partition would swallow rows that later
block the proper one. Table `time_partitions` lists them; retention.py removes them.
"""

from typing import Any, Final, Literal

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.sql import SQL, Composed, Identifier
from psycopg.sql import Literal as SqlLiteral

UNITS: Final[dict[str, Literal["D", "M", "Y"]]] = {
    "rollup_minute": "D",
    "rollup_hour": "M",
    "rollup_day": "Y",
    "alerts": "M",
    "sessions": "M",
}
"""Table -> what a partition of it spans: a day, a month, a year (UTC)."""

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext(%s))"
_STATE: Final = """
SELECT found.oid IS NOT NULL, inhrelid IS NOT NULL, coalesce(inhdetachpending, false)
FROM (SELECT to_regclass(%s) AS oid) AS found LEFT JOIN pg_inherits ON inhrelid = found.oid
"""
_CREATE: Final = "CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"
_FINALIZE: Final = "ALTER TABLE {table} DETACH PARTITION {name} FINALIZE"
_ATTACH: Final = """
ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({starts}) TO ({ends})
"""
_LIST: Final = """
INSERT INTO time_partitions (name, parent, starts, ends) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET made_at = now()
"""


class TimePartitions:
    """A table's partitions, and which are known to exist."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._unit = UNITS[table]
        self._known: set[str] = set()

    def ensure(self, connection: psycopg.Connection[Any], times_us: NDArray[np.int64]) -> None:
        """Create what rows at these times lack; costs nothing when all are known.

        Attaches a finished table: unlike CREATE … PARTITION OF that does not stop readers.
        """
        for start in np.unique(times_us.view("datetime64[us]").astype(f"datetime64[{self._unit}]")):
            name = f"{self.table}_{start}".replace("-", "_")
            if name not in self._known:
                self._create(connection, name, _first_instant(start), _first_instant(start + 1))
                self._known.add(name)

    def ensure_ahead(self, connection: psycopg.Connection[Any], now_us: int, units: int) -> None:
        """Create the partition of that moment and so many that follow."""
        now = np.datetime64(now_us, "us").astype(f"datetime64[{self._unit}]")
        starts = now + np.arange(units + 1)
        self.ensure(connection, starts.astype("datetime64[us]").view(np.int64))

    def forget(self) -> None:
        """Look again: somebody dropped one (retention)."""
        self._known.clear()

    def _create(
        self, connection: psycopg.Connection[Any], name: str, starts: str, ends: str
    ) -> None:
        with connection.transaction():
            lock(connection, self.table)
            made, attached, leaving = state(connection, name)
            if attached and not leaving:
                return
            if not made:
                connection.execute(_named(_CREATE, self.table, name))
                connection.execute(_LIST, (name, self.table, starts, ends))
            # One whose removal has begun holds rows that are wanted again.
            attach(connection, self.table, name, starts, ends, leaving=leaving)


def lock(connection: psycopg.Connection[Any], table: str) -> None:
    """Until the transaction ends nobody else adds or drops a partition of the table."""
    connection.execute(_LOCK, (table,))


def state(connection: psycopg.Connection[Any], name: str) -> tuple[bool, bool, bool]:
    """Whether it exists, hangs on a table, and was left while being detached."""
    row = connection.execute(_STATE, (name,)).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def finalize(connection: psycopg.Connection[Any], table: str, name: str) -> None:
    """Complete a detaching that was interrupted."""
    connection.execute(_named(_FINALIZE, table, name))


def attach(
    connection: psycopg.Connection[Any],
    table: str,
    name: str,
    starts: str,
    ends: str,
    *,
    leaving: bool = False,
) -> None:
    """Make an existing table part of the partitioned one."""
    if leaving:
        finalize(connection, table, name)
    bounds = {"starts": SqlLiteral(starts), "ends": SqlLiteral(ends)}
    connection.execute(_named(_ATTACH, table, name, **bounds))


def _named(statement: str, table: str, name: str, **others: SqlLiteral) -> Composed:
    return SQL(statement).format(table=Identifier(table), name=Identifier(name), **others)


def _first_instant(start: np.datetime64) -> str:
    return f"{start.astype('datetime64[D]')} 00:00:00+00"
