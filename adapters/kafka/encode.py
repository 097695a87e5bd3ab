"""Protobuf messages of telemetry.proto from columns, without an object per row.

All numbers in Score and Rollup are fixed width, so every row of a batch has one layout: constant
tag bytes and values in turn. Zeros are written out, which a reader takes as it takes absence.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapters.interleave import interleave
from fleetpulse import telemetry_pb2 as pb
from fleetpulse.effects import (
    RESOLUTION_S,
    AlertEvent,
    Forgotten,
    Rejection,
    RollupRows,
    ScoreRows,
)

_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_KINDS: Final = {
    "raised": pb.Alert.RAISED,
    "cleared": pb.Alert.CLEARED,
    "withdrawn": pb.Alert.WITHDRAWN,
}
_DETAIL_CHARACTERS_MAX: Final = 2000


def encode_scores(rows: ScoreRows, *, view_epoch: int = 0) -> list[bytes]:
    """One Score per row. view_epoch: of a correction; it supersedes the one before it."""
    n = len(rows.devices)
    return interleave(
        *_number(1, rows.window_start_us, "<i8"),
        *_number(2, rows.window_end_us, "<i8"),
        *_number(3, rows.scores, "<f4"),
        *_number(4, np.full(n, rows.threshold), "<f4"),
        _text(6, rows.model),
        *_epochs(view_epoch, 5, 7),
    )


def encode_rollups(rows: RollupRows, *, view_epoch: int = 0) -> list[bytes]:
    """One Rollup per row. view_epoch: of a correction; it supersedes the one before it."""
    n = len(rows.devices)
    return interleave(
        *_number(1, rows.bucket_us, "<i8"),
        *_number(2, np.full(n, RESOLUTION_S[rows.resolution]), "<u4"),
        *_packed(5, rows.count, "<i4"),
        *_packed(6, rows.min, "<f8"),
        *_packed(7, rows.max, "<f8"),
        *_packed(8, rows.mean, "<f8"),
        *_packed(9, rows.std, "<f8"),
        *_number(10, rows.score_count, "<u4"),
        *_number(11, rows.score_over, "<u4"),
        *_number(12, rows.score_min, "<f8"),
        *_number(13, rows.score_max, "<f8"),
        *_number(14, rows.score_mean, "<f8"),
        *_number(15, rows.score_std, "<f8"),
        _text(16, rows.profile.ref),
        *_epochs(view_epoch, 4, 17),
    )


def encode_alert(event: AlertEvent, *, view_epoch: int = 0) -> bytes:
    """An Alert; there are few. view_epoch: of a correction; it supersedes the one before it."""
    return pb.Alert(
        alert_id=event.alert_id,
        tenant=event.tenant,
        device_id=event.device_id,
        kind=_KINDS[event.kind],
        at_us=event.at_us,
        raised_at_us=event.raised_at_us,
        window_start_us=event.window_start_us,
        window_end_us=event.window_end_us,
        score=event.score,
        peak_score=event.peak_score,
        threshold=event.threshold,
        model=event.model,
        profile=event.profile,
        view_epoch=view_epoch,
        supersedes=max(0, view_epoch - 1),
    ).SerializeToString()


def encode_rejected(rejection: Rejection) -> bytes:
    """A Rejected: the record as it was, and why it is here."""
    return pb.Rejected(
        partition=rejection.partition,
        offset=rejection.offset,
        log_time_us=rejection.log_time_us,
        key=rejection.key,
        value=rejection.value,
        reason=rejection.reason.value,
        # With the largest record around it, it must still fit into a message.
        detail=rejection.detail[:_DETAIL_CHARACTERS_MAX],
        first_us=rejection.first_us,
        last_us=rejection.last_us,
    ).SerializeToString()


def encode_tombstone(gone: Forgotten) -> bytes:
    """A Tombstone: up to where a device is deleted."""
    return pb.Tombstone(
        partition=gone.partition, offset=gone.offset, log_time_us=gone.log_time_us
    ).SerializeToString()


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _tag(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _number(field: int, values: NDArray[Any], dtype: str) -> tuple[bytes, NDArray[Any]]:
    """A fixed32, sfixed64, float or double field."""
    column = values.astype(dtype)
    return _tag(field, _FIXED64 if column.itemsize == 8 else _FIXED32), column


def _packed(field: int, values: NDArray[Any], dtype: str) -> tuple[bytes, NDArray[Any]]:
    """A bytes field that holds one row of an array [n, width]."""
    column = values.astype(dtype)
    return _tag(field, _BYTES) + _varint(column.shape[1] * column.itemsize), column


def _text(field: int, value: str) -> bytes:
    data = value.encode()
    return _tag(field, _BYTES) + _varint(len(data)) + data


def _epochs(view_epoch: int, field: int, supersedes: int) -> tuple[bytes, ...]:
    """Two fixed32 fields that live's rows do not have."""
    if not view_epoch:
        return ()
    numbers = ((field, view_epoch), (supersedes, view_epoch - 1))
    return tuple(_tag(each, _FIXED32) + number.to_bytes(4, "little") for each, number in numbers)
