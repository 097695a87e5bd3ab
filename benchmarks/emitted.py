"""What a running system emitted, in the offline computation's terms."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from confluent_kafka import Message
from psycopg.sql import SQL, Identifier

from benchmarks.offline.alerts import Alert
from benchmarks.offline.rollups import Rollup, Stats
from benchmarks.topics import read_to_end
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Alert as AlertMessage
from fleetpulse.telemetry_pb2 import Rejected, Score
from fleetpulse.telemetry_pb2 import Rollup as RollupMessage

RollupKey = tuple[bytes, int, int]

_TABLES = {"rollup_minute": 60, "rollup_hour": 3600, "rollup_day": 86_400}
_ROLLUPS = SQL("""
SELECT tenant, device_id, (extract(epoch FROM bucket) * 1000000)::bigint,
    count, min, max, mean, std,
    score_count, score_over, score_min, score_max, score_mean, score_std
FROM {}
""")
_ALERTS = """
SELECT tenant, device_id, alert_id,
    (extract(epoch FROM raised_at) * 1000000)::bigint,
    (extract(epoch FROM cleared_at) * 1000000)::bigint,
    (extract(epoch FROM window_start) * 1000000)::bigint,
    (extract(epoch FROM window_end) * 1000000)::bigint,
    score, peak_score
FROM alerts
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


def scores(settings: KafkaSettings) -> list[tuple[tuple[bytes, int, int], float]]:
    """Topic `scores`."""
    found: list[tuple[tuple[bytes, int, int], float]] = []

    def take(message: Message) -> None:
        score = Score.FromString(message.value() or b"")
        key = (message.key() or b"", score.window_start_us, score.window_end_us)
        found.append((key, score.score))

    read_to_end(settings, "scores", take)
    return found


def rollups(settings: KafkaSettings, topic: str) -> list[tuple[RollupKey, Rollup]]:
    """Topic `aggregates.second` or `aggregates.minute`."""
    found: list[tuple[RollupKey, Rollup]] = []

    def take(message: Message) -> None:
        row = RollupMessage.FromString(message.value() or b"")
        columns = [
            np.frombuffer(row.count, "<i4"),
            *(np.frombuffer(raw, "<f8") for raw in (row.min, row.max, row.mean, row.std)),
        ]
        scored = Stats(row.score_count, row.score_min, row.score_max, row.score_mean, row.score_std)
        rollup = Rollup(_channels(columns), scored, row.score_over)
        found.append(((message.key() or b"", row.resolution_s, row.bucket_us), rollup))

    read_to_end(settings, topic, take)
    return found


def alerts(settings: KafkaSettings) -> list[tuple[tuple[bytes, str, str], Alert]]:
    """Topic `alerts`."""
    found: list[tuple[tuple[bytes, str, str], Alert]] = []

    def take(message: Message) -> None:
        event = AlertMessage.FromString(message.value() or b"")
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

    read_to_end(settings, "alerts", take)
    return found


def rejections(settings: KafkaSettings, topic: str) -> list[tuple[tuple[int, int], str]]:
    """Topic `telemetry.dead` or `telemetry.late`: (partition, offset) and reason."""
    found: list[tuple[tuple[int, int], str]] = []

    def take(message: Message) -> None:
        rejected = Rejected.FromString(message.value() or b"")
        found.append(((rejected.partition, rejected.offset), rejected.reason))

    read_to_end(settings, topic, take)
    return found


def rollup_rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[RollupKey, Rollup]]:
    """Minutes, hours and days in PostgreSQL."""
    for table, resolution_s in _TABLES.items():
        for row in connection.execute(_ROLLUPS.format(Identifier(table))):
            tenant, device, bucket_us, *columns = row
            rollup = Rollup(_channels(columns[:5]), Stats(columns[5], *columns[7:]), columns[6])
            yield (f"{tenant}/{device}".encode(), resolution_s, bucket_us), rollup


def alert_rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[tuple[bytes, str], AlertRow]]:
    """Alerts in PostgreSQL."""
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
