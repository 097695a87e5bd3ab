"""Partitions by time, made for the rows that arrive.

Event time may be years back (a replay), so none can be made ahead; and a default partition
would swallow rows that later block the proper one.
"""

from typing import Any, Final, Literal

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.sql import SQL, Identifier
from psycopg.sql import Literal as SqlLiteral

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext(%s))"


class TimePartitions:
    """A table's partitions of one calendar unit (D, M, Y), and which are known to exist."""

    def __init__(self, table: str, unit: Literal["D", "M", "Y"]) -> None:
        self.table = table
        self._unit = unit
        self._known: set[str] = set()

    def ensure(self, connection: psycopg.Connection[Any], times_us: NDArray[np.int64]) -> None:
        """Create what rows at these times lack; costs nothing when all are known.

        Attaches a finished table: unlike CREATE … PARTITION OF that does not stop readers.
        """
        for start in np.unique(times_us.view("datetime64[us]").astype(f"datetime64[{self._unit}]")):
            name = f"{self.table}_{start}".replace("-", "_")
            if name not in self._known:
                self._create(connection, name, str(start), str(start + 1))
                self._known.add(name)

    def forget(self) -> None:
        """Look again: somebody dropped one (retention)."""
        self._known.clear()

    def _create(self, connection: psycopg.Connection[Any], name: str, start: str, end: str) -> None:
        with connection.transaction():
            connection.execute(_LOCK, (self.table,))
            exists = connection.execute("SELECT to_regclass(%s)", (name,)).fetchone()
            if exists and exists[0]:
                return
            names = {"name": Identifier(name), "table": Identifier(self.table)}
            connection.execute(
                SQL("CREATE TABLE {name} (LIKE {table} INCLUDING ALL)").format(**names)
            )
            connection.execute(
                SQL(
                    "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({a}) TO ({b})"
                ).format(
                    a=SqlLiteral(_first_instant(start)), b=SqlLiteral(_first_instant(end)), **names
                )
            )


def _first_instant(unit_start: str) -> str:
    return f"{np.datetime64(unit_start, 'D')} 00:00:00+00"
