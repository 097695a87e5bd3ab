"""A snapshot's bytes: magic, header length, JSON header, aligned raw buffers, checksum.

Buffers are raw so that writing costs a copy and a checksum: nothing is compressed or pickled.
"""

import json
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleetpulse.snapshot import PartitionSnapshot

MAGIC: Final = b"FPSNAP01"
_LENGTH_BYTES: Final = 8
_ALIGN: Final = 64
_DIGEST_BYTES: Final = 16


class TornSnapshot(ValueError):
    """The bytes are not a whole, unaltered snapshot."""


def _padded(length: int) -> int:
    return -(-length // _ALIGN) * _ALIGN


def encode(snapshot: PartitionSnapshot) -> Iterator[bytes | memoryview]:
    """The file's parts in order; ends with the checksum of all before."""
    # ascontiguousarray alone would turn a scalar into one row.
    arrays = {
        name: np.ascontiguousarray(array).reshape(array.shape)
        for name, array in snapshot.arrays.items()
    }
    header = json.dumps(
        {
            "partition": snapshot.partition,
            "next_offset": snapshot.next_offset,
            "topic_id": snapshot.topic_id,
            "result_version": snapshot.result_version,
            "meta": snapshot.meta,
            "arrays": [[name, a.dtype.str, a.shape] for name, a in arrays.items()],
        },
        separators=(",", ":"),
    ).encode()
    start = MAGIC + len(header).to_bytes(_LENGTH_BYTES, "little") + header
    checksum = blake2b(digest_size=_DIGEST_BYTES)
    for part in _aligned(start, arrays.values()):
        checksum.update(part)
        yield part
    yield checksum.digest()


def _aligned(start: bytes, arrays: Any) -> Iterator[bytes | memoryview]:
    yield start.ljust(_padded(len(start)), b"\0")
    for array in arrays:
        if array.nbytes:
            yield array.reshape(-1).view(np.uint8).data
            yield bytes(_padded(array.nbytes) - array.nbytes)


def decode(data: bytearray) -> PartitionSnapshot:
    """Arrays are writable views of `data`. Raises TornSnapshot."""
    body = memoryview(data)[:-_DIGEST_BYTES]
    prefix = len(MAGIC) + _LENGTH_BYTES
    if len(data) < prefix + _DIGEST_BYTES or data[: len(MAGIC)] != MAGIC:
        raise TornSnapshot("it is no snapshot of this format")
    if blake2b(body, digest_size=_DIGEST_BYTES).digest() != data[-_DIGEST_BYTES:]:
        raise TornSnapshot("its checksum does not match")
    header_end = prefix + int.from_bytes(data[len(MAGIC) : prefix], "little")
    header = json.loads(bytes(body[prefix:header_end]))
    return PartitionSnapshot(
        partition=header["partition"],
        next_offset=header["next_offset"],
        topic_id=header["topic_id"],
        result_version=header["result_version"],
        meta=header["meta"],
        arrays=_arrays(data, _padded(header_end), header["arrays"]),
    )


def _arrays(
    data: bytearray, at: int, described: list[tuple[str, str, list[int]]]
) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, dtype, shape in described:
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(data, dtype=np.dtype(dtype), count=count, offset=at)
        arrays[name] = array.reshape(shape)
        at += _padded(array.nbytes)
    return arrays
