"""What both PostgreSQL sinks share: the claim, and one transaction of rows and progress."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from adapters.postgres.connection import connect, unavailable
from adapters.postgres.time_partitions import TimePartitions
from fleetpulse.effects import Effects
from fleetpulse.errors import DatabaseUnavailable, Fenced, RetryLater
from fleetpulse.ports import Advance, Claim

# Sorted, so that two claimers lock rows in one order.
_CLAIM = """
INSERT INTO progress (sink, topic_id, partition, owner_epoch)
SELECT %s, %s, unnest(%s::integer[]), 1
ON CONFLICT (sink, topic_id, partition)
    DO UPDATE SET owner_epoch = progress.owner_epoch + 1, updated_at = now()
RETURNING partition, owner_epoch, next_offset
"""
ADVANCE = """
UPDATE progress SET next_offset = step.next_offset, updated_at = now()
FROM unnest(%s::integer[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS step (partition, owner_epoch, previous_offset, next_offset)
WHERE progress.sink = %s AND progress.topic_id = %s AND progress.partition = step.partition
    AND progress.owner_epoch = step.owner_epoch
    AND (progress.next_offset = step.previous_offset OR progress.next_offset IS NULL)
RETURNING progress.partition
"""


class PostgresSink(ABC):
    """An EffectSink on a connection of its own, opened when needed. Used from one thread."""

    name: str
    _partitions: Sequence[TimePartitions]

    def __init__(self, dsn: str, *, topic_id: str) -> None:
        self._dsn = dsn
        self._topic_id = topic_id
        self._connection: psycopg.Connection[Any] | None = None

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Become the owner. Waits for a write of the former one that is under way."""
        with self._session() as connection:
            rows = connection.execute(
                _CLAIM, (self.name, self._topic_id, sorted(partitions))
            ).fetchall()
            return {partition: Claim(epoch, offset) for partition, epoch, offset in rows}

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        """Rows and progress in one transaction.

        Bulk rows are written before the progress rows are locked: while a slow or stopped owner
        sends them, its successor can already claim. A connection lost during the commit is
        RetryLater too; repeating the write then raises Fenced if the commit had succeeded, and
        the next claim tells how far the sink is.
        """
        with self._session() as connection:
            if not self._has_rows(effects):
                self._advance(connection, advance)
                return
            try:
                self._write_rows(connection, effects, advance)
            except errors.CheckViolation:
                # Retention dropped a partition that was known: nothing was written.
                for partitions in self._partitions:
                    partitions.forget()
                self._write_rows(connection, effects, advance)

    def _write_rows(
        self,
        connection: psycopg.Connection[Any],
        effects: Effects,
        advance: Mapping[int, Advance],
    ) -> None:
        self._prepare(connection, effects)
        with connection.transaction():
            self._write_bulk(connection, effects)
            self._advance(connection, advance)
            self._apply(connection, effects)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @abstractmethod
    def _has_rows(self, effects: Effects) -> bool:
        """Whether any of the effects is this sink's."""

    @abstractmethod
    def _prepare(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        """Make what the rows need to be there; outside the transaction."""

    @abstractmethod
    def _write_bulk(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        """Write what is sent in one large statement. Should the advance be refused, it is undone.

        Nothing else of the transaction may lock anything before it: no timeout of the server's
        ends a client that is stopped while it sends a statement.
        """

    @abstractmethod
    def _apply(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        """Write the other rows."""

    def _advance(self, connection: psycopg.Connection[Any], advance: Mapping[int, Advance]) -> None:
        rows = connection.execute(ADVANCE, self._steps(advance)).fetchall()
        refused = tuple(sorted(advance.keys() - {partition for (partition,) in rows}))
        if refused:
            raise Fenced(
                f"sink {self.name}: partitions {refused} have another owner or offset",
                partitions=refused,
            )

    def _steps(self, advance: Mapping[int, Advance]) -> tuple[Any, ...]:
        """Parameters of ADVANCE."""
        steps = sorted(advance.items())
        return (
            [partition for partition, _ in steps],
            [step.owner_epoch for _, step in steps],
            [step.previous_offset for _, step in steps],
            [step.next_offset for _, step in steps],
            self.name,
            self._topic_id,
        )

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection[Any]]:
        """A usable connection; dropped when the server was the reason of a failure."""
        try:
            with unavailable():
                if self._connection is None:
                    self._connection = connect(self._dsn, purpose=self.name)
                yield self._connection
        except DatabaseUnavailable:
            self.close()
            raise
        except errors.CheckViolation as error:
            raise RetryLater(f"sink {self.name}: {error}", retry_after_s=0.1) from error
