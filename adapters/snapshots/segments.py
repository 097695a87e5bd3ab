"""The bytes of a segment: magic, header length, JSON header, then one blob per device.

A blob is the checksum and the LZ4 block of a device's columns, one behind the other. The bytes of
each column are transposed (first all first bytes, then all second …): floats of a sensor share
their signs and exponents, and compress only so. The header names columns, dtypes and shapes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleetpulse.cohort import Cohort
from fleetpulse.columns import Arrays
from fleetpulse.errors import DamagedState
from fleetpulse.profile import Profile
from fleetpulse.snapshot import BLOB, Blobs

MAGIC: Final = b"FPSEGM01"
HEAD_BYTES: Final = len(MAGIC) + 8
_CRC_BYTES: Final = 4
_CODEC: Final = pa.Codec("lz4_raw")

Layout = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, dtype and shape of each column of a row."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A segment's parts in order, and where each row is in it; `segment` is not filled in."""

    parts: list[bytes]
    blobs: Blobs


def encode(rows: Arrays) -> Encoded:
    """rows: arrays that share their first axis."""
    layout = _layout(rows)
    text = json.dumps(layout, separators=(",", ":")).encode()
    packed = [_packed(row) for row in _matrix(rows)]
    return joined(text, packed)


def joined(header: bytes, packed: Sequence[bytes]) -> Encoded:
    """A segment of blobs that are packed already."""
    head = MAGIC + len(header).to_bytes(8, "little") + header
    blobs = np.zeros(len(packed), BLOB)
    lengths = np.fromiter(map(len, packed), np.int64, len(packed))
    blobs["length"] = lengths
    blobs["position"] = len(head) + np.cumsum(lengths) - lengths
    return Encoded([head, *packed], blobs)


def header_length(head: bytes | bytearray) -> int:
    """Of a segment's first `HEAD_BYTES`; raises DamagedState."""
    if bytes(head[: len(MAGIC)]) != MAGIC:
        raise DamagedState("it is no segment of this format")
    return int.from_bytes(head[len(MAGIC) :], "little")


@lru_cache(maxsize=256)
def layout_of(header: bytes) -> Layout:
    """What a header says."""
    return tuple((name, dtype, tuple(shape)) for name, dtype, shape in json.loads(header))


def checked(blob: memoryview | bytes) -> memoryview:
    """The block of a blob; raises DamagedState."""
    block = memoryview(blob)[_CRC_BYTES:]
    if len(block) == 0 or crc32(block).to_bytes(_CRC_BYTES, "little") != blob[:_CRC_BYTES]:
        raise DamagedState("a device's state does not fit its checksum")
    return block


def decode(layout: Layout, packed: Sequence[memoryview]) -> Arrays:
    """The columns of some blobs; raises DamagedState."""
    sizes = [int(np.prod(shape, dtype=np.int64)) * np.dtype(d).itemsize for _, d, shape in layout]
    matrix = np.empty((len(packed), sum(sizes)), np.uint8)
    for row, blob in zip(matrix, packed, strict=True):
        plain = _CODEC.decompress(checked(blob), decompressed_size=len(row))
        row[:] = np.frombuffer(plain, np.uint8)
    rows: Arrays = {}
    at = 0
    for (name, dtype, shape), size in zip(layout, sizes, strict=True):
        item = np.dtype(dtype).itemsize
        planes = matrix[:, at : at + size].reshape(len(packed), item, -1)
        plain = np.ascontiguousarray(planes.swapaxes(1, 2)).reshape(len(packed), -1)
        rows[name] = plain.view(dtype).reshape(len(packed), *shape)
        at += size
    return rows


@lru_cache(maxsize=64)
def fresh_row(profile: Profile) -> Arrays:
    """A device of this release before its first record, as one row."""
    cohort = Cohort(profile)
    return cohort.export(np.array([cohort.add(b"", 0)]))


def current(profile: Profile, rows: Arrays, count: int) -> Arrays:
    """Rows of another release: columns that it did not have are fresh, unknown ones go."""
    fresh = fresh_row(profile)
    if fresh.keys() == rows.keys():
        return rows
    return {
        name: rows[name] if name in rows else np.repeat(blank, count, axis=0)
        for name, blank in fresh.items()
    }


def _layout(rows: Arrays) -> Layout:
    return tuple((name, values.dtype.str, values.shape[1:]) for name, values in rows.items())


def _matrix(rows: Arrays) -> NDArray[np.uint8]:
    """uint8 [n, bytes of a row]."""
    count = len(next(iter(rows.values())))
    matrix = np.empty((count, sum(v.nbytes // max(1, count) for v in rows.values())), np.uint8)
    at = 0
    for values in rows.values():
        item, size = values.dtype.itemsize, values.nbytes // max(1, count)
        plain = np.ascontiguousarray(values).reshape(count, -1).view(np.uint8)
        planes = matrix[:, at : at + size].reshape(count, item, -1)
        planes[:] = plain.reshape(count, -1, item).swapaxes(1, 2)
        at += size
    return matrix


def _packed(row: NDArray[np.uint8]) -> bytes:
    block: bytes = _CODEC.compress(row, asbytes=True)
    return crc32(block).to_bytes(_CRC_BYTES, "little") + block
