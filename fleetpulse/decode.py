"""Records of one cohort to pieces: one frombuffer for all frames of one layout.

Bounds on event time and values are checked here, so that the rings see only usable samples.
Record numbers are indices into the lists handed to `decode`, which are in log order.
"""

from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F32, I64, Reason
from fleetpulse.errors import InputError
from fleetpulse.layout import Layout
from fleetpulse.pieces import Pieces
from fleetpulse.profile import Profile
from fleetpulse.wire import (
    HEADER_DTYPE,
    TAGS,
    canonical_layout,
    decode_block,
    decode_telemetry,
    kind_of,
)

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_TS_MS_MAX = 1 << 52


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be used."""

    record: int
    reason: Reason
    detail: str


class _Unusable(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Frames:
    """Decoded frames of equal length. samples: float32 [n, count, channels]."""

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


class Decoder:
    """Decodes one profile's records."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.layout = Layout.of(profile)
        self._channel = {name: i for i, name in enumerate(profile.channels)}

    def decode(
        self, rows: I64, values: list[bytes], log_time_us: I64
    ) -> tuple[Pieces | None, list[Refusal]]:
        """rows, values, log_time_us: of each record. No usable record: no pieces."""
        refusals: list[Refusal] = []
        groups = self._alike(values)
        done = np.concatenate([np.empty(0, np.int64), *(group.records for group in groups)])
        if len(done) < len(values):
            odd = np.setdiff1d(np.arange(len(values)), done)
            groups += self._one_by_one(values, odd, refusals)
        usable = [
            frames
            for group in groups
            if (frames := self._check(group, log_time_us[group.records], refusals)) is not None
        ]
        return self._pieces(usable, rows), refusals

    def _alike(self, values: list[bytes]) -> list[Frames]:
        """Canonical blocks as long as the first value, which is the usual case for all."""
        first = values[0]
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        alike = np.flatnonzero(lengths == len(first))
        block = self._canonical(first)
        if block is None:
            return []
        start, end = block
        count = (end - start) // (4 * self.layout.channels)
        joined = b"".join(values if len(alike) == len(values) else [values[i] for i in alike])
        header_bytes = HEADER_DTYPE.itemsize
        dtype = np.dtype(
            {
                "names": ["header", "samples"],
                "formats": [HEADER_DTYPE, ("<f4", (count, self.layout.channels))],
                "offsets": [0, start],
                "itemsize": len(first),
            }
        )
        array = np.frombuffer(joined, dtype)
        raw = np.frombuffer(joined, np.uint8).reshape(len(alike), len(first))
        pattern = np.frombuffer(first, np.uint8)
        header = array["header"]
        fits = header["count"] == count
        for name, tag in TAGS.items():
            fits &= header[name] == tag
        fits &= (raw[:, header_bytes:start] == pattern[header_bytes:start]).all(axis=1)
        # the tag and length of device_id behind the samples; its text does not matter here
        fits &= (raw[:, end : end + 2] == pattern[end : end + 2]).all(axis=1)
        fits &= (header["revision"] == 0) | (header["revision"] == self.profile.revision)
        if not fits.all():
            array, alike = array[fits], alike[fits]
        header = array["header"]
        period_ns = header["period_ns"].astype(np.int64)
        return [Frames(alike, header["t0_us"].astype(np.int64), period_ns, array["samples"])]

    def _canonical(self, value: bytes) -> tuple[int, int] | None:
        """Where a usable canonical block has its samples."""
        try:
            if kind_of(value) != "block":
                return None
            layout, block = canonical_layout(value), decode_block(value)
        except InputError:
            return None
        if layout is None or not block.count:
            return None
        return layout if self._shape_fits(block.count, len(block.samples)) else None

    def _shape_fits(self, count: int, size: int) -> bool:
        return count > 0 and size == count * self.layout.channels * 4

    def _one_by_one(
        self, values: list[bytes], records: I64, refusals: list[Refusal]
    ) -> list[Frames]:
        groups: list[Frames] = []
        singles: list[tuple[int, int, list[float]]] = []
        for record in records.tolist():
            try:
                if kind_of(values[record]) == "block":
                    groups.append(self._block(record, values[record]))
                else:
                    singles.append((record, *self._telemetry(values[record])))
            except InputError as error:
                refusals.append(Refusal(record, Reason.UNDECODABLE, str(error)))
            except _Unusable as error:
                refusals.append(Refusal(record, error.reason, str(error)))
        if singles:
            at, t0_us, numbers = zip(*singles, strict=True)
            groups.append(
                Frames(
                    np.array(at, np.int64),
                    np.array(t0_us, np.int64),
                    np.full(len(at), self.layout.period_ns, np.int64),
                    np.array(numbers, np.float32)[:, None, :],
                    partial=True,
                )
            )
        return groups

    def _block(self, record: int, value: bytes) -> Frames:
        block = decode_block(value)
        if block.profile_revision not in (0, self.profile.revision):
            raise _Unusable(
                Reason.WRONG_SHAPE, f"profile_revision: the device has {self.profile.ref}"
            )
        if not self._shape_fits(block.count, len(block.samples)):
            raise _Unusable(
                Reason.WRONG_SHAPE,
                f"samples: {len(block.samples)} bytes are not float32 "
                f"[{block.count}, {self.layout.channels}]",
            )
        if block.period_ns >= 1 << 63:
            raise _Unusable(Reason.WRONG_SHAPE, "period_ns: is out of range")
        shape = (1, block.count, self.layout.channels)
        return Frames(
            np.array([record]),
            np.array([block.t0_us], np.int64),
            np.array([block.period_ns], np.int64),
            np.frombuffer(block.samples, "<f4").reshape(shape),
        )

    def _telemetry(self, value: bytes) -> tuple[int, list[float]]:
        """Event time and one value per channel, NaN where the message has none."""
        message = decode_telemetry(value)
        if not message.metrics:
            raise _Unusable(Reason.WRONG_SHAPE, "metrics: is empty")
        numbers = [nan] * self.layout.channels
        for name, number in message.metrics.items():
            channel = self._channel.get(name)
            if channel is None:
                raise _Unusable(
                    Reason.UNKNOWN_CHANNEL,
                    f"metrics.{name}: {self.profile.ref} has no such channel",
                )
            if not isfinite(number) or abs(number) > _FLOAT32_MAX:
                raise _Unusable(Reason.NOT_FINITE, f"metrics.{name}: must be a finite float32")
            numbers[channel] = number
        if abs(message.ts) > _TS_MS_MAX:
            raise _Unusable(Reason.WRONG_SHAPE, "ts: is out of range")
        return message.ts * 1000, numbers

    def _check(self, frames: Frames, log_time_us: I64, refusals: list[Refusal]) -> Frames | None:
        """Refuse frames that are too long, not finite, or out of the bounds of time."""
        profile = self.profile
        n, count, _ = frames.samples.shape
        if not n:
            return None
        # as floats: a hostile period times a count may not fit 64 bits
        last_us = frames.t0_us + (count - 1) * (frames.period_ns.astype(np.float64) / 1000.0)
        tests: list[tuple[NDArray[np.bool_], Reason, str]] = [
            (
                np.full(n, count > profile.block_samples_max),
                Reason.WRONG_SHAPE,
                f"count: more than {profile.block_samples_max} samples",
            ),
            (
                (frames.period_ns <= 0) & (count > 1),
                Reason.WRONG_SHAPE,
                "period_ns: must be positive",
            ),
            (_infinite(frames), Reason.NOT_FINITE, "samples: must be finite"),
            (
                last_us > log_time_us + profile.future_bound_s * 1e6,
                Reason.FUTURE,
                f"more than {profile.future_bound_s:g} s ahead of log time",
            ),
            (
                frames.t0_us < log_time_us - profile.past_bound_s * 1e6,
                Reason.PAST,
                f"more than {profile.past_bound_s:g} s behind log time",
            ),
        ]
        refused = np.zeros(n, bool)
        for failed, reason, detail in tests:
            new = np.flatnonzero(failed & ~refused)
            refusals += [Refusal(int(frames.records[i]), reason, detail) for i in new]
            refused |= failed
        if not refused.any():
            return frames
        return None if refused.all() else frames.take(np.flatnonzero(~refused))

    def _pieces(self, groups: list[Frames], rows: I64) -> Pieces | None:
        if not groups:
            return None
        parts = [self._placed(group, rows) for group in groups]
        if len(parts) == 1:
            return parts[0]
        bases = np.cumsum([0] + [len(part.samples) for part in parts[:-1]])
        records = np.concatenate([part.records for part in parts])
        order = np.argsort(records, kind="stable")
        sources = np.concatenate([p.sources + b for p, b in zip(parts, bases, strict=True)])
        return Pieces(
            np.concatenate([part.rows for part in parts])[order],
            np.concatenate([part.slots for part in parts])[order],
            np.concatenate([part.counts for part in parts])[order],
            sources[order],
            records[order],
            np.concatenate([part.samples for part in parts]),
            all(part.complete for part in parts),
        )

    def _placed(self, frames: Frames, rows: I64) -> Pieces:
        """Frames on the profile's grid are one piece each; of others each sample finds its slot."""
        n, count, channels = frames.samples.shape
        samples = frames.samples.reshape(n * count, channels)
        t_ns = frames.t0_us * 1000
        records = frames.records
        if count == 1 or (frames.period_ns == self.layout.period_ns).all():
            counts = np.full(n, count, np.int64)
        else:
            t_ns = (t_ns[:, None] + np.arange(count) * frames.period_ns[:, None]).ravel()
            records = np.repeat(records, count)
            counts = np.ones(n * count, np.int64)
        return Pieces(
            rows[records],
            self.layout.slots_of(t_ns),
            counts,
            np.cumsum(counts) - counts,
            records,
            samples,
            not (frames.partial and bool(np.isnan(samples).any())),
        )


def _infinite(frames: Frames) -> NDArray[np.bool_]:
    """Frames with a value that no sensor sends."""
    if frames.partial:
        return np.zeros(len(frames.records), bool)
    finite = np.isfinite(frames.samples)
    if finite.all():
        return np.zeros(len(frames.records), bool)
    return np.asarray(~finite.all(axis=(1, 2)))
