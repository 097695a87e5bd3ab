"""Values of one profile's records as frames, in groups that numpy handles at once.

Canonical blocks of one byte length share a layout: one frombuffer decodes them all. Whatever else
is valid protobuf is parsed value by value and gives the same frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F32, I64, Reason
from fleetpulse.errors import InputError
from fleetpulse.profile import Profile
from fleetpulse.wire import (
    HEADER_DTYPE,
    TAGS,
    Block,
    Canonical,
    canonical_layout,
    decode_block,
    decode_telemetry,
    kind_of,
)

_GROUP_MIN = 4
"""Fewer values of one length are parsed: setting up a group costs as much."""
_ROUNDS_TO_INFINITY = 2.0**128 - 2.0**103
"""The smallest number that float32 cannot hold."""
_TS_MS_MAX = 1 << 52
"""Beyond every bound of time; a thousandfold it still fits 64 bits."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be used."""

    record: int
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of equal length. samples: float32 [n, count, channels].

    records: index of each among the values, ascending. period_ns is negative where it exceeds
    63 bits.
    """

    records: I64
    t0_us: I64
    period_ns: I64
    samples: F32
    partial: bool = False
    """NaN marks a channel that the message does not have."""

    def take(self, index: I64) -> "Frames":
        """Some of them."""
        return Frames(
            self.records[index],
            self.t0_us[index],
            self.period_ns[index],
            self.samples[index],
            self.partial,
        )


class _Unusable(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class FrameReader:
    """Reads one profile's values."""

    def __init__(self, profile: Profile) -> None:
        self._ref = profile.ref
        self._revision = profile.revision
        self._channels = profile.channels

    def read(self, values: list[bytes]) -> tuple[list[Frames], list[Refusal]]:
        """Frames of the right shape, and the refused rest."""
        groups = list(self._canonical_groups(values))
        read = np.zeros(len(values), bool)
        for group in groups:
            read[group.records] = True
        refusals: list[Refusal] = []
        if not read.all():
            groups += self._parsed(values, np.flatnonzero(~read).tolist(), refusals)
        return groups, refusals

    def _canonical_groups(self, values: list[bytes]) -> Iterator[Frames]:
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        for length, members in zip(*np.unique(lengths, return_counts=True), strict=True):
            if members < _GROUP_MIN:
                continue
            same = np.flatnonzero(lengths == length)
            layout = self._usable_layout(values[same[0]])
            if layout is not None:
                yield self._canonical(values, same, layout)

    def _usable_layout(self, value: bytes) -> Canonical | None:
        try:
            layout = canonical_layout(value)
        except InputError:
            return None
        if layout is None or layout.begin == layout.end:
            return None
        whole = (layout.end - layout.begin) % (4 * len(self._channels)) == 0
        return layout if whole else None

    def _canonical(self, values: list[bytes], same: I64, layout: Canonical) -> Frames:
        """Those of the values of one length that have the first one's layout."""
        pattern = np.frombuffer(values[same[0]], np.uint8)
        joined = b"".join(values if len(same) == len(values) else [values[i] for i in same])
        channels = len(self._channels)
        count = (layout.end - layout.begin) // (4 * channels)
        dtype = np.dtype(
            {
                "names": ["header", "samples"],
                "formats": [HEADER_DTYPE, ("<f4", (count, channels))],
                "offsets": [0, layout.begin],
                "itemsize": len(pattern),
            }
        )
        array = np.frombuffer(joined, dtype)
        raw = np.frombuffer(joined, np.uint8).reshape(len(same), len(pattern))
        header = array["header"]
        fits: NDArray[np.bool_] = header["count"] == count
        for name, tag in TAGS.items():
            fits &= header[name] == tag
        lengths_of_fields = (
            slice(HEADER_DTYPE.itemsize, layout.begin),
            slice(layout.end, layout.name),
        )
        for part in lengths_of_fields:
            fits &= (raw[:, part] == pattern[part]).all(axis=1)
        # other text than ASCII may be no UTF-8: the parser knows
        fits &= (raw[:, layout.name :] < 0x80).all(axis=1)
        fits &= (header["revision"] == 0) | (header["revision"] == self._revision)
        if not fits.all():
            array, same = array[fits], same[fits]
        header = array["header"]
        t0_us, period_ns = header["t0_us"].astype(np.int64), header["period_ns"].astype(np.int64)
        return Frames(same, t0_us, period_ns, array["samples"])

    def _parsed(
        self, values: list[bytes], records: list[int], refusals: list[Refusal]
    ) -> list[Frames]:
        blocks: dict[int, list[tuple[int, Block]]] = {}
        messages: list[tuple[int, int, list[float]]] = []
        for record in records:
            value = values[record]
            try:
                kind = kind_of(value)
                if kind == "block":
                    block = self._block(value)
                    blocks.setdefault(block.count, []).append((record, block))
                elif kind == "telemetry":
                    messages.append((record, *self._telemetry(value)))
                else:
                    refusals.append(Refusal(record, Reason.UNDECODABLE, "is a Batch"))
            except InputError as error:
                refusals.append(Refusal(record, Reason.UNDECODABLE, str(error)))
            except _Unusable as error:
                refusals.append(Refusal(record, error.reason, str(error)))
        groups = [self._frames(count, members) for count, members in blocks.items()]
        if messages:
            at, t0_us, numbers = zip(*messages, strict=True)
            groups.append(
                Frames(
                    np.array(at, np.int64),
                    np.array(t0_us, np.int64),
                    np.zeros(len(at), np.int64),
                    np.array(numbers, np.float32)[:, None, :],
                    partial=True,
                )
            )
        return groups

    def _frames(self, count: int, members: list[tuple[int, Block]]) -> Frames:
        samples = np.frombuffer(b"".join(block.samples for _, block in members), "<f4")
        return Frames(
            np.array([record for record, _ in members], np.int64),
            np.array([block.t0_us for _, block in members], np.int64),
            np.array([block.period_ns for _, block in members], np.uint64).astype(np.int64),
            samples.reshape(len(members), count, len(self._channels)),
        )

    def _block(self, value: bytes) -> Block:
        block = decode_block(value)
        if block.profile_revision not in (0, self._revision):
            raise _Unusable(Reason.WRONG_SHAPE, f"profile_revision: the device has {self._ref}")
        channels = len(self._channels)
        if not block.count or len(block.samples) != block.count * channels * 4:
            raise _Unusable(
                Reason.WRONG_SHAPE,
                f"samples: {len(block.samples)} bytes are not float32 [{block.count}, {channels}]",
            )
        return block

    def _telemetry(self, value: bytes) -> tuple[int, list[float]]:
        """Event time and one value per channel, NaN where the message has none."""
        message = decode_telemetry(value)
        metrics = dict(message.metrics)
        if not metrics:
            raise _Unusable(Reason.WRONG_SHAPE, "metrics: is empty")
        numbers = [metrics.pop(name, nan) for name in self._channels]
        if metrics:
            raise _Unusable(
                Reason.UNKNOWN_CHANNEL, f"metrics.{min(metrics)}: {self._ref} has no such channel"
            )
        for name, number in zip(self._channels, numbers, strict=True):
            if name in message.metrics and not abs(number) < _ROUNDS_TO_INFINITY:
                raise _Unusable(Reason.NOT_FINITE, f"metrics.{name}: must be a finite float32")
        return max(-_TS_MS_MAX, min(message.ts, _TS_MS_MAX)) * 1000, numbers
