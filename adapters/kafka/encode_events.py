"""DeviceEvent messages; there are few."""

from typing import Final

from fleetpulse import telemetry_pb2 as pb
from fleetpulse.effects import Presence, PresenceKind, SessionEvent, SessionKind, SessionSummary

_PRESENCES: Final[dict[PresenceKind, pb.DeviceEvent.Kind]] = {
    "offline": pb.DeviceEvent.OFFLINE,
    "online": pb.DeviceEvent.ONLINE,
}
_SESSIONS: Final[dict[SessionKind, pb.DeviceEvent.Kind]] = {
    "started": pb.DeviceEvent.SESSION_STARTED,
    "ended": pb.DeviceEvent.SESSION_ENDED,
    "withdrawn": pb.DeviceEvent.SESSION_WITHDRAWN,
}


def encode_presence(event: Presence) -> bytes:
    """Offline or online."""
    return pb.DeviceEvent(
        tenant=event.tenant,
        device_id=event.device_id,
        kind=_PRESENCES[event.kind],
        at_us=event.at_us,
        heard_us=event.heard_us,
    ).SerializeToString()


def encode_session(event: SessionEvent, *, view_epoch: int = 0) -> bytes:
    """A session's start or end. view_epoch: of a correction; it supersedes the one before it."""
    return pb.DeviceEvent(
        tenant=event.tenant,
        device_id=event.device_id,
        kind=_SESSIONS[event.kind],
        at_us=event.started_at_us if event.ended_at_us is None else event.ended_at_us,
        session=_session(event),
        view_epoch=view_epoch,
        supersedes=max(0, view_epoch - 1),
    ).SerializeToString()


def _session(event: SessionEvent) -> pb.Session:
    session = pb.Session(
        session_id=event.session_id, profile=event.profile, started_at_us=event.started_at_us
    )
    if event.ended_at_us is not None and event.summary is not None:
        session.ended_at_us = event.ended_at_us
        _describe(session, event.summary)
    return session


def _describe(session: pb.Session, s: SessionSummary) -> None:
    for count, low, high, mean, std in zip(s.count, s.min, s.max, s.mean, s.std, strict=True):
        session.channels.add(count=count, min=low, max=high, mean=mean, std=std)
    session.scores.CopyFrom(
        pb.SessionStatistics(
            count=s.score_count,
            min=s.score_min,
            max=s.score_max,
            mean=s.score_mean,
            std=s.score_std,
        )
    )
    session.scores_over = s.score_over
