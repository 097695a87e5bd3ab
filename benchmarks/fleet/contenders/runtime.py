"""What every contender's process does the same way: its plan, its model, its first record."""

import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet.job import CHANNELS, SCORE, SECOND, SECOND_US, WINDOW, Plan

PLAN: Final = Plan.read()
JOB: Final = PLAN.job
_noted = False


def note_first() -> None:
    """Tell the harness when this process saw its first record; later calls do nothing."""
    global _noted  # noqa: PLW0603  # once per process
    if not _noted:
        _noted = True
        Path(PLAN.folder, f"first.{os.getpid()}").write_text(repr(time.time()))


def frame(value: bytes) -> tuple[int, bytes]:
    """Time of a record's first sample, and its samples. All records have one layout."""
    return int.from_bytes(value[1:9], "little"), value[JOB.header_bytes :]


class Model:
    """The job's model on one thread, or its absence."""

    def __init__(self) -> None:
        self._session: Any = None
        if PLAN.model:
            import onnxruntime  # noqa: PLC0415  # not every process scores

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(
                PLAN.model, options, providers=["CPUExecutionProvider"]
            )

    def scores(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, 256, channels] -> [n]."""
        if self._session is None:
            return np.zeros(len(windows), np.float32)
        found: NDArray[np.float32] = self._session.run(None, {"samples": windows})[0]
        return found

    def score(self, window: bytes) -> float:
        """Of one window's float32."""
        if self._session is None:
            return 0.0
        samples = np.frombuffer(window, np.float32).reshape(1, WINDOW, CHANNELS)
        return float(self._session.run(None, {"samples": samples})[0][0])


def packed_score(start_us: int, score: float) -> bytes:
    """A record of scores."""
    return np.array((start_us, score), SCORE).tobytes()


def packed_second(second: int, count: int, columns: NDArray[np.float64]) -> bytes:
    """A record of seconds. columns: min, max, sum, sum of squares [4, channels]."""
    mean = columns[2] / count
    deviation = np.sqrt(np.maximum(columns[3] / count - mean * mean, 0.0))
    row = (second * SECOND_US, count, columns[0], columns[1], mean, deviation)
    return np.array(row, SECOND).tobytes()
