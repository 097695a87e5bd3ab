"""Rollup rows for COPY … (FORMAT binary), from columns."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapters.interleave import interleave
from fleetpulse.effects import F64, I32, I64, RollupRows

COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END: Final = b"\xff\xff"
_INT4_OID: Final = 23
_FLOAT8_OID: Final = 701
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000  # 2000-01-01
ROLLUP_COLUMNS: Final = (
    "tenant, device_id, bucket, profile, revision, view_epoch, count, min, max, mean, std,"
    " score_count, score_over, score_min, score_max, score_mean, score_std"
)
_ROLLUP_FIELDS: Final = (17).to_bytes(2, "big")


def copied(rows: RollupRows) -> bytes:
    """Between COPY_HEAD and COPY_END: rows of ROLLUP_COLUMNS."""
    parts: list[bytes] = [b""] * (2 * len(rows.devices))
    parts[0::2] = [_ROLLUP_FIELDS + _names(key) for key in rows.devices]
    parts[1::2] = interleave(
        _int8(rows.bucket_us - _POSTGRES_EPOCH_US),
        _text(rows.profile.ref.encode()),
        _int4(np.zeros_like(rows.score_count)),
        _int4(np.zeros_like(rows.score_count)),
        *_array(_int4(rows.count), _INT4_OID),
        *(
            part
            for column in (rows.min, rows.max, rows.mean, rows.std)
            for part in _array(_float8(column), _FLOAT8_OID)
        ),
        _int4(rows.score_count),
        _int4(rows.score_over),
        _float8(rows.score_min),
        _float8(rows.score_max),
        _float8(rows.score_mean),
        _float8(rows.score_std),
    )
    return b"".join(parts)


def _names(key: bytes) -> bytes:
    tenant, _, device = key.partition(b"/")
    return _text(tenant) + _text(device)


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _field(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Each value behind its length, big-endian."""
    field = np.empty(values.shape, np.dtype([("length", ">i4"), ("value", dtype)]))
    field["length"] = field.dtype["value"].itemsize
    field["value"] = values
    return field


def _int4(values: I32) -> NDArray[Any]:
    return _field(values, ">i4")


def _int8(values: I64) -> NDArray[Any]:
    return _field(values, ">i8")


def _float8(values: F64) -> NDArray[Any]:
    return _field(values, ">f8")


def _array(elements: NDArray[Any], oid: int) -> tuple[bytes, NDArray[Any]]:
    """One-dimensional array fields, without NULLs: a header that is the same for all rows."""
    width = elements.shape[1]
    header = np.array([1, 0, oid, width, 1], ">i4").tobytes()
    length = len(header) + width * elements.dtype.itemsize
    return length.to_bytes(4, "big") + header, elements
