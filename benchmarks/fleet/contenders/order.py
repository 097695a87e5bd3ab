"""Frames of all devices in the order of their time: the bound's way with disorder."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet.job import CHANNELS, Job

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]


class HeldFrames:
    """Holds each frame until those before it are there, or too late."""

    def __init__(self, job: Job, start_us: int) -> None:
        self._job = job
        self._start_us = start_us
        self._next = np.zeros(job.devices, np.int64)
        self._device = np.empty(0, np.int64)
        self._at_us = np.empty(0, np.int64)
        self._samples = np.empty((0, job.frame_samples, CHANNELS), np.float32)

    def ready(self, device: I64, start_us: I64, samples: F32) -> tuple[I64, I64, F32]:
        """Sorted by device -> what can be processed now, sorted by device and time."""
        if len(self._device):
            device = np.append(self._device, device)
            start_us = np.append(self._at_us, start_us)
            samples = np.concatenate([self._samples, samples])
        number = (start_us - self._start_us) // self._job.frame_us
        # In order already, but for a few: the stable sort is quick then.
        order = np.argsort(device * (1 << 40) + number, kind="stable")
        device, number = device[order], number[order]
        start_us, samples = start_us[order], samples[order]
        first = np.flatnonzero(np.append(True, device[1:] != device[:-1]))
        count = np.diff(np.append(first, len(device)))
        rank = np.arange(len(device)) - np.repeat(first, count)
        owners, newest = device[first], number[first + count - 1]
        behind = newest - self._next[owners] > self._job.lateness_frames
        self._next[owners[behind]] = number[first[behind]]
        now = number - rank == np.repeat(self._next[owners], count)
        self._next[owners] += np.add.reduceat(now, first)
        kept = np.flatnonzero(~now)
        self._device, self._at_us = device[kept], start_us[kept]
        self._samples = samples[kept]
        if not len(kept):
            return device, start_us, samples
        return device[now], start_us[now], samples[now]
