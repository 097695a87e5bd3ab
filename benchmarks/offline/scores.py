"""Closed windows of a device and their scores."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.offline.cells import Series
from benchmarks.offline.rules import Rules

_BATCH = 64
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Score:
    """A scored window; end_slot is exclusive."""

    start_slot: int
    end_slot: int
    score: float


class Models:
    """ONNX sessions of `name@version` folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: dict[str, ort.InferenceSession] = {}

    def score(self, model: str, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """windows: float32 [n, size, channels] -> float32 [n]."""
        if model not in self._sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            path = self._folder / model / "model.onnx"
            self._sessions[model] = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        session = self._sessions[model]
        name = session.get_inputs()[0].name
        scores: NDArray[np.float32] = session.run(None, {name: windows})[0].reshape(-1)
        return scores


def scores_of(key: bytes, rules: Rules, series: Series, models: Models) -> list[Score]:
    """Scores of a device's closed windows, in order of end."""
    starts: list[int] = []
    filled: list[NDArray[np.float32]] = []
    for start, window in _scored_windows(key, rules, series):
        starts.append(start)
        filled.append(window)
    if rules.model is None:
        values = _zscores(rules, filled)
    else:
        values = [
            float(score)
            for at in range(0, len(filled), _BATCH)
            for score in models.score(rules.model, np.stack(filled[at : at + _BATCH]))
        ]
    return [
        Score(start, start + rules.window_size, value)
        for start, value in zip(starts, values, strict=True)
    ]


def _scored_windows(
    key: bytes, rules: Rules, series: Series
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    if not len(series.slots):
        return
    size, hop = rules.window_size, rules.window_hop
    phase = 0 if rules.aligned else crc32(key) % hop
    newest = (series.slots - phase) // hop
    # others hold no value: after years of silence there are too many to look at
    held = np.unique(newest[:, None] - np.arange(-(-size // hop) + 1))
    last = (series.settled - size - phase) // hop
    for k in held[held <= last].tolist():
        start = k * hop + phase
        i, j = np.searchsorted(series.slots, [start, start + size])
        window = np.full((size, len(rules.channels)), np.nan, np.float32)
        window[series.slots[i:j] - start] = series.values[i:j]
        present = ~np.isnan(window)
        if present.sum() / window.size < rules.coverage_min or not present.any(axis=0).all():
            continue
        if not present.all():
            _hold(window)
        yield start, window


def _hold(window: NDArray[np.float32]) -> None:
    """Fill each gap with the value before it, a leading gap with the first value."""
    for column in window.T:
        last = column[~np.isnan(column)][0]
        for i, value in enumerate(column):
            if np.isnan(value):
                column[i] = last
            else:
                last = value


def _zscores(rules: Rules, windows: list[NDArray[np.float32]]) -> list[float]:
    scores: list[float] = []
    means: list[NDArray[np.float64]] = []
    alpha = 1 - 2 ** (-1 / rules.half_life_windows)
    center = variance = np.zeros(len(rules.channels))
    for window in windows:
        mean = window.mean(axis=0, dtype=np.float64)
        if len(scores) < rules.warmup_windows:
            means.append(mean)
            center, variance = np.mean(means, axis=0), np.var(means, axis=0)
            scores.append(0.0)
            continue
        spread = np.maximum(np.sqrt(variance), rules.deviation_floor)
        score = min(np.max(np.abs(mean - center) / spread), np.finfo(np.float32).max)
        scores.append(float(np.float32(score)))
        step = np.clip(mean - center, -3 * spread, 3 * spread)
        center = center + alpha * step
        variance = (1 - alpha) * (variance + alpha * step**2)
    return scores
