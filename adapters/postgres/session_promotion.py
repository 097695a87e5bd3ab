"""A promotion's sessions: written where they are other than before, withdrawn where next has none.

Part of a promotion's transaction; a session that still runs is written too, so that live's end of
it, which lacks what was late, is refused.
"""

from typing import Any, Final

import psycopg
from psycopg.sql import SQL

from adapters.postgres.presence_rows import SESSION, SESSION_VALUES, session_columns
from fleetpulse.effects import SessionEvent
from fleetpulse.recompute.job import Claimed
from fleetpulse.recompute.sessions import SessionCorrection

_SESSION: Final = SQL("""
INSERT INTO sessions AS held ({columns}, view_epoch) VALUES ({values}, %s)
ON CONFLICT (tenant, device_id, started_at, session_id) DO UPDATE SET
    ({ended}, view_epoch, withdrawn) = ({new}, excluded.view_epoch, false)
WHERE held.withdrawn OR excluded.ended_at IS NULL AND held.view_epoch = 0
    OR ({held}) IS DISTINCT FROM ({new})
""").format(**SESSION)
# Live alone knows the scores of one that runs: it is left to live to end.
_UNSCORED: Final = SQL("""
INSERT INTO sessions AS held ({columns}, view_epoch) VALUES ({values}, %s)
ON CONFLICT (tenant, device_id, started_at, session_id) DO UPDATE SET
    ({ended}, view_epoch, withdrawn) = ({new}, excluded.view_epoch, false)
WHERE held.withdrawn OR ({held}) IS DISTINCT FROM ({new})
""").format(**SESSION_VALUES)
# Live's sessions by name, because live goes on meanwhile; those of earlier promotions by time.
_WITHDRAW: Final = """
UPDATE sessions SET withdrawn = true, view_epoch = %(view_epoch)s
WHERE tenant = %(tenant)s AND device_id = %(device_id)s AND NOT withdrawn
    AND started_at >= epoch_us(%(started_from_us)s) AND started_at < epoch_us(%(to_us)s)
    AND coalesce(ended_at, 'infinity') > epoch_us(%(from_us)s)
    AND session_id <> ALL(%(known)s) AND (view_epoch > 0 OR session_id = ANY(%(before)s))
RETURNING session_id, profile, (extract(epoch FROM started_at) * 1000000)::bigint
"""
_EVER_US: Final = 1 << 60


def replace_sessions(
    connection: psycopg.Connection[Any],
    job: Claimed,
    correction: SessionCorrection,
    view_epoch: int,
    *,
    scored: bool,
) -> list[SessionEvent]:
    """Answers the sessions that are other than before, withdrawn ones too.

    scored: otherwise a row that is there keeps its scores.
    """
    statement = _SESSION if scored else _UNSCORED
    written = [
        each
        for each in correction.sessions
        if connection.execute(statement, (*session_columns(each), view_epoch)).rowcount
    ]
    asked = {
        "view_epoch": view_epoch,
        "tenant": job.tenant,
        "device_id": job.device_id,
        "started_from_us": correction.started_from_us,
        "from_us": correction.reached.from_us,
        "to_us": min(correction.reached.to_us, _EVER_US),
        "known": correction.known,
        "before": correction.before,
    }
    withdrawn = [
        SessionEvent(
            partition=job.partition,
            session_id=session_id,
            tenant=job.tenant,
            device_id=job.device_id,
            profile=profile,
            kind="withdrawn",
            started_at_us=started_us,
            ended_at_us=None,
            summary=None,
        )
        for session_id, profile, started_us in connection.execute(_WITHDRAW, asked).fetchall()
    ]
    return written + withdrawn
