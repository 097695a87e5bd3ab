"""Seconds and windows of all devices at once: the bound's state, a row per device.

Frames of a batch are sorted by device. device: those in the batch; count, first: how many frames
each has, and where they begin.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from benchmarks.fleet.job import (
    CHANNELS,
    HOP,
    SECOND,
    SECOND_US,
    STEP_US,
    WINDOW,
    Job,
    phase_of,
)

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]


class OpenSeconds:
    """Each device's second under way. A frame never straddles two."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._second = np.full(job.devices, -1, np.int64)
        self._count = np.zeros(job.devices, np.int64)
        self._min = np.zeros((job.devices, CHANNELS), np.float32)
        self._max = np.zeros_like(self._min)
        self._sum = np.zeros((job.devices, CHANNELS))
        self._squares = np.zeros_like(self._sum)
        self._ones = np.tile(np.eye(CHANNELS, dtype=np.float32), (job.frame_samples, 1))

    def add(
        self, device: I64, count: I64, first: I64, start_us: I64, samples: F32
    ) -> tuple[I64, NDArray[Any]]:
        """Devices and rows of the seconds that closed."""
        frames = np.ascontiguousarray(samples).reshape(len(start_us), -1)
        second = start_us // SECOND_US
        begins = np.append(True, second[1:] != second[:-1])
        begins[first] = True
        at = np.flatnonzero(begins)  # a segment is a device's second in this batch
        low = np.minimum.reduceat(_folded(frames, np.minimum), at)
        high = np.maximum.reduceat(_folded(frames, np.maximum), at)
        total = np.add.reduceat((frames @ self._ones).astype(np.float64), at)
        squares = np.add.reduceat(((frames * frames) @ self._ones).astype(np.float64), at)
        size = np.diff(np.append(at, len(start_us))) * self._job.frame_samples
        second, owner = second[at], np.repeat(device, count)[at]
        head = np.searchsorted(at, first)
        last = np.append(head[1:], len(at)) - 1
        same = self._second[device] == second[head]
        old, new = device[same], head[same]
        low[new] = np.minimum(low[new], self._min[old])
        high[new] = np.maximum(high[new], self._max[old])
        total[new] += self._sum[old]
        squares[new] += self._squares[old]
        size[new] += self._count[old]
        ended = device[~same & (self._second[device] >= 0)]
        inner = np.ones(len(at), bool)
        inner[last] = False
        rows = np.empty(len(ended) + int(inner.sum()), SECOND)
        self._fill(rows, ended, inner, (second, size, low, high, total, squares))
        self._second[device], self._count[device] = second[last], size[last]
        self._min[device], self._max[device] = low[last], high[last]
        self._sum[device], self._squares[device] = total[last], squares[last]
        return np.append(ended, owner[inner]), rows

    def _fill(
        self,
        rows: NDArray[Any],
        ended: I64,
        inner: NDArray[np.bool_],
        new: tuple[NDArray[Any], ...],
    ) -> None:
        old: list[NDArray[Any]] = [self._second, self._count, self._min, self._max]
        old += [self._sum, self._squares]
        second, count, low, high, total, squares = (
            np.concatenate([before[ended], now[inner]])
            for before, now in zip(old, new, strict=True)
        )
        mean = total / count[:, None]
        rows["start_us"], rows["count"] = second * SECOND_US, count
        rows["min"], rows["max"], rows["mean"] = low, high, mean
        rows["std"] = np.sqrt(np.maximum(squares / count[:, None] - mean * mean, 0.0))


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Windows begin at `row` of `samples` [rows, channels], which has slack behind the last."""

    device: I64
    start_us: I64
    samples: F32
    row: I64


class Tails:
    """Per device, the samples that belong to a window not complete yet."""

    def __init__(self, job: Job, start_us: int) -> None:
        self._job = job
        self._start_us = start_us
        phase = np.array([phase_of(key) for key in job.device_keys()], np.int64)
        # Each begins as if a window had been under way: it starts too early, and is left out.
        self._length = HOP - phase
        self._first_us = start_us - self._length * STEP_US
        self._samples = np.zeros((job.devices, WINDOW, CHANNELS), np.float32)

    def add(
        self, device: I64, count: I64, first: I64, start_us: I64, samples: F32
    ) -> WindowBatch | None:
        """The windows that these frames complete."""
        size = self._job.frame_samples
        kept = self._length[device]
        length = kept + count * size
        offset = np.cumsum(length) - length
        flat = np.empty((int(length.sum()) + WINDOW, CHANNELS), np.float32)
        step = (flat.strides[0], *flat.strides)
        # Whole windows of rows are copied, in ascending order: what spills over a tail's end is
        # overwritten by its device's frames and by the next device.
        tails = as_strided(flat, (len(flat) - WINDOW + 1, WINDOW, CHANNELS), step)
        tails[offset] = self._samples[device]
        frames = as_strided(flat, (len(flat) - size + 1, size, CHANNELS), step)
        rank = np.arange(len(start_us)) - np.repeat(first, count)
        frames[np.repeat(offset + kept, count) + rank * size] = samples
        windows = np.maximum(0, (length - WINDOW) // HOP + 1)
        found = self._cut(device, windows, offset, flat)
        self._samples[device] = tails[offset + windows * HOP]
        self._length[device] = length - windows * HOP
        self._first_us[device] += windows * (HOP * STEP_US)
        return found

    def _cut(self, device: I64, windows: I64, offset: I64, flat: F32) -> WindowBatch | None:
        total = int(windows.sum())
        if not total:
            return None
        number = np.arange(total) - np.repeat(np.cumsum(windows) - windows, windows)
        start_us = np.repeat(self._first_us[device], windows) + number * (HOP * STEP_US)
        row = np.repeat(offset, windows) + number * HOP
        whole = start_us >= self._start_us
        return WindowBatch(np.repeat(device, windows)[whole], start_us[whole], flat, row[whole])


def _folded(frames: F32, reduce: np.ufunc) -> F32:
    """[n, samples * channels] -> [n, channels]. Halving columns beats a reduction over an axis."""
    while (samples := frames.shape[1] // CHANNELS) > 1:
        half = samples // 2
        middle, end = half * CHANNELS, 2 * half * CHANNELS
        rest = frames[:, end:]
        frames = reduce(frames[:, :middle], frames[:, middle:end])
        if rest.shape[1]:
            frames[:, :CHANNELS] = reduce(frames[:, :CHANNELS], rest)
    return frames
