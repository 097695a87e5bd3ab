"""Silence and sessions as a running system emitted them, in the offline computation's terms."""

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from confluent_kafka import Message

from benchmarks.offline.rollups import Stats
from benchmarks.offline.sessions import Session
from benchmarks.topics import EVERYTHING, Span, read_to_end
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import DeviceEvent, SessionStatistics

PresenceKey = tuple[bytes, str, int]
SessionKey = tuple[bytes, str, str]

_SESSIONS = """
SELECT tenant, device_id, session_id,
    (extract(epoch FROM started_at) * 1000000)::bigint,
    (extract(epoch FROM ended_at) * 1000000)::bigint,
    count, min, max, mean, std,
    score_count, score_over, score_min, score_max, score_mean, score_std
FROM sessions WHERE NOT withdrawn AND (view_epoch = 0 OR ended_at IS NOT NULL)
"""
_OFFLINE = """
SELECT tenant, device_id, (extract(epoch FROM since) * 1000000)::bigint,
    (extract(epoch FROM heard_at) * 1000000)::bigint
FROM devices WHERE NOT online
"""


def events(
    settings: KafkaSettings, span: Span = EVERYTHING
) -> tuple[list[tuple[PresenceKey, int]], list[tuple[SessionKey, Session]]]:
    """Topic `events`: offline and online with when the device was last heard, and sessions
    as live emitted them.
    """
    presences: list[tuple[PresenceKey, int]] = []
    sessions: list[tuple[SessionKey, Session]] = []

    def take(message: Message) -> None:
        event = DeviceEvent.FromString(message.value() or b"")
        if event.view_epoch:
            return
        kind = DeviceEvent.Kind.Name(event.kind).lower()
        key = message.key() or b""
        if event.HasField("session"):
            s = event.session
            session = Session(s.session_id, s.started_at_us, s.ended_at_us or None)
            if s.HasField("scores"):
                session = Session(
                    s.session_id,
                    s.started_at_us,
                    s.ended_at_us,
                    tuple(_stats(each) for each in s.channels),
                    _stats(s.scores),
                    s.scores_over,
                )
            sessions.append(((key, s.session_id, kind.removeprefix("session_")), session))
        else:
            presences.append(((key, kind, event.at_us), event.heard_us))

    read_to_end(settings, "events", take, span)
    return presences, sessions


def session_rows(
    connection: psycopg.Connection[Any],
) -> Iterator[tuple[tuple[bytes, str], Session]]:
    """Sessions in PostgreSQL, but those whose end a recomputation still owes."""
    for tenant, device, name, started_us, ended_us, *columns in connection.execute(_SESSIONS):
        session = Session(name, started_us, ended_us)
        if ended_us is not None:
            channels = tuple(Stats(*values) for values in zip(*columns[:5], strict=True))
            scores = Stats(columns[5], *columns[7:])
            session = Session(name, started_us, ended_us, channels, scores, columns[6])
        yield (f"{tenant}/{device}".encode(), name), session


def expected_session_rows(
    events: Mapping[SessionKey, Session],
) -> dict[tuple[bytes, str], Session]:
    """The rows that session events add up to."""
    ended = {key[:2]: session for key, session in events.items() if key[2] == "ended"}
    return {key[:2]: session for key, session in events.items()} | ended


def offline_rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[PresenceKey, int]]:
    """Devices that PostgreSQL calls offline."""
    for tenant, device, since_us, heard_us in connection.execute(_OFFLINE):
        yield (f"{tenant}/{device}".encode(), "offline", since_us), heard_us


def expected_offline_rows(presences: Mapping[PresenceKey, int]) -> dict[PresenceKey, int]:
    """Each device's newest event, if that is `offline`."""
    newest = {key[0]: key for key in sorted(presences, key=lambda key: key[2])}
    return {key: presences[key] for key in newest.values() if key[1] == "offline"}


def _stats(s: SessionStatistics) -> Stats:
    return Stats(s.count, s.min, s.max, s.mean, s.std)
