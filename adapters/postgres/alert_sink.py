"""EffectSink "alerts": alerts, devices and their sessions, on each commit."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg

from adapters.postgres.effect_sink import PostgresSink
from adapters.postgres.marks import end_jobs
from adapters.postgres.presence_rows import write_presences, write_sessions
from adapters.postgres.time_partitions import TimePartitions
from fleetpulse.effects import AlertEvent, DeviceSeen, Effects
from fleetpulse.ports import Claim

# Raised and cleared are one row. Either may come first: what only the raising window knows
# (score) is taken from `raised`, what only the end knows (cleared_at) from `cleared`.
_ALERT = """
INSERT INTO alerts (tenant, device_id, alert_id, raised_at, cleared_at, window_start, window_end,
    score, peak_score, threshold, model, profile)
VALUES (%s, %s, %s, epoch_us(%s), epoch_us(%s), epoch_us(%s), epoch_us(%s), %s, %s, %s, %s, %s)
ON CONFLICT (tenant, device_id, raised_at, alert_id) DO UPDATE SET
    cleared_at = coalesce(excluded.cleared_at, alerts.cleared_at),
    score = CASE WHEN excluded.cleared_at IS NULL THEN excluded.score ELSE alerts.score END,
    peak_score = greatest(excluded.peak_score, alerts.peak_score)
"""
_DEVICES = """
INSERT INTO devices (tenant, device_id, profile, first_seen)
SELECT tenant, device_id, profile, epoch_us(first_seen_us)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])
    AS seen (tenant, device_id, profile, first_seen_us)
ON CONFLICT (tenant, device_id) DO UPDATE SET
    profile = excluded.profile, first_seen = least(excluded.first_seen, devices.first_seen)
"""


_FORGET = (
    "DELETE FROM recompute_views WHERE tenant = %s AND device_id = %s",
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
        with connection.transaction(force_rollback=True), connection.cursor() as cursor:
            row = ("", "", "", now_us, None, now_us, now_us, 0.0, 0.0, 0.0, "", "")
            cursor.executemany(_ALERT, [row])

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
            end_jobs(connection, gone.tenant, gone.device_id)
            for statement in _FORGET:
                connection.execute(statement, (gone.tenant, gone.device_id))


def _device_columns(seen: list[DeviceSeen]) -> tuple[list[Any], ...]:
    # One statement may touch a row once: the newest sighting of a device wins.
    newest = {(each.tenant, each.device_id): each for each in seen}.values()
    return (
        [each.tenant for each in newest],
        [each.device_id for each in newest],
        [each.profile for each in newest],
        [each.first_seen_us for each in newest],
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
