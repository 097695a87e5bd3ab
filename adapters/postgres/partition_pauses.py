"""Partitions that a person has paused. Outlives shards and stacks."""

from threading import Lock
from typing import Any, Final

import psycopg

from adapters.postgres.connection import connect, unavailable
from fleetpulse.errors import DatabaseUnavailable
from fleetpulse.ports import PartitionPause

_SELECT: Final = """
SELECT partition, paused_by, (extract(epoch FROM paused_at) * 1000000)::bigint FROM partition_pauses
"""
_PAUSE: Final = """
INSERT INTO partition_pauses (partition, paused_by) VALUES (%s, %s) ON CONFLICT DO NOTHING
"""
_RESUME: Final = "DELETE FROM partition_pauses WHERE partition = %s"


class PostgresPartitionPauses:
    """Used from any thread; connects when it is asked."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = Lock()
        self._connection: psycopg.Connection[Any] | None = None

    def current(self) -> dict[int, PartitionPause]:
        """All that hold; raises DatabaseUnavailable."""
        rows = self._execute(_SELECT, ()).fetchall()
        return {partition: PartitionPause(by, since_us) for partition, by, since_us in rows}

    def pause(self, partition: int, paused_by: str) -> None:
        """From within seconds on; the first who paused it stays named."""
        self._execute(_PAUSE, (partition, paused_by))

    def resume(self, partition: int) -> None:
        """From within seconds on."""
        self._execute(_RESUME, (partition,))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _execute(self, statement: str, values: tuple[Any, ...]) -> psycopg.Cursor[Any]:
        try:
            with self._lock, unavailable():
                if self._connection is None:
                    self._connection = connect(self._dsn, purpose="pauses")
                return self._connection.execute(statement.encode(), values)
        except DatabaseUnavailable:
            self.close()
            raise
