"""Promotion: next replaces live's view of a device and time, in one transaction or not at all."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import psycopg

from adapters.postgres.blackboard import Blackboard
from adapters.postgres.rollup_sink import RollupTables
from adapters.postgres.session_promotion import replace_sessions
from adapters.postgres.time_partitions import TimePartitions
from adapters.postgres.withheld import hide
from fleetpulse.effects import AlertEvent, Resolution, SessionEvent
from fleetpulse.errors import Fenced
from fleetpulse.recompute.correction import Correction
from fleetpulse.recompute.job import Claimed
from fleetpulse.recompute.ledger import AlertLife

# A worker that lost its lease finds no row, nor does one whose job a deletion took.
_HOLD: Final = """
SELECT FROM recompute_jobs WHERE job_id = %s AND lease_epoch = %s AND state = 'computing' FOR UPDATE
"""
_ADVANCE: Final = """
UPDATE recompute_jobs SET passes = passes + 1, attempts = 0, error = %(remark)s, lease_until = NULL,
    topic_id = %(topic_id)s, log_offset = %(log_offset)s, view_epoch = %(view_epoch)s,
    done_until_us = CASE WHEN marks = %(marks)s THEN %(done_until_us)s ELSE 0 END,
    state = CASE WHEN %(complete)s AND marks = %(marks)s THEN 'promoted' ELSE 'following' END,
    finished_at = CASE WHEN %(complete)s AND marks = %(marks)s THEN now() END,
    due_at = CASE WHEN marks = %(marks)s THEN now() + %(due_s)s * interval '1 second'
        ELSE due_at END
WHERE job_id = %(job_id)s
"""
# None for what was computed without the deletion that is in one of live's sinks already.
_EPOCH: Final = """
INSERT INTO recompute_views AS held (tenant, device_id, view_epoch) VALUES (%s, %s, 1)
ON CONFLICT (tenant, device_id) DO UPDATE SET view_epoch = held.view_epoch + 1
WHERE held.deleted_topic_id <> %s OR held.deleted_until <= %s
RETURNING view_epoch
"""
_ALERT: Final = """
INSERT INTO alerts (tenant, device_id, alert_id, raised_at, cleared_at, window_start, window_end,
    score, peak_score, threshold, model, profile, view_epoch)
VALUES (%s, %s, %s, epoch_us(%s), epoch_us(%s), epoch_us(%s), epoch_us(%s), %s, %s, %s, %s, %s, %s)
ON CONFLICT (tenant, device_id, raised_at, alert_id) DO UPDATE SET
    cleared_at = excluded.cleared_at, score = excluded.score, peak_score = excluded.peak_score,
    view_epoch = excluded.view_epoch, withdrawn = false
"""
_KEEP: Final = """
UPDATE alerts SET cleared_at = epoch_us(%s), peak_score = %s, view_epoch = %s, withdrawn = false
WHERE tenant = %s AND device_id = %s AND raised_at = epoch_us(%s) AND alert_id = %s
    AND view_epoch > 0
"""
# Live's alerts by name, because live goes on meanwhile; those of earlier promotions by time.
_WITHDRAW: Final = """
UPDATE alerts SET withdrawn = true, view_epoch = %(view_epoch)s
WHERE tenant = %(tenant)s AND device_id = %(device_id)s AND NOT withdrawn
    AND raised_at >= epoch_us(%(from_us)s) AND raised_at < epoch_us(%(to_us)s)
    AND alert_id <> ALL(%(kept)s) AND (view_epoch > 0 OR alert_id = ANY(%(before)s))
RETURNING alert_id, (extract(epoch FROM raised_at) * 1000000)::bigint,
    (extract(epoch FROM window_start) * 1000000)::bigint,
    (extract(epoch FROM window_end) * 1000000)::bigint, score, peak_score, threshold, model, profile
"""
_OUTBOX: Final = """
INSERT INTO recompute_outbox (topic, partition, key, value) VALUES (%s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Promoted:
    """What Kafka is told: the epoch, the alerts that are other than before, those that should not
    have been, and the sessions of both kinds.
    """

    view_epoch: int
    alerts: list[AlertLife]
    withdrawn: list[AlertEvent]
    sessions: list[SessionEvent]


@dataclass(frozen=True, slots=True)
class Pass:
    """One computation of a job. due_s: until its next, if it is not complete.
    remark: what people should know of it.
    """

    log_offset: int
    due_s: float
    remark: str = ""


Messages = Callable[[Promoted], list[tuple[str, int, bytes, bytes]]]
"""Corrections for Kafka: topic, partition, key, value."""


class Promotion:
    """Writes corrections that were computed of one telemetry topic. Used from one thread."""

    def __init__(self, blackboard: Blackboard, topic_id: str) -> None:
        self._blackboard = blackboard
        self._topic_id = topic_id
        self._rollups = RollupTables()
        self._alerts = TimePartitions("alerts")
        self._sessions = TimePartitions("sessions")

    def promote(
        self, job: Claimed, correction: Correction, messages: Messages, computed: Pass
    ) -> int:
        """All of it in one transaction; answers the view epoch. Fenced when the lease is lost."""
        rows = [*correction.rollups, *(correction.withheld if correction.scored else ())]
        with self._blackboard.session() as connection:
            for partitions in (self._alerts, self._sessions, *self._rollups.of.values()):
                partitions.forget()  # retention may have dropped one since the last promotion
            self._rollups.prepare(connection, rows)
            raised_us = np.array([x.raised.raised_at_us for x in correction.alerts], np.int64)
            self._alerts.ensure(connection, raised_us)
            started_us = [each.started_at_us for each in correction.sessions.sessions]
            self._sessions.ensure(connection, np.array(started_us, np.int64))
            with connection.transaction():
                view_epoch = self._next_epoch(connection, job, computed.log_offset)
                self._rollups.write(
                    connection, rows, view_epoch=view_epoch, scored=correction.scored
                )
                _show(connection, job, correction)
                alerts = _alerts(connection, correction, view_epoch)
                withdrawn = _withdraw(connection, job, correction, view_epoch)
                sessions = replace_sessions(
                    connection, job, correction.sessions, view_epoch, scored=correction.scored
                )
                # Live's end of an alert that was written is refused: this job must write it.
                complete = correction.complete and all(each.cleared for each in alerts)
                asked = {
                    "job_id": job.job_id,
                    "topic_id": self._topic_id,
                    "marks": job.marks,
                    "complete": complete,
                    "done_until_us": max(0, correction.settled_us),
                    "view_epoch": view_epoch,
                }
                connection.execute(_ADVANCE, asked | asdict(computed))
                told = Promoted(view_epoch, alerts, withdrawn, sessions)
                with connection.cursor() as cursor:
                    cursor.executemany(_OUTBOX, messages(told))
        return view_epoch

    def _next_epoch(
        self, connection: psycopg.Connection[Any], job: Claimed, log_offset: int
    ) -> int:
        """Of the device; the job is this worker's until the transaction ends, or Fenced."""
        if not connection.execute(_HOLD, (job.job_id, job.lease_epoch)).fetchall():
            raise Fenced(f"job {job.job_id} is another worker's, or its device was deleted")
        asked = (job.tenant, job.device_id, self._topic_id, log_offset)
        row = connection.execute(_EPOCH, asked).fetchone()
        if row is None:
            raise Fenced(f"job {job.job_id}: its device was deleted since")
        return int(row[0])


def _show(connection: psycopg.Connection[Any], job: Claimed, correction: Correction) -> None:
    """Hide the buckets that are open, and no others; of values alone, those that are hidden."""
    hidden: dict[Resolution, list[int]] = {}
    for rows in correction.withheld:
        hidden.setdefault(rows.resolution, []).extend(rows.bucket_us.tolist())
    hide(connection, job.tenant, job.device_id, hidden, others=correction.scored)


def _alerts(
    connection: psycopg.Connection[Any], correction: Correction, view_epoch: int
) -> list[AlertLife]:
    """Write those that are other than live's, and those that an earlier promotion changed."""
    written = []
    for life in correction.alerts:
        raised = life.raised
        if raised.alert_id in correction.alerts_changed:
            connection.execute(_ALERT, _alert_row(life, view_epoch))
            written.append(life)
            continue
        ended = (life.cleared.at_us if life.cleared else None, life.last.peak_score, view_epoch)
        row = (raised.tenant, raised.device_id, raised.raised_at_us, raised.alert_id)
        if connection.execute(_KEEP, (*ended, *row)).rowcount:
            written.append(life)
    return written


def _alert_row(alert: AlertLife, view_epoch: int) -> tuple[Any, ...]:
    raised, cleared = alert.raised, alert.cleared
    return (
        raised.tenant,
        raised.device_id,
        raised.alert_id,
        raised.raised_at_us,
        cleared.at_us if cleared else None,
        raised.window_start_us,
        raised.window_end_us,
        raised.score,
        alert.last.peak_score,
        raised.threshold,
        raised.model,
        raised.profile,
        view_epoch,
    )


def _withdraw(
    connection: psycopg.Connection[Any], job: Claimed, correction: Correction, view_epoch: int
) -> list[AlertEvent]:
    asked = {
        "view_epoch": view_epoch,
        "tenant": job.tenant,
        "device_id": job.device_id,
        "from_us": correction.alert_range.from_us,
        "to_us": min(correction.alert_range.to_us, 1 << 60),
        "kept": [each.raised.alert_id for each in correction.alerts],
        "before": correction.alerts_before,
    }
    return [
        AlertEvent(
            partition=job.partition,
            alert_id=alert_id,
            tenant=job.tenant,
            device_id=job.device_id,
            kind="withdrawn",
            at_us=raised_us,
            raised_at_us=raised_us,
            window_start_us=start_us,
            window_end_us=end_us,
            score=score,
            peak_score=peak,
            threshold=threshold,
            model=model,
            profile=profile,
        )
        for alert_id, raised_us, start_us, end_us, score, peak, threshold, model, profile in (
            connection.execute(_WITHDRAW, asked).fetchall()
        )
    ]
