"""Effects from the messages in the output topics: for the command line, checks and tests."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from fleetpulse import telemetry_pb2 as pb
from fleetpulse.effects import F64, I32, AlertEvent, AlertKind, Forgotten, Reason, Rejection
from fleetpulse.identity import DeviceKey

_KINDS: Final[dict[int, AlertKind]] = {
    pb.Alert.CLEARED: "cleared",
    pb.Alert.WITHDRAWN: "withdrawn",
}


@dataclass(frozen=True, slots=True)
class RollupRecord:
    """One message of `aggregates.*`. Arrays have one element per channel of `profile`."""

    bucket_us: int
    resolution_s: int
    profile: str
    count: I32
    min: F64
    max: F64
    mean: F64
    std: F64
    score_count: int
    score_over: int
    score_min: float
    score_max: float
    score_mean: float
    score_std: float


def decode_rollup(value: bytes) -> RollupRecord:
    """The reverse of encode_rollups, one message."""
    message = pb.Rollup.FromString(value)
    return RollupRecord(
        bucket_us=message.bucket_us,
        resolution_s=message.resolution_s,
        profile=message.profile,
        count=np.frombuffer(message.count, "<i4"),
        min=np.frombuffer(message.min, "<f8"),
        max=np.frombuffer(message.max, "<f8"),
        mean=np.frombuffer(message.mean, "<f8"),
        std=np.frombuffer(message.std, "<f8"),
        score_count=message.score_count,
        score_over=message.score_over,
        score_min=message.score_min,
        score_max=message.score_max,
        score_mean=message.score_mean,
        score_std=message.score_std,
    )


def decode_alert(value: bytes, *, partition: int) -> AlertEvent:
    """The reverse of encode_alert."""
    message = pb.Alert.FromString(value)
    return AlertEvent(
        partition=partition,
        alert_id=message.alert_id,
        tenant=message.tenant,
        device_id=message.device_id,
        kind=_KINDS.get(message.kind, "raised"),
        at_us=message.at_us,
        raised_at_us=message.raised_at_us,
        window_start_us=message.window_start_us,
        window_end_us=message.window_end_us,
        score=message.score,
        peak_score=message.peak_score,
        threshold=message.threshold,
        model=message.model,
        profile=message.profile,
    )


def decode_tombstone(key: bytes, value: bytes) -> Forgotten:
    """The reverse of encode_tombstone."""
    message = pb.Tombstone.FromString(value)
    name = DeviceKey.decode(key)
    return Forgotten(
        message.partition, message.offset, message.log_time_us, name.tenant, name.device
    )


def decode_rejected(value: bytes) -> Rejection:
    """The reverse of encode_rejected."""
    message = pb.Rejected.FromString(value)
    return Rejection(
        partition=message.partition,
        offset=message.offset,
        log_time_us=message.log_time_us,
        key=message.key,
        value=message.value,
        reason=Reason(message.reason),
        detail=message.detail,
        first_us=message.first_us,
        last_us=message.last_us,
    )
