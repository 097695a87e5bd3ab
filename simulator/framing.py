"""Frames as SampleBlock bytes, encoded in columns: frames of a profile have one layout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from fleetpulse.effects import F32, I64
from fleetpulse.telemetry_pb2 import Batch, SampleBlock
from fleetpulse.wire import HEADER_DTYPE, encode_block

_BLOCKS_FIELD: Final = Batch.DESCRIPTOR.fields_by_name["blocks"].number
_DEVICE_FIELD: Final = SampleBlock.DESCRIPTOR.fields_by_name["device_id"].number
_LENGTH_DELIMITED: Final = 2


@dataclass(frozen=True, slots=True)
class Frames:
    """Encoded frames in the order in which they are to be sent. All columns are of one length.

    device: its number in the fleet; sequence: the device's frame number; last_us: event time of
    the last sample; due_us: when to send. int64 [n].
    """

    device: I64
    sequence: I64
    last_us: I64
    due_us: I64
    keys: list[bytes]
    values: list[bytes]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: I64) -> Self:
        """These rows, in this order."""
        return replace(
            self,
            device=self.device[rows],
            sequence=self.sequence[rows],
            last_us=self.last_us[rows],
            due_us=self.due_us[rows],
            keys=[self.keys[row] for row in rows],
            values=[self.values[row] for row in rows],
        )

    def part(self, first: int, end: int) -> Self:
        """Rows [first, end)."""
        return replace(
            self,
            device=self.device[first:end],
            sequence=self.sequence[first:end],
            last_us=self.last_us[first:end],
            due_us=self.due_us[first:end],
            keys=self.keys[first:end],
            values=self.values[first:end],
        )

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """All parts, by due time; among equals the earlier part comes first."""
        if len(parts) == 1:
            return parts[0]
        together = cls(
            np.concatenate([part.device for part in parts]),
            np.concatenate([part.sequence for part in parts]),
            np.concatenate([part.last_us for part in parts]),
            np.concatenate([part.due_us for part in parts]),
            [key for part in parts for key in part.keys],
            [value for part in parts for value in part.values],
        )
        return together.take(np.argsort(together.due_us, kind="stable"))


class FrameEncoder:
    """Encodes many frames of one shape at once, as `fleetpulse.wire.encode_block` does one."""

    def __init__(
        self, frame_samples: int, channels: int, period_ns: int, revision: int = 0
    ) -> None:
        zeros = np.zeros((frame_samples, channels), np.float32)
        template = encode_block(zeros, t0_us=0, period_ns=period_ns, profile_revision=revision)
        length_bytes = len(template) - HEADER_DTYPE.itemsize - zeros.nbytes
        self._dtype = np.dtype(
            [
                ("header", HEADER_DTYPE),
                ("length", "u1", (length_bytes,)),
                ("samples", "<f4", zeros.shape),
            ]
        )
        self._template = np.frombuffer(template, self._dtype)

    def encode(self, samples: F32, t0_us: I64, sequence: I64) -> list[bytes]:
        """One value per frame. samples: [n, frame_samples, channels]; t0_us, sequence: [n]."""
        rows = np.repeat(self._template, len(samples))
        rows["header"]["t0_us"] = t0_us
        rows["header"]["sequence"] = sequence
        rows["samples"] = samples
        packed, size = rows.tobytes(), self._dtype.itemsize
        return [packed[at : at + size] for at in range(0, len(packed), size)]


def device_field(device_id: str) -> bytes:
    """What follows a frame's bytes to name its device, as HTTP needs it."""
    name = device_id.encode()
    return _varint(_DEVICE_FIELD << 3 | _LENGTH_DELIMITED) + _varint(len(name)) + name


def encode_batch(blocks: Sequence[bytes]) -> bytes:
    """A Batch message of encoded SampleBlocks that carry their device ids."""
    tag = _varint(_BLOCKS_FIELD << 3 | _LENGTH_DELIMITED)
    parts: list[bytes] = []
    for block in blocks:
        parts += (tag, _varint(len(block)), block)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
