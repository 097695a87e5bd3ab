"""Marks on the blackboard: which device and time must be computed anew.

A device has at most one unfinished job. A mark widens it, or makes one; a mark that is known by
its source changes nothing.
"""

import uuid
from collections.abc import Iterable
from typing import Any, Final

import psycopg

from adapters.postgres.effect_sink import PostgresSink
from fleetpulse.effects import Effects, Forgotten, Rejection
from fleetpulse.identity import DeviceKey
from fleetpulse.recompute.job import Mark
from fleetpulse.recompute.ranges import TimeRange

MARK: Final = """
WITH fresh AS (
    SELECT %(source)s::text AS source
    WHERE NOT EXISTS (SELECT FROM recompute_marks WHERE source = %(source)s)
), job AS (
    INSERT INTO recompute_jobs (tenant, device_id, partition, from_us, to_us, cause, topic_id,
        needs_offset, due_at)
    SELECT %(tenant)s, %(device_id)s, %(partition)s, %(from_us)s, %(to_us)s, %(cause)s,
        %(topic_id)s, %(needs_offset)s, now() + %(delay_s)s * interval '1 second'
    FROM fresh
    ON CONFLICT (tenant, device_id) WHERE state IN ('marked', 'computing', 'following')
    DO UPDATE SET from_us = least(recompute_jobs.from_us, excluded.from_us),
        to_us = greatest(recompute_jobs.to_us, excluded.to_us),
        cause = CASE WHEN excluded.cause = 'profile' THEN excluded.cause
            ELSE recompute_jobs.cause END,
        topic_id = coalesce(nullif(excluded.topic_id, ''), recompute_jobs.topic_id),
        needs_offset = greatest(recompute_jobs.needs_offset, excluded.needs_offset),
        due_at = least(recompute_jobs.due_at, excluded.due_at),
        marks = recompute_jobs.marks + 1, attempts = 0, done_until_us = 0
    RETURNING job_id
)
INSERT INTO recompute_marks (source, job_id, from_us, to_us, cause)
SELECT source, job_id, %(from_us)s, %(to_us)s, %(cause)s FROM fresh, job
RETURNING job_id
"""
_END_JOBS: Final = """
DELETE FROM recompute_jobs WHERE tenant = %s AND device_id = %s AND needs_offset <= %s
"""
_DELETED: Final = """
INSERT INTO recompute_views (tenant, device_id, view_epoch, deleted_topic_id, deleted_until,
    deleted_at)
VALUES (%s, %s, 0, %s, %s, now())
ON CONFLICT (tenant, device_id) DO UPDATE SET view_epoch = 0,
    deleted_topic_id = excluded.deleted_topic_id, deleted_until = excluded.deleted_until,
    deleted_at = excluded.deleted_at
"""


def mark_columns(mark: Mark, partition: int, delay_s: float) -> dict[str, Any]:
    """What MARK takes."""
    return {
        "source": mark.source,
        "tenant": mark.tenant,
        "device_id": mark.device_id,
        "partition": partition,
        "from_us": mark.changed.from_us,
        "to_us": mark.changed.to_us,
        "cause": mark.cause,
        "topic_id": mark.topic_id,
        "needs_offset": mark.needs_offset,
        "delay_s": delay_s,
    }


def forget_views(connection: psycopg.Connection[Any], topic_id: str, gone: Forgotten) -> None:
    """Forget what is marked and promoted of a deleted device; from here on no promotion brings its
    rows back, whichever sink is the first to delete them. Marks of later records stay.

    First of all that goes: promotions lock the job and then the view, and this waits for them.
    """
    device, until = (gone.tenant, gone.device_id), gone.offset + 1
    connection.execute(_END_JOBS, (*device, until))
    connection.execute(_DELETED, (*device, topic_id, until))


class LateMarkSink(PostgresSink):
    """Late records become marks in the transaction that keeps how far `telemetry.late` was read.

    Its claim fences: of two controllers only the newer one marks. Offsets and topic_id are those of
    the topic `telemetry.late`, which may be older or younger than the log that its records are of.
    """

    name = "recompute"
    _partitions = ()

    def __init__(self, dsn: str, *, topic_id: str, log_id: str, delay_s: float) -> None:
        """log_id: the telemetry topic's. delay_s: how long marks of a device gather before they
        are computed.
        """
        super().__init__(dsn, topic_id=topic_id)
        self._log_id = log_id
        self._delay_s = delay_s

    def _has_rows(self, effects: Effects) -> bool:
        return bool(effects.late)

    def _prepare(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        """Its tables have no partitions."""

    def _write_bulk(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        """Nothing: the rows travel with their statements."""

    def _apply(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(
                MARK,
                [
                    mark_columns(mark, partition, self._delay_s)
                    for partition, mark in late_marks(effects.late, self._log_id)
                ],
            )


def late_marks(late: Iterable[Rejection], log_id: str) -> list[tuple[int, Mark]]:
    """One mark per device and the partition it is of; many late records make one. log_id: the
    telemetry topic's.

    Each call's are new ones, also of a record that was marked before: a replay that tells it again
    has put live's values back. That nothing is marked twice otherwise is the reading's progress'.
    """
    of_device: dict[tuple[int, bytes], list[Rejection]] = {}
    for each in late:
        of_device.setdefault((each.partition, each.key), []).append(each)
    marks = []
    for (partition, key), records in of_device.items():
        name = DeviceKey.decode(key)
        changed = TimeRange(
            min(each.first_us for each in records), max(each.last_us for each in records) + 1
        )
        source = f"late:{partition}:{records[0].offset}:{uuid.uuid4().hex}"
        needs_offset = max(each.offset for each in records) + 1
        marks.append((partition, Mark(source, *name, changed, "late", log_id, needs_offset)))
    return marks
