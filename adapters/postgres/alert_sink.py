"""EffectSink "alerts": alerts, devices and their sessions, on each commit."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
from psycopg import errors
from psycopg.sql import SQL

from adapters.postgres.effect_sink import ADVANCE, PostgresSink
from adapters.postgres.marks import forget_views
from adapters.postgres.presence_rows import write_presences, write_sessions
from adapters.postgres.time_partitions import TimePartitions
from fleetpulse.effects import AlertEvent, DeviceSeen, Effects
from fleetpulse.ports import Advance, Claim

# Raised and cleared are one row. Either may come first: what only the raising window knows
# (score) is taken from `raised`, what only the end knows (cleared_at) from `cleared`. What a
# recomputation wrote stays.
_INTO = """
INSERT INTO alerts (tenant, device_id, alert_id, raised_at, cleared_at, window_start, window_end,
    score, peak_score, threshold, model, profile)
"""
_MERGED = """
ON CONFLICT (tenant, device_id, raised_at, alert_id) DO UPDATE SET
    cleared_at = coalesce(excluded.cleared_at, alerts.cleared_at),
    score = CASE WHEN excluded.cleared_at IS NULL THEN excluded.score ELSE alerts.score END,
    peak_score = greatest(excluded.peak_score, alerts.peak_score)
WHERE alerts.view_epoch = 0
"""
_ALERT = (
    _INTO
    + """
VALUES (%s, %s, %s, epoch_us(%s), epoch_us(%s), epoch_us(%s), epoch_us(%s), %s, %s, %s, %s, %s)
"""
    + _MERGED
)
# Refused by a division by zero when not every partition advances: then nothing is written.
_AT_ONCE = SQL("""
WITH moved AS ({advance}), found AS (SELECT count(*) AS partitions FROM moved), written AS (
    {into}
    SELECT tenant, device_id, alert_id, epoch_us(raised_us), epoch_us(cleared_us),
        epoch_us(start_us), epoch_us(end_us), score, peak_score, threshold, model, profile
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::float8[], %s::float8[], %s::float8[], %s::text[], %s::text[])
        AS alert (tenant, device_id, alert_id, raised_us, cleared_us, start_us, end_us,
            score, peak_score, threshold, model, profile)
    WHERE (SELECT partitions FROM found) = %s
    {merged}
)
SELECT 1 / (partitions = %s)::integer FROM found
""").format(advance=SQL(ADVANCE), into=SQL(_INTO), merged=SQL(_MERGED))
_DEVICES = """
INSERT INTO devices (tenant, device_id, profile, first_seen)
SELECT tenant, device_id, profile, epoch_us(first_seen_us)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])
    AS seen (tenant, device_id, profile, first_seen_us)
ON CONFLICT (tenant, device_id) DO UPDATE SET
    profile = excluded.profile, first_seen = least(excluded.first_seen, devices.first_seen)
"""


_FORGET = (
    "DELETE FROM alerts WHERE tenant = %s AND device_id = %s",
    "DELETE FROM sessions WHERE tenant = %s AND device_id = %s",
    "DELETE FROM devices WHERE tenant = %s AND device_id = %s",
)


class PostgresAlertSink(PostgresSink):
    """Few rows, soon: people and sockets wait for them."""

    name = "alerts"

    def __init__(self, dsn: str, *, topic_id: str) -> None:
        super().__init__(dsn, topic_id=topic_id)
        self._alerts = TimePartitions("alerts")
        self._sessions = TimePartitions("sessions")
        self._partitions = (self._alerts, self._sessions)

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """As any sink's; the first alert after it is as quick as those that follow."""
        claims = super().claim(partitions)
        with self._session() as connection:
            self._rehearse(connection)
        return claims

    def _rehearse(self, connection: psycopg.Connection[Any]) -> None:
        """Write an alert and take it back: a session's first one costs the server ten times as
        much, and people would wait for it.
        """
        now_us = time.time_ns() // 1000
        self._alerts.ensure(connection, np.array([now_us]))
        row = ("", "", "", now_us, None, now_us, now_us, 0.0, 0.0, 0.0, "", "")
        with connection.transaction(force_rollback=True):
            self._write_at_once(connection, [row], {})

    def _has_rows(self, effects: Effects) -> bool:
        return bool(
            effects.alerts
            or effects.devices
            or effects.forgotten
            or effects.presences
            or effects.sessions
        )

    def _prepare(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        raised_us = np.array([each.raised_at_us for each in effects.alerts], np.int64)
        self._alerts.ensure(connection, raised_us)
        started_us = np.array([each.started_at_us for each in effects.sessions], np.int64)
        self._sessions.ensure(connection, started_us)

    def _write_rows(
        self,
        connection: psycopg.Connection[Any],
        effects: Effects,
        advance: Mapping[int, Advance],
    ) -> None:
        """Alerts alone in one statement: for each other wait for the server, this thread would
        also wait for the interpreter, which the shard's loop hardly ever gives up.
        """
        if _alerts_alone(effects):
            self._prepare(connection, effects)
            try:
                self._write_at_once(connection, [_alert_row(e) for e in effects.alerts], advance)
            except errors.DivisionByZero:
                pass  # the other way finds out which partitions are refused
            else:
                return
        super()._write_rows(connection, effects, advance)

    def _write_at_once(
        self,
        connection: psycopg.Connection[Any],
        rows: list[tuple[Any, ...]],
        advance: Mapping[int, Advance],
    ) -> None:
        columns = map(list, zip(*rows, strict=True))
        count = len(advance)
        connection.execute(_AT_ONCE, (*self._steps(advance), *columns, count, count))

    def _write_bulk(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        """Nothing: the rows travel with their statements."""

    def _apply(self, connection: psycopg.Connection[Any], effects: Effects) -> None:
        if effects.devices:
            connection.execute(_DEVICES, _device_columns(effects.devices))
        if effects.alerts:
            with connection.cursor() as cursor:
                cursor.executemany(_ALERT, [_alert_row(each) for each in effects.alerts])
        if effects.presences:
            write_presences(connection, effects.presences)
        if effects.sessions:
            write_sessions(connection, effects.sessions)
        for gone in effects.forgotten:
            forget_views(connection, self._topic_id, gone)
            for statement in _FORGET:
                connection.execute(statement, (gone.tenant, gone.device_id))


def _alerts_alone(effects: Effects) -> bool:
    """Whether nothing else is to be written. One statement may touch a row once."""
    others = (effects.devices, effects.forgotten, effects.presences, effects.sessions)
    ids = {(each.tenant, each.device_id, each.alert_id) for each in effects.alerts}
    return bool(ids) and len(ids) == len(effects.alerts) and not any(others)


def _device_columns(seen: list[DeviceSeen]) -> tuple[list[Any], ...]:
    # One statement may touch a row once: the newest sighting of a device wins, since the oldest.
    newest = {(each.tenant, each.device_id): each for each in seen}
    first_us = {(each.tenant, each.device_id): each.first_seen_us for each in reversed(seen)}
    return (
        [each.tenant for each in newest.values()],
        [each.device_id for each in newest.values()],
        [each.profile for each in newest.values()],
        [first_us[name] for name in newest],
    )


def _alert_row(event: AlertEvent) -> tuple[Any, ...]:
    return (
        event.tenant,
        event.device_id,
        event.alert_id,
        event.raised_at_us,
        event.at_us if event.kind == "cleared" else None,
        event.window_start_us,
        event.window_end_us,
        event.score,
        event.peak_score,
        event.threshold,
        event.model,
        event.profile,
    )
