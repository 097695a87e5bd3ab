"""The bytes of a snapshot's file: magic, header length, JSON header, aligned buffers, checksum.

The magic's last digits are the format's version; what header and arrays mean is in `manifest.py`
(2) and `format1.py` (1).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import Arrays
from fleetpulse.errors import DamagedState

VERSION: Final = 2
VERSIONS: Final = {b"FPSNAP01": 1, b"FPSNAP02": 2}
MAGIC: Final = b"FPSNAP02"
_LENGTH_BYTES: Final = 8
_ALIGN: Final = 64
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. arrays: any numeric dtype and shape, by name."""

    partition: int
    next_offset: int
    topic_id: str
    result_version: int
    meta: dict[str, Any]
    arrays: Arrays
    version: int = VERSION


def _padded(length: int) -> int:
    return -(-length // _ALIGN) * _ALIGN


def encode(snapshot: Document) -> Iterator[bytes | memoryview]:
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


def decode(data: bytearray) -> Document:
    """Arrays are writable views of `data`. Raises DamagedState."""
    body = memoryview(data)[:-_DIGEST_BYTES]
    prefix = len(MAGIC) + _LENGTH_BYTES
    if len(data) < prefix + _DIGEST_BYTES or bytes(data[: len(MAGIC)]) not in VERSIONS:
        raise DamagedState("it is no snapshot of this format")
    if blake2b(body, digest_size=_DIGEST_BYTES).digest() != data[-_DIGEST_BYTES:]:
        raise DamagedState("its checksum does not match")
    header_end = prefix + int.from_bytes(data[len(MAGIC) : prefix], "little")
    header = json.loads(bytes(body[prefix:header_end]))
    return Document(
        partition=header["partition"],
        next_offset=header["next_offset"],
        topic_id=header["topic_id"],
        result_version=header["result_version"],
        meta=header["meta"],
        arrays=_arrays(data, _padded(header_end), header["arrays"]),
        version=VERSIONS[bytes(data[: len(MAGIC)])],
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
