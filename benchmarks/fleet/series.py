"""The fleet's samples, as arrays and as the bytes that are sent; any round can be made alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet.job import CHANNELS, RATE_HZ, STEP_US, Job

_SEED: Final = 200
_NOISE: Final = 0.1
_DELAY_ROUNDS_MAX: Final = 10
"""A late frame comes at most a second late."""
_HEADER: Final = (
    ("tag_t0", "u1", 0x41),
    ("t0_us", "<i8", 0),
    ("tag_period", "u1", 0x49),
    ("period_ns", "<u8", STEP_US * 1000),
    ("tag_sequence", "u1", 0x51),
    ("sequence", "<u8", 0),
    ("tag_revision", "u1", 0x5D),
    ("revision", "<u4", 0),
    ("tag_count", "u1", 0x65),
    ("count", "<u4", 0),
    ("tag_samples", "u1", 0x6A),
)


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames in the order in which they are sent. values: as on the wire."""

    device: NDArray[np.int64]
    values: list[bytes]


class Series:
    """A job's fleet from `start_us` on: a sine per device and channel, with noise."""

    def __init__(self, job: Job, start_us: int) -> None:
        self.job = job
        self.start_us = start_us
        random = np.random.default_rng(_SEED)
        shape = (job.devices, 1, CHANNELS)
        self._hz = random.uniform(0.5, 20.0, shape).astype(np.float32)
        self._phase = random.uniform(0.0, 6.28, shape).astype(np.float32)
        self._amplitude = random.uniform(0.5, 2.0, shape).astype(np.float32)
        self._offset = random.uniform(-1.0, 1.0, shape).astype(np.float32)

    def samples(self, number: int, devices: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Frame `number` of all devices or some: [devices, frame_samples, channels]."""
        size = self.job.frame_samples
        random = np.random.default_rng((_SEED, number))
        shape = (self.job.devices, size, CHANNELS)
        chosen = slice(None) if devices is None else devices
        noise = random.standard_normal(shape, dtype=np.float32)[chosen]
        time_s = ((number * size + np.arange(size)) / RATE_HZ).astype(np.float32)[None, :, None]
        wave = np.sin(np.float32(2 * np.pi) * self._hz[chosen] * time_s + self._phase[chosen])
        signal = self._offset[chosen] + self._amplitude[chosen] * wave
        return np.asarray(signal + np.float32(_NOISE) * noise, "<f4")

    def encoded(self, number: int) -> list[bytes]:
        """Frame `number` of every device."""
        job = self.job
        length = job.body_bytes
        size = bytes((length,)) if length < 128 else bytes((length & 0x7F | 0x80, length >> 7))
        layout = np.dtype(
            [(name, kind) for name, kind, _ in _HEADER]
            + [("length", "u1", len(size)), ("samples", "<f4", (job.frame_samples, CHANNELS))]
        )
        assert layout.itemsize == job.header_bytes + length
        block = np.zeros(job.devices, layout)
        for name, _, value in _HEADER:
            block[name] = value
        block["t0_us"] = self.start_us + number * job.frame_us
        block["sequence"] = number
        block["count"] = job.frame_samples
        block["length"] = np.frombuffer(size, "u1")
        block["samples"] = self.samples(number)
        raw, step = block.tobytes(), layout.itemsize
        return [raw[at : at + step] for at in range(0, len(raw), step)]

    def rounds(self, count: int) -> Iterator[Frames]:
        """Frames 0 to `count` of every device, late ones in the round in which they come."""
        everyone = np.arange(self.job.devices)
        late: dict[int, list[tuple[int, bytes]]] = {}
        random = np.random.default_rng((_SEED, count))
        for number in range(count):
            values = self.encoded(number)
            coming = late.pop(number, [])
            if not self.job.disorder:
                yield Frames(everyone, values)
                continue
            delayed = random.random(self.job.devices) < self.job.disorder
            for device in np.flatnonzero(delayed).tolist():
                due = number + 1 + int(random.integers(_DELAY_ROUNDS_MAX))
                late.setdefault(min(due, count), []).append((device, values[device]))
            onward = np.flatnonzero(~delayed)
            yield Frames(
                np.append(onward, [device for device, _ in coming]).astype(np.int64),
                [values[device] for device in onward.tolist()] + [value for _, value in coming],
            )
        if rest := late.pop(count, []):
            yield Frames(np.array([device for device, _ in rest]), [value for _, value in rest])
