"""Puts the database back to a savepoint: what was written after it goes, progress goes back.

Rows are told by their own time, per device (fleetpulse/rewind.py). What the replay would not
bring back stays: rows of a recompute, which live never replaces, and rows of another profile that
was known before, which may be of an earlier life of the device.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Composable, Identifier

from adapters.postgres.connection import connect, unavailable
from fleetpulse.errors import ConfigError
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.rewind import DevicePast, PartitionPast

SINKS: Final = ("alerts", "rollups")
STATEMENT_TIMEOUT_S: Final = 600
_BUCKETS: Final = {"rollup_minute": "1 minute", "rollup_hour": "1 hour", "rollup_day": "24 hours"}

_PAST: Final = """
CREATE TEMP TABLE past (
    tenant text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    profile text COLLATE "C" NOT NULL,
    emitted_until_us bigint,
    alert_id text COLLATE "C",
    session_id text COLLATE "C",
    online boolean NOT NULL,
    heard_us bigint,
    is_new boolean NOT NULL,
    PRIMARY KEY (tenant, device_id)
) ON COMMIT DROP
"""
_COPY: Final = "COPY past FROM STDIN"
_UNKNOWN: Final = """
SELECT tenant, device_id, (extract(epoch FROM first_seen) * 1000000)::bigint FROM devices
WHERE NOT EXISTS (
    SELECT FROM past
    WHERE past.tenant = devices.tenant AND past.device_id = devices.device_id
)
"""
_RECOMPUTED: Final = {
    "alerts": "late.view_epoch > 0 OR late.withdrawn",
    "sessions": "late.view_epoch > 0",
    **dict.fromkeys(_BUCKETS, "late.view_epoch > 0 OR late.withheld"),
}
# {end}: when a row had been emitted at the latest for it to stay.
_DELETE: Final = """
DELETE FROM {table} AS late USING past
WHERE late.tenant = past.tenant AND late.device_id = past.device_id AND NOT ({recomputed})
    AND {end} > coalesce(epoch_us(past.emitted_until_us), '-infinity')
    AND (past.is_new OR late.profile = past.profile OR late.profile <> ALL(%s::text[]))
"""
# The row was as the raising window made it.
_REOPEN_ALERTS: Final = """
UPDATE alerts SET cleared_at = NULL, peak_score = score FROM past
WHERE alerts.tenant = past.tenant AND alerts.device_id = past.device_id
    AND alerts.alert_id = past.alert_id AND alerts.view_epoch = 0
"""
_REOPEN_SESSIONS: Final = """
UPDATE sessions SET (ended_at, channels, count, min, max, mean, std,
    score_count, score_over, score_min, score_max, score_mean, score_std)
    = (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
FROM past
WHERE sessions.tenant = past.tenant AND sessions.device_id = past.device_id
    AND sessions.session_id = past.session_id AND sessions.view_epoch = 0
"""
_PRESENCE: Final = """
UPDATE devices SET online = past.online, since = NULL,
    heard_at = CASE WHEN past.online THEN NULL ELSE epoch_us(past.heard_us) END
FROM past
WHERE devices.tenant = past.tenant AND devices.device_id = past.device_id AND NOT past.is_new
    AND devices.online <> past.online
"""
_NEW_DEVICES: Final = """
DELETE FROM devices USING past
WHERE devices.tenant = past.tenant AND devices.device_id = past.device_id AND past.is_new
"""
# The next epoch: whoever wrote until now is fenced.
_PROGRESS: Final = """
UPDATE progress
SET next_offset = at.next_offset, owner_epoch = owner_epoch + 1, updated_at = now()
FROM unnest(%s::integer[], %s::bigint[]) AS at (partition, next_offset)
WHERE sink = ANY(%s) AND topic_id = %s AND progress.partition = at.partition
    AND progress.next_offset >= at.next_offset
"""


def rewind_database(
    dsn: str, topic_id: str, places: Sequence[PartitionPast], devices: Iterable[DevicePast]
) -> dict[str, int]:
    """All in one transaction; answers how many rows went, by table. places: of every partition.

    Raises ConfigError when a sink is behind the savepoint already.
    """
    connection = connect(dsn, purpose="rewind")
    try:
        with unavailable(), connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
            _set_back(connection, topic_id, places)
            _take_past(connection, places, devices)
            return _delete(connection, sorted(set().union(*(each.profiles for each in places))))
    finally:
        connection.close()


def _set_back(
    connection: psycopg.Connection[Any], topic_id: str, places: Sequence[PartitionPast]
) -> None:
    moved = connection.execute(
        _PROGRESS,
        (
            [each.partition for each in places],
            [each.next_offset for each in places],
            list(SINKS),
            topic_id,
        ),
    ).rowcount
    if moved != len(places) * len(SINKS):
        raise ConfigError("the database is behind the savepoint: restore a newer copy of it")


def _take_past(
    connection: psycopg.Connection[Any],
    places: Sequence[PartitionPast],
    devices: Iterable[DevicePast],
) -> None:
    connection.execute(_PAST)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for each in devices:
            copy.write_row((*_row(each), False))
    begun = _begun_since(connection, {each.partition: each.log_time_us for each in places})
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for tenant, device_id in begun:
            copy.write_row((tenant, device_id, "", None, None, None, True, None, True))
    connection.execute("ANALYZE past")


def _begun_since(
    connection: psycopg.Connection[Any], log_time_us: Mapping[int, int]
) -> list[tuple[str, str]]:
    """Devices of which the savepoint knows nothing because they came after it."""
    unknown = connection.execute(_UNKNOWN).fetchall()
    return [
        (tenant, device_id)
        for tenant, device_id, first_seen_us in unknown
        if first_seen_us
        >= log_time_us[partition_of(DeviceKey(tenant, device_id).encode(), len(log_time_us))]
    ]


def _delete(connection: psycopg.Connection[Any], known: list[str]) -> dict[str, int]:
    ends: dict[str, Composable] = {
        "alerts": SQL("late.raised_at"),
        "sessions": SQL("late.started_at + interval '1 second'"),
    }
    for table, length in _BUCKETS.items():
        ends[table] = SQL("late.bucket + interval {}").format(length)
    gone: dict[str, int] = {}
    for table, end in ends.items():
        statement = SQL(_DELETE).format(
            table=Identifier(table), end=end, recomputed=SQL(_RECOMPUTED[table])
        )
        gone[table] = connection.execute(statement, (known,)).rowcount
    for reopening in (_REOPEN_ALERTS, _REOPEN_SESSIONS, _PRESENCE):
        connection.execute(reopening)
    gone["devices"] = connection.execute(_NEW_DEVICES).rowcount
    return gone


def _row(each: DevicePast) -> tuple[Any, ...]:
    return (
        each.tenant,
        each.device_id,
        each.profile,
        each.emitted_until_us,
        each.alert_id,
        each.session_id,
        each.online,
        each.heard_us,
    )
