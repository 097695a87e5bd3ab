"""Sessions as rows: the statements, and what their columns mean."""

from typing import Any, Final

from psycopg.sql import SQL

from adapters.postgres.periods import in_us, page_by
from fleetpulse.effects import SessionSummary
from fleetpulse.reads import SessionRow

_COLUMNS: Final = SQL("""
SELECT session_id, tenant, device_id, profile, {started_at}, {ended_at},
    channels, count, min, max, mean, std,
    score_count, score_over, score_min, score_max, score_mean, score_std
FROM sessions
""").format(**{column: in_us(column) for column in ("started_at", "ended_at")})
SESSIONS: Final = (
    _COLUMNS + SQL("WHERE NOT withdrawn AND ") + page_by("started_at", "ended_at", "session_id")
)
SESSION: Final = _COLUMNS + SQL("WHERE tenant = %s AND session_id = %s AND NOT withdrawn")


def row_of(columns: tuple[Any, ...]) -> SessionRow:
    """A row of SESSIONS or SESSION."""
    name, tenant, device, profile, started_us, ended_us, *measured = columns
    summary = None
    if ended_us is not None:
        channels: list[Any] = [tuple(each) for each in measured[:6]]
        summary = SessionSummary(*channels, *measured[6:])
    return SessionRow(name, tenant, device, profile, started_us, ended_us, summary)
