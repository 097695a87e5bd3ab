"""What goes over a socket, as JSON text. Times are epoch milliseconds, NaN is null."""

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.live_fleet import FleetSummary, FleetTable
from actors.live_hub import NumberedAlert, NumberedEvent
from fleetpulse.effects import (
    AlertEvent,
    DeviceEvent,
    Forgotten,
    Presence,
    SessionEvent,
    SessionSummary,
)
from fleetpulse.identity import DeviceKey
from fleetpulse.live import LiveSamples, LiveScore
from fleetpulse.reads import SessionRow

SILENT_US: Final = 10_000_000
"""A device that was not heard for so long is shown as silent."""
STATES: Final = ("alert", "high", "offline", "ok", "silent")
"""In the order of their severity. high: a score above the threshold without an alert; silent:
nothing came here for a while; offline: the log says so.
"""


def encode(message: dict[str, Any]) -> str:
    """One message."""
    return msgspec.json.encode(message).decode()


def alert_fields(event: AlertEvent) -> dict[str, Any]:
    """An alert as the API and the sockets show it."""
    return {
        "alert_id": event.alert_id,
        "tenant": event.tenant,
        "device_id": event.device_id,
        "kind": event.kind,
        "at_ms": event.at_us / 1000,
        "raised_at_ms": event.raised_at_us / 1000,
        "window_start_ms": event.window_start_us / 1000,
        "window_end_ms": event.window_end_us / 1000,
        "score": _short(event.score),
        "peak_score": _short(event.peak_score),
        "threshold": _short(event.threshold),
        "model": event.model,
        "profile": event.profile,
    }


def alert_message(hub: str, alert: NumberedAlert) -> str:
    """cursor: what a client hands in to go on after this alert. stale: too old to call anybody."""
    cursor = f"{hub}:{alert.number}"
    told = {"type": "alert", "cursor": cursor, "stale": alert.stale}
    return encode({**told, **alert_fields(alert.event)})


def event_message(hub: str, numbered: NumberedEvent) -> str:
    """A device fell silent, returned or was deleted (`device`), or its `session` began or ended."""
    cursor = f"{hub}:{numbered.number}"
    return encode({"cursor": cursor, **event_fields(numbered.event)})


def event_fields(event: DeviceEvent) -> dict[str, Any]:
    """What happened to a device."""
    if isinstance(event, Presence):
        return {
            "type": "device",
            "tenant": event.tenant,
            "device_id": event.device_id,
            "kind": event.kind,
            "at_ms": event.at_us / 1000,
            "heard_ms": event.heard_us / 1000,
        }
    if isinstance(event, Forgotten):
        return {
            "type": "device",
            "tenant": event.tenant,
            "device_id": event.device_id,
            "kind": "deleted",
            "at_ms": event.log_time_us / 1000,
        }
    return session_fields(event)


def session_fields(session: SessionEvent | SessionRow) -> dict[str, Any]:
    """A session; its statistics once it has ended."""
    ended_us = session.ended_at_us
    return {
        "type": "session",
        "session_id": session.session_id,
        "tenant": session.tenant,
        "device_id": session.device_id,
        "kind": "started" if ended_us is None else "ended",
        "profile": session.profile,
        "started_at_ms": session.started_at_us / 1000,
        "ended_at_ms": None if ended_us is None else ended_us / 1000,
        "summary": None if session.summary is None else _summary(session.summary),
    }


def _summary(s: SessionSummary) -> dict[str, Any]:
    names = ("count", "min", "max", "mean", "std")
    columns = zip(s.count, s.min, s.max, s.mean, s.std, strict=True)
    score = (s.score_count, s.score_min, s.score_max, s.score_mean, s.score_std)
    return {
        "channels": {
            channel: dict(zip(names, values, strict=True))
            for channel, values in zip(s.channels, columns, strict=True)
        },
        "score": {**dict(zip(names, score, strict=True)), "over": s.score_over},
    }


def samples_message(samples: LiveSamples) -> str:
    """values: one list per channel."""
    return encode(
        {
            "type": "samples",
            "device_id": DeviceKey.decode(samples.device).device,
            "channels": samples.channels,
            "t_ms": (samples.t_us / 1000).tolist(),
            "values": [[_short(v) for v in column] for column in samples.values.T.tolist()],
        }
    )


def score_message(score: LiveScore) -> str:
    """A window of a watched device was scored."""
    return encode(
        {
            "type": "score",
            "device_id": DeviceKey.decode(score.device).device,
            "end_ms": score.end_us / 1000,
            "score": _short(score.score),
            "threshold": _short(score.threshold),
            "model": score.model,
        }
    )


def summary_fields(summary: FleetSummary) -> dict[str, Any]:
    """Rates, latency and what is wrong."""
    return {
        "at_ms": summary.at_us / 1000,
        "samples_per_s": round(summary.samples_per_s),
        "windows_per_s": round(summary.windows_per_s, 1),
        "records_per_s": round(summary.records_per_s, 1),
        "alerts_total": summary.alerts_total,
        "latency_ms": {
            "p50": _short(summary.latency_ms_p50),
            "p99": _short(summary.latency_ms_p99),
        },
        "lag": summary.lag,
        "behind_s": summary.behind_s,
        "shards": [
            {
                "shard": shard.shard,
                "devices": shard.devices,
                "busy": round(shard.busy_fraction, 3),
                "partitions": len(shard.partitions),
            }
            for shard in summary.shards
        ],
        "stopped": [
            {"partition": part.partition, "remedy": part.remedy}
            for shard in summary.shards
            for part in shard.partitions
            if part.state == "stopped"
        ],
    }


def states_of(
    table: FleetTable, open_alerts: set[bytes], offline: set[bytes], now_us: int
) -> NDArray[np.int8]:
    """Index into STATES per row of the table."""
    count = len(table.keys)
    states = np.full(count, STATES.index("ok"), np.int8)
    states[table.scores > table.thresholds] = STATES.index("high")
    states[table.heard_us < now_us - SILENT_US] = STATES.index("silent")
    for state, those in (("offline", offline), ("alert", open_alerts)):
        marked = np.fromiter((key in those for key in table.keys), np.bool_, count)
        states[marked] = STATES.index(state)
    return states


def _short(value: float) -> float:
    return float(f"{value:.6g}")
