"""What a running system emitted, in the offline computation's terms."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import psycopg
from confluent_kafka import Message
from psycopg.sql import SQL, Identifier

from benchmarks.offline.alerts import Alert
from benchmarks.offline.rollups import Rollup, Stats
from benchmarks.topics import EVERYTHING, Span, read_to_end
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Alert as AlertMessage
from fleetpulse.telemetry_pb2 import Rejected, Score, Tombstone
from fleetpulse.telemetry_pb2 import Rollup as RollupMessage

RollupKey = tuple[bytes, int, int]

_TABLES = {"rollup_minute": 60, "rollup_hour": 3600, "rollup_day": 86_400}
_ROLLUPS = SQL("""
SELECT tenant, device_id, (extract(epoch FROM bucket) * 1000000)::bigint,
    count, min, max, mean, std,
    score_count, score_over, score_min, score_max, score_mean, score_std
FROM {} WHERE NOT withheld
""")
_CORRECTED_ROLLUPS = SQL("""
SELECT tenant, device_id, (extract(epoch FROM bucket) * 1000000)::bigint, withheld
FROM {} WHERE view_epoch > 0
""")
_ALERTS = """
SELECT tenant, device_id, alert_id,
    (extract(epoch FROM raised_at) * 1000000)::bigint,
    (extract(epoch FROM cleared_at) * 1000000)::bigint,
    (extract(epoch FROM window_start) * 1000000)::bigint,
    (extract(epoch FROM window_end) * 1000000)::bigint,
    score, peak_score
FROM alerts WHERE NOT withdrawn
"""
_CORRECTED_ALERTS = "SELECT tenant, device_id, alert_id, withdrawn FROM alerts WHERE view_epoch > 0"
_CORRECTED_SESSIONS = """
SELECT tenant, device_id, session_id, withdrawn OR ended_at IS NULL
FROM sessions WHERE view_epoch > 0
"""


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert as PostgreSQL keeps it: raised, and perhaps cleared."""

    raised_at_us: int
    cleared_at_us: int | None
    window_start_us: int
    window_end_us: int
    score: float
    peak_score: float


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a recomputation has promoted, and what it hides."""

    rollups: set[RollupKey]
    withheld: set[RollupKey]
    alerts: set[tuple[bytes, str]]
    withdrawn: set[tuple[bytes, str]]
    sessions: set[tuple[bytes, str]]
    sessions_hidden: set[tuple[bytes, str]]
    """Withdrawn, or still to be ended."""

    @property
    def any(self) -> bool:
        """Whether there was one."""
        return any(getattr(self, part.name) for part in fields(self))


def scores(
    settings: KafkaSettings, span: Span = EVERYTHING
) -> list[tuple[tuple[bytes, int, int], float]]:
    """Topic `scores`, as live emitted it."""
    found: list[tuple[tuple[bytes, int, int], float]] = []

    def take(message: Message) -> None:
        score = Score.FromString(message.value() or b"")
        if score.view_epoch:
            return
        key = (message.key() or b"", score.window_start_us, score.window_end_us)
        found.append((key, score.score))

    read_to_end(settings, "scores", take, span)
    return found


def rollups(
    settings: KafkaSettings, topic: str, span: Span = EVERYTHING
) -> list[tuple[RollupKey, Rollup]]:
    """Topic `aggregates.second` or `aggregates.minute`, as live emitted it."""
    found: list[tuple[RollupKey, Rollup]] = []

    def take(message: Message) -> None:
        row = RollupMessage.FromString(message.value() or b"")
        if row.view_epoch:
            return
        columns = [
            np.frombuffer(row.count, "<i4"),
            *(np.frombuffer(raw, "<f8") for raw in (row.min, row.max, row.mean, row.std)),
        ]
        scored = Stats(row.score_count, row.score_min, row.score_max, row.score_mean, row.score_std)
        rollup = Rollup(_channels(columns), scored, row.score_over)
        found.append(((message.key() or b"", row.resolution_s, row.bucket_us), rollup))

    read_to_end(settings, topic, take, span)
    return found


def alerts(
    settings: KafkaSettings, span: Span = EVERYTHING
) -> list[tuple[tuple[bytes, str, str], Alert]]:
    """Topic `alerts`, as live emitted it."""
    found: list[tuple[tuple[bytes, str, str], Alert]] = []

    def take(message: Message) -> None:
        event = AlertMessage.FromString(message.value() or b"")
        if event.view_epoch:
            return
        kind = AlertMessage.Kind.Name(event.kind).lower()
        alert = Alert(
            event.alert_id,
            kind,
            event.at_us,
            event.raised_at_us,
            event.window_start_us,
            event.window_end_us,
            event.score,
            event.peak_score,
        )
        found.append(((f"{event.tenant}/{event.device_id}".encode(), alert.alert_id, kind), alert))

    read_to_end(settings, "alerts", take, span)
    return found


def rejections(
    settings: KafkaSettings, topic: str, span: Span = EVERYTHING
) -> list[tuple[tuple[int, int], str]]:
    """Topic `telemetry.dead` or `telemetry.late`: (partition, offset) and reason."""
    found: list[tuple[tuple[int, int], str]] = []

    def take(message: Message) -> None:
        rejected = Rejected.FromString(message.value() or b"")
        found.append(((rejected.partition, rejected.offset), rejected.reason))

    read_to_end(settings, topic, take, span)
    return found


def tombstones(
    settings: KafkaSettings, span: Span = EVERYTHING
) -> list[tuple[tuple[int, int], bytes]]:
    """Topic `tombstones`: (partition, offset) of the deletion, and the device."""
    found: list[tuple[tuple[int, int], bytes]] = []

    def take(message: Message) -> None:
        tombstone = Tombstone.FromString(message.value() or b"")
        found.append(((tombstone.partition, tombstone.offset), message.key() or b""))

    read_to_end(settings, "tombstones", take, span)
    return found


def corrected(connection: psycopg.Connection[Any]) -> Corrected:
    """Which rows in PostgreSQL are not live's."""
    found = Corrected(*(set() for _ in fields(Corrected)))
    for table, resolution_s in _TABLES.items():
        rows = connection.execute(_CORRECTED_ROLLUPS.format(Identifier(table)))
        for tenant, device, bucket_us, withheld in rows:
            key = (f"{tenant}/{device}".encode(), resolution_s, bucket_us)
            (found.withheld if withheld else found.rollups).add(key)
    for tenant, device, alert_id, withdrawn in connection.execute(_CORRECTED_ALERTS):
        alert = (f"{tenant}/{device}".encode(), alert_id)
        (found.withdrawn if withdrawn else found.alerts).add(alert)
    for tenant, device, session_id, hidden in connection.execute(_CORRECTED_SESSIONS):
        session = (f"{tenant}/{device}".encode(), session_id)
        (found.sessions_hidden if hidden else found.sessions).add(session)
    return found


def rollup_rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[RollupKey, Rollup]]:
    """Minutes, hours and days in PostgreSQL, as readers see them."""
    for table, resolution_s in _TABLES.items():
        for row in connection.execute(_ROLLUPS.format(Identifier(table))):
            tenant, device, bucket_us, *columns = row
            rollup = Rollup(_channels(columns[:5]), Stats(columns[5], *columns[7:]), columns[6])
            yield (f"{tenant}/{device}".encode(), resolution_s, bucket_us), rollup


def alert_rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[tuple[bytes, str], AlertRow]]:
    """Alerts in PostgreSQL, as readers see them."""
    for tenant, device, alert_id, *columns in connection.execute(_ALERTS):
        yield (f"{tenant}/{device}".encode(), alert_id), AlertRow(*columns)


def expected_alert_rows(
    events: dict[tuple[bytes, str, str], Alert],
) -> dict[tuple[bytes, str], AlertRow]:
    """The rows that alert events add up to."""
    rows = {}
    for (key, alert_id, kind), raised in events.items():
        if kind == "raised":
            cleared = events.get((key, alert_id, "cleared"))
            rows[key, alert_id] = AlertRow(
                raised.raised_at_us,
                cleared.at_us if cleared else None,
                raised.window_start_us,
                raised.window_end_us,
                raised.score,
                (cleared or raised).peak_score,
            )
    return rows


def _channels(columns: list[Any]) -> tuple[Stats, ...]:
    return tuple(
        Stats(int(count), *map(float, values)) for count, *values in zip(*columns, strict=True)
    )
