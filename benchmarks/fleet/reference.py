"""What a job's outputs must be, computed from whole series; shares no code with any contender."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.fleet.job import HOP, RATE_HZ, SCORE, SECOND, SECOND_US, STEP_US, WINDOW
from benchmarks.fleet.series import Series

TOLERANCE: Final = 1e-4
_DEVICES_COMPARED: Final = 8
_FINDINGS_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class Rows:
    """One kind of output of all devices, in any order. device: numbers, -1 where unknown."""

    device: NDArray[np.int64]
    rows: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Everything that a contender wrote."""

    seconds: Rows
    scores: Rows


def findings(series: Series, frames: int, outputs: Outputs, model: str) -> list[str]:
    """What is wrong, in words. frames: of each device. model: path; empty: scores are not compared.

    Every device must have each second and each window once; a few are compared in value.
    """
    job = series.job
    windows = sum(job.windows(frames, crc32(key) % HOP) for key in job.device_keys())
    found = [
        *_counts("seconds", outputs.seconds, job.seconds(frames) * job.devices),
        *_counts("scores", outputs.scores, windows),
    ]
    chosen = np.unique(np.linspace(0, job.devices - 1, _DEVICES_COMPARED).astype(np.int64))
    samples = np.concatenate([series.samples(number, chosen) for number in range(frames)], axis=1)
    for place, device in enumerate(chosen.tolist()):
        key = job.device_keys()[device]
        expected = _seconds(samples[place], series.start_us)
        found += _differences("seconds", key, expected, _of(outputs.seconds, device))
        scores = _scores(samples[place], series.start_us, key, model)
        compared = ("start_us", "score") if model else ("start_us",)
        found += _differences("scores", key, scores, _of(outputs.scores, device), compared)
    return found[:_FINDINGS_MAX]


def _counts(what: str, outputs: Rows, expected: int) -> list[str]:
    pairs = np.stack([outputs.device, outputs.rows["start_us"]], axis=1)
    distinct = len(np.unique(pairs, axis=0))
    if distinct == len(pairs) == expected and (outputs.device >= 0).all():
        return []
    return [f"{what}: {len(pairs)} records, {distinct} distinct; {expected} expected"]


def _of(outputs: Rows, device: int) -> NDArray[Any]:
    mine: NDArray[Any] = outputs.rows[outputs.device == device]
    ordered: NDArray[Any] = mine[np.argsort(mine["start_us"], kind="stable")]
    return ordered


def _differences(
    what: str,
    key: bytes,
    expected: NDArray[Any],
    observed: NDArray[Any],
    fields: tuple[str, ...] | None = None,
) -> list[str]:
    name = f"{what} of {key.decode()}"
    if len(expected) != len(observed):
        return [f"{name}: {len(observed)} instead of {len(expected)}"]
    found = []
    for field in fields or expected.dtype.names or ():
        a, b = expected[field], observed[field]
        same = (a == b).all() if a.dtype.kind == "i" else np.allclose(a, b, TOLERANCE, TOLERANCE)
        if not same:
            found.append(f"{name}: {field} differs by up to {np.abs(a - b).max()}")
    return found


def _seconds(samples: NDArray[np.float32], start_us: int) -> NDArray[Any]:
    count = len(samples) // RATE_HZ
    values = samples[: count * RATE_HZ].reshape(count, RATE_HZ, -1).astype(np.float64)
    rows = np.zeros(count, SECOND)
    rows["start_us"] = start_us + np.arange(count) * SECOND_US
    rows["count"] = RATE_HZ
    rows["min"], rows["max"] = values.min(axis=1), values.max(axis=1)
    rows["mean"], rows["std"] = values.mean(axis=1), values.std(axis=1)
    return rows


def _scores(samples: NDArray[np.float32], start_us: int, key: bytes, model: str) -> NDArray[Any]:
    begins = np.arange(crc32(key) % HOP, len(samples) - WINDOW + 1, HOP)
    rows = np.zeros(len(begins), SCORE)
    rows["start_us"] = start_us + begins * STEP_US
    if model and len(begins):
        session = onnxruntime.InferenceSession(
            Path(model).read_bytes(), providers=["CPUExecutionProvider"]
        )
        windows = np.stack([samples[at : at + WINDOW] for at in begins.tolist()])
        rows["score"] = session.run(None, {"samples": windows})[0]
    return rows
