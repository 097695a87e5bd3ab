"""One device as a record-at-a-time user would write it: plain state, a call per frame."""

from struct import Struct
from typing import Final

import numpy as np

from benchmarks.fleet.contenders.runtime import JOB, PLAN, frame, packed_second
from benchmarks.fleet.job import CHANNELS, HOP, SECOND_US, STEP_US, WINDOW, phase_of

_SAMPLE_BYTES: Final = CHANNELS * 4
_WINDOW_BYTES: Final = WINDOW * _SAMPLE_BYTES
_HOP_BYTES: Final = HOP * _SAMPLE_BYTES
_SAMPLE: Final = Struct(f"<{CHANNELS}f")


class Seconds:
    """The second under way, as running statistics. Frames are in order and within one second."""

    def __init__(self) -> None:
        self._second = -1
        self._count = 0
        self._columns = np.empty((4, CHANNELS))

    def add(self, start_us: int, samples: bytes) -> bytes | None:
        """The record of the second before, when a frame begins the next."""
        second, closed = start_us // SECOND_US, None
        if second != self._second:
            closed, self._second = self._closed(), second
            self._count = 0
        values = np.frombuffer(samples, np.float32).reshape(-1, CHANNELS).astype(np.float64)
        columns = self._columns
        if self._count:
            np.minimum(columns[0], values.min(0), out=columns[0])
            np.maximum(columns[1], values.max(0), out=columns[1])
            columns[2] += values.sum(0)
            columns[3] += (values * values).sum(0)
        else:
            columns[0], columns[1] = values.min(0), values.max(0)
            columns[2], columns[3] = values.sum(0), (values * values).sum(0)
        self._count += len(values)
        return closed

    def _closed(self) -> bytes | None:
        return packed_second(self._second, self._count, self._columns) if self._count else None


class SingleSeconds:
    """As Seconds, for frames of one sample: numpy costs more than it saves on six numbers."""

    def __init__(self) -> None:
        self._second = -1
        self._count = 0
        self._min = self._max = self._sum = self._squares = [0.0] * CHANNELS

    def add(self, start_us: int, samples: bytes) -> bytes | None:
        """As Seconds.add."""
        second, closed = start_us // SECOND_US, None
        values = _SAMPLE.unpack(samples)
        if second != self._second:
            closed, self._second = self._closed(), second
            self._count = 1
            self._min = self._max = self._sum = list(values)
            self._squares = [x * x for x in values]
            return closed
        self._count += 1
        self._min = list(map(min, self._min, values))
        self._max = list(map(max, self._max, values))
        self._sum = [a + x for a, x in zip(self._sum, values, strict=True)]
        self._squares = [a + x * x for a, x in zip(self._squares, values, strict=True)]
        return None

    def _closed(self) -> bytes | None:
        if not self._count:
            return None
        columns = np.array((self._min, self._max, self._sum, self._squares))
        return packed_second(self._second, self._count, columns)


class Windows:
    """The samples that no window has consumed yet."""

    def __init__(self, key: bytes) -> None:
        self._buffer = bytearray()
        self._skipped = phase_of(key) * _SAMPLE_BYTES
        self._start_us = -1

    def add(self, start_us: int, samples: bytes) -> tuple[int, bytes] | None:
        """Start and samples of the window that a frame completes."""
        if self._start_us < 0:
            self._start_us = start_us + self._skipped // _SAMPLE_BYTES * STEP_US
        if self._skipped:
            dropped = min(self._skipped, len(samples))
            self._skipped -= dropped
            samples = samples[dropped:]
        self._buffer += samples
        if len(self._buffer) < _WINDOW_BYTES:
            return None
        window = self._start_us, bytes(self._buffer[:_WINDOW_BYTES])
        del self._buffer[:_HOP_BYTES]
        self._start_us += HOP * STEP_US
        return window


class Order:
    """Frames in the order of their time, each held until those before it are there."""

    def __init__(self) -> None:
        self._next_us = PLAN.start_us
        self._held: dict[int, bytes] = {}

    def add(self, start_us: int, samples: bytes) -> list[tuple[int, bytes]]:
        """The frames that can be processed now. One older than the lateness bound is given up."""
        if start_us < self._next_us:
            return []
        self._held[start_us] = samples
        if start_us - self._next_us > JOB.lateness_frames * JOB.frame_us:
            self._next_us = min(self._held)
        ready = []
        while (found := self._held.pop(self._next_us, None)) is not None:
            ready.append((self._next_us, found))
            self._next_us += JOB.frame_us
        return ready


class Device:
    """All state of a device. It is copied by stores of state: plain attributes only."""

    def __init__(self, key: bytes) -> None:
        self._order = Order() if JOB.disorder else None
        self._seconds = Seconds() if JOB.frame_samples > 1 else SingleSeconds()
        self._windows = Windows(key)

    def add(self, value: bytes) -> tuple[list[bytes], list[tuple[int, bytes]]]:
        """A record's value -> records of seconds, and the windows to score."""
        start_us, samples = frame(value)
        frames = self._order.add(start_us, samples) if self._order else [(start_us, samples)]
        seconds, windows = [], []
        for at_us, content in frames:
            if (second := self._seconds.add(at_us, content)) is not None:
                seconds.append(second)
            if (window := self._windows.add(at_us, content)) is not None:
                windows.append(window)
        return seconds, windows
