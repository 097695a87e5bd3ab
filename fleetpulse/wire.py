"""Decoding and encoding of what devices send (telemetry.proto).

A block whose header has the canonical layout is sliced, not parsed: 38 bytes of fixed-width
header, the `samples` field, then `device_id`. Anything else takes the protobuf parser.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from fleetpulse.effects import F32
from fleetpulse.errors import InputError
from fleetpulse.telemetry_pb2 import SampleBlock, Telemetry

Kind = Literal["telemetry", "block", "batch"]

HEADER_DTYPE: Final = np.dtype(
    [
        ("tag_t0", "u1"),
        ("t0_us", "<i8"),
        ("tag_period", "u1"),
        ("period_ns", "<u8"),
        ("tag_sequence", "u1"),
        ("sequence", "<u8"),
        ("tag_revision", "u1"),
        ("revision", "<u4"),
        ("tag_count", "u1"),
        ("count", "<u4"),
        ("tag_samples", "u1"),
    ]
)
"""The canonical header: tags and values of fields 8 to 12, then the tag of `samples`."""

_HEADER: Final = struct.Struct("<BqBQBQBIBIB")
TAGS: Final = {
    "tag_t0": 0x41,
    "tag_period": 0x49,
    "tag_sequence": 0x51,
    "tag_revision": 0x5D,
    "tag_count": 0x65,
    "tag_samples": 0x6A,
}
"""What the tag columns of a canonical header hold."""

_TAGS: Final = tuple(TAGS.values())
_DEVICE_TAG: Final = 0x72
_BATCH_TAGS: Final = (16 << 3 | 2, 17 << 3 | 2)
_HEADER_BYTES: Final = _HEADER.size
assert HEADER_DTYPE.itemsize == _HEADER_BYTES


@dataclass(frozen=True, slots=True)
class Block:
    """A decoded SampleBlock. samples: float32 little-endian bytes of [count, channels]."""

    t0_us: int
    period_ns: int
    sequence: int
    profile_revision: int
    count: int
    samples: bytes | memoryview
    device_id: str


class Canonical(NamedTuple):
    """Byte positions: samples are [begin, end); the text of device_id is the rest from `name`."""

    begin: int
    end: int
    name: int


def kind_of(value: bytes) -> Kind:
    """Which message these bytes are, by their first tag; raises InputError."""
    if not value:
        raise InputError("body", "is empty", status=400)
    tag, _ = _varint(value, 0)
    number = tag >> 3
    if 1 <= number <= 4:
        return "telemetry"
    if 8 <= number <= 14:
        return "block"
    if 16 <= number <= 17:
        return "batch"
    raise InputError("body", f"starts with unknown protobuf field {number}", status=400)


def encode_block(
    samples: F32,
    *,
    t0_us: int,
    period_ns: int,
    sequence: int = 0,
    profile_revision: int = 0,
    device_id: str = "",
) -> bytes:
    """Canonical bytes of a frame. samples: float32 [count, channels]."""
    body = np.ascontiguousarray(samples, "<f4").tobytes()
    tags = _TAGS
    header = _HEADER.pack(
        tags[0],
        t0_us,
        tags[1],
        period_ns,
        tags[2],
        sequence,
        tags[3],
        profile_revision,
        tags[4],
        len(samples),
        tags[5],
    )
    name = device_id.encode()
    tail = bytes((_DEVICE_TAG,)) + _encode_varint(len(name)) + name if name else b""
    return header + _encode_varint(len(body)) + body + tail


def decode_block(value: bytes) -> Block:
    """Decode a SampleBlock in any field order; raises InputError."""
    return _sliced(value) or _parsed(value)


def batch_parts(value: bytes) -> Iterator[bytes]:
    """The messages of a Batch as the sender encoded them; raises InputError."""
    at = 0
    while at < len(value):
        tag, at = _varint(value, at)
        if tag not in _BATCH_TAGS:
            raise InputError("body", f"has unknown protobuf tag {tag} at byte {at}", status=400)
        length, at = _varint(value, at)
        if at + length > len(value):
            raise InputError("body", "is cut off", status=400)
        yield value[at : at + length]
        at += length


def decode_telemetry(value: bytes) -> Telemetry:
    """Parse a Telemetry message; raises InputError."""
    try:
        return Telemetry.FromString(value)
    except DecodeError as error:
        raise InputError("body", "is not a Telemetry message", status=400) from error


def canonical_layout(value: bytes) -> Canonical | None:
    """Where a canonical block has its parts; None if it needs the parser. Raises InputError."""
    if len(value) <= _HEADER_BYTES or _HEADER.unpack_from(value)[::2] != _TAGS:
        return None
    length, begin = _varint(value, _HEADER_BYTES)
    end = begin + length
    if end > len(value):
        raise InputError("samples", "is cut off", status=400)
    if end == len(value):
        return Canonical(begin, end, end)
    if value[end] != _DEVICE_TAG:
        return None
    name_length, name = _varint(value, end + 1)
    return Canonical(begin, end, name) if name + name_length == len(value) else None


def _sliced(value: bytes) -> Block | None:
    layout = canonical_layout(value)
    if layout is None:
        return None
    t0_us, period_ns, sequence, revision, count = _HEADER.unpack_from(value)[1::2]
    samples = memoryview(value)[layout.begin : layout.end]
    return Block(t0_us, period_ns, sequence, revision, count, samples, _text(value[layout.name :]))


def _parsed(value: bytes) -> Block:
    try:
        m = SampleBlock.FromString(value)
    except DecodeError as error:
        raise InputError("body", "is not a SampleBlock message", status=400) from error
    return Block(
        m.t0_us, m.period_ns, m.sequence, m.profile_revision, m.count, m.samples, m.device_id
    )


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InputError("device_id", "is not UTF-8", status=400) from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 35:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise InputError("body", "is cut off", status=400)


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
