"""The blackboard: jobs, who works at them, and until when. Any worker may die at any time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.sql import SQL

from adapters.postgres.connection import connect, unavailable
from adapters.postgres.withheld import hide
from fleetpulse.errors import DatabaseUnavailable
from fleetpulse.identity import DeviceKey
from fleetpulse.profile import Profile
from fleetpulse.recompute.job import ATTEMPTS_MAX, Claimed, gives_up, retry_in_s
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.recompute.sessions import gap_us

_DUE: Final = SQL("""
(state IN ('marked', 'following') AND due_at <= now()
    OR state = 'computing' AND lease_until < now())
""")
# A worker that ends without a word fails its job too, or it would be tried for ever.
_ABANDON: Final = """
UPDATE recompute_jobs SET state = 'failed', finished_at = now(),
    error = CASE WHEN error = '' THEN 'its workers ended without a word' ELSE error END
WHERE state = 'computing' AND lease_until < now() AND attempts >= %s AND passes = 0
"""
_CLAIM: Final = SQL("""
WITH due AS (
    SELECT job_id FROM recompute_jobs
    WHERE {due} AND partition = (
        SELECT partition FROM recompute_jobs WHERE {due} ORDER BY due_at LIMIT 1)
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE recompute_jobs j SET lease_epoch = lease_epoch + 1,
    attempts = attempts + (state = 'computing')::integer, state = 'computing',
    lease_until = now() + %s * interval '1 second', started_at = coalesce(started_at, now())
FROM due WHERE j.job_id = due.job_id
RETURNING j.job_id, tenant, device_id, partition, from_us, to_us, cause, lease_epoch, marks,
    passes, attempts, needs_offset, done_until_us
""").format(due=_DUE)
_ANY_DUE: Final = SQL("SELECT EXISTS (SELECT FROM recompute_jobs WHERE {due})").format(due=_DUE)
_MINE: Final = SQL("job_id = %s AND lease_epoch = %s AND state = 'computing'")
_RENEW: Final = """
UPDATE recompute_jobs SET lease_until = now() + %s * interval '1 second'
FROM unnest(%s::bigint[], %s::bigint[]) AS mine (id, epoch)
WHERE job_id = mine.id AND lease_epoch = mine.epoch AND state = 'computing'
RETURNING job_id
"""
_POSTPONE: Final = SQL("""
UPDATE recompute_jobs SET state = CASE WHEN passes > 0 THEN 'following' ELSE 'marked' END,
    lease_until = NULL, due_at = now() + %s * interval '1 second'
WHERE {mine}
""").format(mine=_MINE)
_FAIL: Final = SQL("""
UPDATE recompute_jobs SET attempts = attempts + 1, error = %s, lease_until = NULL,
    state = CASE WHEN %s THEN 'failed' WHEN passes > 0 THEN 'following' ELSE 'marked' END,
    finished_at = CASE WHEN %s THEN now() END, due_at = now() + %s * interval '1 second'
WHERE {mine}
""").format(mine=_MINE)
_FINISH: Final = SQL("""
UPDATE recompute_jobs SET state = CASE WHEN passes > 0 THEN 'promoted' ELSE 'failed' END,
    error = %s, lease_until = NULL, finished_at = now()
WHERE {mine} AND marks = %s
""").format(mine=_MINE)
_END_OTHERS: Final = """
UPDATE recompute_jobs SET state = 'failed', error = %s, lease_until = NULL, finished_at = now()
WHERE state IN ('marked', 'computing', 'following') AND topic_id NOT IN ('', %s)
RETURNING tenant, device_id
"""
RECREATED: Final = "the telemetry topic was re-created: the log of that time is gone"
_LIVE: Final = """
SELECT min(next_offset) FROM progress
WHERE topic_id = %s AND partition = %s AND sink IN ('alerts', 'rollups')
HAVING count(next_offset) = 2
"""
_EARLIER_LOG: Final = """
SELECT EXISTS (SELECT FROM progress
    WHERE sink = 'alerts' AND topic_id <> %s AND partition = %s AND next_offset > 0)
"""
# Sessions of a device seldom overlap: of many, the newest few decide.
_SESSION_BEGIN: Final = """
SELECT (extract(epoch FROM min(started_at)) * 1000000)::bigint FROM (
    SELECT started_at, ended_at FROM sessions
    WHERE tenant = %(tenant)s AND device_id = %(device_id)s AND NOT withdrawn
        AND started_at < epoch_us(%(from_us)s)
    ORDER BY started_at DESC LIMIT 16
) AS newest WHERE ended_at IS NULL OR ended_at >= epoch_us(%(reaching_us)s)
"""
_HEARD_BEFORE: Final = """
SELECT tenant, device_id FROM devices
JOIN unnest(%s::text[], %s::text[]) AS asked (tenant, device_id) USING (tenant, device_id)
WHERE first_seen < epoch_us(%s)
"""
_OUTBOX: Final = (
    "SELECT id, topic, partition, key, value FROM recompute_outbox ORDER BY id LIMIT %s"
)
_EXPIRE: Final = """
DELETE FROM recompute_jobs WHERE state IN ('promoted', 'failed')
    AND finished_at < now() - %s * interval '1 day'
"""
_EXPIRE_DELETED: Final = """
DELETE FROM recompute_views
WHERE view_epoch = 0 AND deleted_at < now() - %s * interval '1 day'
"""
_COUNTS: Final = """
SELECT count(*) FILTER (WHERE state = 'marked'), count(*) FILTER (WHERE state = 'computing'),
    count(*) FILTER (WHERE state = 'following'), count(*) FILTER (WHERE state = 'failed'),
    coalesce(extract(epoch FROM now() - min(marked_at)
        FILTER (WHERE state IN ('marked', 'computing'))), 0)::float8,
    (SELECT count(*) FROM recompute_outbox)
FROM recompute_jobs
"""
_UNPROMOTED: Final = """
SELECT partition, min(CASE WHEN log_offset > 0 THEN log_offset ELSE needs_offset END)
FROM recompute_jobs
WHERE state IN ('marked', 'computing', 'following') AND greatest(log_offset, needs_offset) > 0
GROUP BY partition
"""
ERROR_CHARACTERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Message:
    """A correction that waits for Kafka."""

    id: int
    topic: str
    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """Jobs by state. oldest_s: age of the oldest that promoted nothing yet; outbox: messages."""

    marked: int
    computing: int
    following: int
    failed: int
    oldest_s: float
    outbox: int


def _claimed(
    job_id: int, tenant: str, device_id: str, partition: int, from_us: int, to_us: int, *rest: Any
) -> Claimed:
    return Claimed(job_id, tenant, device_id, partition, TimeRange(from_us, to_us), *rest)


class Blackboard:
    """On a connection of its own, opened when needed. Used from one thread."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[Any] | None = None

    def claim(self, jobs_max: int, lease_s: float) -> list[Claimed]:
        """Due jobs of one partition, or none; they are this worker's while the lease lasts."""
        with self.session() as connection:
            connection.execute(_ABANDON, (ATTEMPTS_MAX,))
            rows = connection.execute(_CLAIM, (jobs_max, lease_s)).fetchall()
        return [_claimed(*row) for row in rows]

    def due(self) -> bool:
        """Whether there is anything to claim."""
        with self.session() as connection:
            row = connection.execute(_ANY_DUE).fetchone()
            return bool(row and row[0])

    def renew(self, jobs: Sequence[Claimed], lease_s: float) -> set[int]:
        """Prolong the leases; answers the jobs that are still this worker's."""
        with self.session() as connection:
            ids, epochs = [job.job_id for job in jobs], [job.lease_epoch for job in jobs]
            return {row[0] for row in connection.execute(_RENEW, (lease_s, ids, epochs))}

    def postpone(self, job: Claimed, delay_s: float) -> None:
        """Give it back for a while: something else must happen first."""
        with self.session() as connection:
            connection.execute(_POSTPONE, (delay_s, job.job_id, job.lease_epoch))

    def fail(self, job: Claimed, error: str) -> None:
        """Try again later, or leave it to a person."""
        over = gives_up(job.attempts + 1, job.passes)
        with self.session() as connection:
            connection.execute(
                _FAIL,
                (error[:ERROR_CHARACTERS_MAX], over, over, retry_in_s(job.attempts),
                 job.job_id, job.lease_epoch),
            )  # fmt: skip

    def finish(self, job: Claimed, why: str) -> None:
        """There is nothing to promote, and will not be, unless it was marked again meanwhile.

        Failed, unless something was promoted before; what that hid is shown as far as it goes.
        """
        with self.session() as connection, connection.transaction():
            mine = (job.job_id, job.lease_epoch)
            if connection.execute(_FINISH, (why, *mine, job.marks)).rowcount:
                hide(connection, job.tenant, job.device_id, {})
            else:
                connection.execute(_POSTPONE, (0.0, *mine))

    def end_others(self, topic_id: str) -> int:
        """End the jobs of other telemetry topics than this one; answers how many there were."""
        with self.session() as connection, connection.transaction():
            ended = connection.execute(_END_OTHERS, (RECREATED, topic_id)).fetchall()
            for tenant, device_id in ended:
                hide(connection, tenant, device_id, {})
            return len(ended)

    def live_offset(self, topic_id: str, partition: int) -> int | None:
        """What live has committed to PostgreSQL; None: nothing yet."""
        with self.session() as connection:
            row = connection.execute(_LIVE, (topic_id, partition)).fetchone()
            return row[0] if row else None

    def earlier_log(self, topic_id: str, partition: int) -> bool:
        """Whether live has written of another telemetry topic before this one."""
        with self.session() as connection:
            row = connection.execute(_EARLIER_LOG, (topic_id, partition)).fetchone()
            return bool(row and row[0])

    def session_begin(self, job: Claimed, profile: Profile | None) -> int | None:
        """When the first session started that reaches into the job's range, if it has any."""
        if profile is None or profile.session is None:
            return None
        asked = {
            "tenant": job.tenant,
            "device_id": job.device_id,
            "from_us": job.changed.from_us,
            "reaching_us": job.changed.from_us - gap_us([profile]),
        }
        with self.session() as connection:
            row = connection.execute(_SESSION_BEGIN, asked).fetchone()
            return row[0] if row else None

    def heard_before(self, jobs: Sequence[Claimed], log_time_us: int) -> frozenset[bytes]:
        """Keys of the devices whose first record came before that."""
        tenants, devices = [job.tenant for job in jobs], [job.device_id for job in jobs]
        with self.session() as connection:
            found = connection.execute(_HEARD_BEFORE, (tenants, devices, log_time_us))
            return frozenset(DeviceKey(*row).encode() for row in found)

    def outbox(self, messages_max: int) -> list[Message]:
        """The oldest corrections that wait for Kafka."""
        with self.session() as connection:
            return [Message(*row) for row in connection.execute(_OUTBOX, (messages_max,))]

    def sent(self, messages: Sequence[Message]) -> None:
        """Kafka has them."""
        with self.session() as connection:
            ids = [each.id for each in messages]
            connection.execute("DELETE FROM recompute_outbox WHERE id = ANY(%s)", (ids,))

    def expire(self, days: float) -> None:
        """Forget jobs that ended, and devices that were deleted, long ago."""
        with self.session() as connection:
            connection.execute(_EXPIRE, (days,))
            connection.execute(_EXPIRE_DELETED, (days,))

    def counts(self) -> Counts:
        """How much is waiting."""
        with self.session() as connection:
            row = connection.execute(_COUNTS).fetchone()
            assert row is not None
            return Counts(*row)

    def unpromoted(self) -> dict[int, int]:
        """The lowest offset, by partition, from which on the next view lacks the log."""
        with self.session() as connection:
            return dict(connection.execute(_UNPROMOTED).fetchall())

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """A usable connection; dropped when the server was the reason of a failure."""
        try:
            with unavailable():
                if self._connection is None:
                    self._connection = connect(self._dsn, purpose="recompute")
                yield self._connection
        except DatabaseUnavailable:
            self.close()
            raise
