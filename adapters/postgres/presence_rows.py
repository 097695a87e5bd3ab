"""Statements for devices that fall silent or return, and for sessions."""

from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier, Placeholder

from fleetpulse.effects import Presence, SessionEvent

_PRESENCES = """
UPDATE devices SET online = seen.online, since = epoch_us(seen.at_us),
    heard_at = CASE WHEN seen.online THEN NULL ELSE epoch_us(seen.heard_us) END
FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::bigint[], %s::bigint[])
    AS seen (tenant, device_id, online, at_us, heard_us)
WHERE devices.tenant = seen.tenant AND devices.device_id = seen.device_id
"""
_VALUES = ("ended_at", "channels", "count", "min", "max", "mean", "std")
_SCORES = ("score_count", "score_over", "score_min", "score_max", "score_mean", "score_std")
_ENDED = _VALUES + _SCORES


def _of(columns: tuple[str, ...], *table: str) -> Composed:
    return SQL(", ").join(Identifier(*table, column) for column in columns)


def _parts(ended: tuple[str, ...]) -> dict[str, Composable]:
    return {
        "columns": SQL("tenant, device_id, session_id, started_at, profile, {}").format(
            _of(_ENDED)
        ),
        "values": SQL("%s, %s, %s, epoch_us(%s), %s, epoch_us(%s), {}").format(
            SQL(", ").join([Placeholder()] * (len(_ENDED) - 1))
        ),
        "ended": _of(ended),
        "held": _of(ended, "held"),
        "new": _of(ended, "excluded"),
    }


SESSION: Final = _parts(_ENDED)
"""Parts of a statement on a session's row, `held`: its columns, what `session_columns` fills, and
what its end brings.
"""
SESSION_VALUES: Final = _parts(_VALUES)
"""The same for an end that leaves the row's scores as they are."""
# Started and ended are one row; the end alone knows all of it. What a recomputation wrote stays.
_SESSION = SQL("""
INSERT INTO sessions AS held ({columns}) VALUES ({values})
ON CONFLICT (tenant, device_id, started_at, session_id) DO UPDATE SET ({ended}) = ({new})
WHERE excluded.ended_at IS NOT NULL AND held.view_epoch = 0
""").format(**SESSION)


def write_presences(connection: psycopg.Connection[Any], events: list[Presence]) -> None:
    """The newest of each device decides: one statement may touch a row once."""
    newest = {(each.tenant, each.device_id): each for each in events}.values()
    connection.execute(
        _PRESENCES,
        (
            [each.tenant for each in newest],
            [each.device_id for each in newest],
            [each.kind == "online" for each in newest],
            [each.at_us for each in newest],
            [each.heard_us for each in newest],
        ),
    )


def write_sessions(connection: psycopg.Connection[Any], events: list[SessionEvent]) -> None:
    """A row per session."""
    with connection.cursor() as cursor:
        cursor.executemany(_SESSION, [session_columns(each) for each in events])


def session_columns(event: SessionEvent) -> tuple[Any, ...]:
    """A session as a row, without its view."""
    s = event.summary
    return (
        event.tenant,
        event.device_id,
        event.session_id,
        event.started_at_us,
        event.profile,
        event.ended_at_us,
        *(
            (None,) * 12
            if s is None
            else (
                list(s.channels),
                list(s.count),
                list(s.min),
                list(s.max),
                list(s.mean),
                list(s.std),
                s.score_count,
                s.score_over,
                s.score_min,
                s.score_max,
                s.score_mean,
                s.score_std,
            )
        ),
    )
