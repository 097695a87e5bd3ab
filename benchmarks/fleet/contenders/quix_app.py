"""Quix Streams: its tumbling window with an aggregator of ours, a stateful function for scores.

Its defaults are kept: at-least-once, a commit each 5 s, RocksDB state with changelog topics.
"""

from pathlib import Path
from struct import Struct
from typing import Any, Final

import numpy as np
from quixstreams import Application
from quixstreams.dataframe.windows.aggregations import Aggregator
from quixstreams.models import TimestampType
from quixstreams.state import State

from benchmarks.fleet.contenders.runtime import (
    JOB,
    PLAN,
    Model,
    frame,
    note_first,
    packed_score,
    packed_second,
)
from benchmarks.fleet.job import CHANNELS, HOP, SECOND_US, STEP_US, WINDOW, phase_of

_SAMPLE_BYTES: Final = CHANNELS * 4
_WINDOW_BYTES: Final = WINDOW * _SAMPLE_BYTES
_HOP_BYTES: Final = HOP * _SAMPLE_BYTES
_SAMPLE: Final = Struct(f"<{CHANNELS}f")
_TIME_BYTES: Final = 8
_LATENESS_MS: Final = JOB.lateness_frames * JOB.frame_us // 1000
_PENDING: Final = "pending"
_NEXT: Final = "next"
Frame = tuple[int, bytes]


class Statistics(Aggregator):
    """Window state, which Quix keeps as JSON: count, then min, max, sum, squares per channel."""

    def initialize(self) -> None:
        """Nothing yet."""

    def agg(self, old: list[Any] | None, new: bytes, timestamp: int) -> list[Any]:  # noqa: ARG002
        """A frame's samples joined to the state."""
        count, *columns = _one(new) if len(new) == _SAMPLE_BYTES else _many(new)
        if old is None:
            return [count, *columns]
        return [
            old[0] + count,
            list(map(min, old[1], columns[0])),
            list(map(max, old[2], columns[1])),
            [a + b for a, b in zip(old[3], columns[2], strict=True)],
            [a + b for a, b in zip(old[4], columns[3], strict=True)],
        ]

    def result(self, value: list[Any]) -> list[Any]:
        """As it is."""
        return value


def _one(samples: bytes) -> list[Any]:
    values = list(_SAMPLE.unpack(samples))
    return [1, values, values, values, [x * x for x in values]]


def _many(samples: bytes) -> list[Any]:
    values = np.frombuffer(samples, np.float32).reshape(-1, CHANNELS).astype(np.float64)
    columns = values.min(0), values.max(0), values.sum(0), (values * values).sum(0)
    return [len(values), *(column.tolist() for column in columns)]


def _decoded(value: bytes) -> Frame:
    note_first()
    return frame(value)


def _time_ms(value: bytes, _headers: Any, _timestamp: float, _kind: TimestampType) -> int:
    return int.from_bytes(value[1:9], "little") // 1000


def _second(row: dict[str, Any]) -> bytes:
    count, *columns = row["value"]
    return packed_second(row["start"] * 1000 // SECOND_US, count, np.array(columns))


def _in_order(
    item: Frame, _key: bytes, _timestamp: int, _headers: Any, state: State
) -> list[Frame]:
    """Frames that can be processed now; the others wait in the state."""
    start_us, samples = item
    due_us = state.get(_NEXT) or PLAN.start_us
    if start_us == due_us and not state.exists(_PENDING):
        state.set(_NEXT, due_us + JOB.frame_us)
        return [item]
    held: dict[str, str] = state.get(_PENDING) or {}
    held[str(start_us)] = samples.hex()
    if start_us - due_us > JOB.lateness_frames * JOB.frame_us:
        due_us = min(map(int, held))
    ready = []
    while (found := held.pop(str(due_us), None)) is not None:
        ready.append((due_us, bytes.fromhex(found)))
        due_us += JOB.frame_us
    state.set(_NEXT, due_us)
    if held:
        state.set(_PENDING, held)
    else:
        state.delete(_PENDING)
    return ready


class Scores:
    """State, as bytes: the time of the oldest sample that is kept, then the samples."""

    def __init__(self) -> None:
        self._model = Model()

    def __call__(
        self, item: Frame, key: bytes, _timestamp: int, _headers: Any, state: State
    ) -> bytes | None:
        """The record of the window that a frame completes."""
        start_us, samples = item
        begin_us = PLAN.start_us + phase_of(key) * STEP_US
        early = max(0, begin_us - start_us) // STEP_US * _SAMPLE_BYTES
        buffer = state.get_bytes("samples")
        if buffer is None:
            buffer = begin_us.to_bytes(_TIME_BYTES, "little")
        buffer += samples[early:]
        if len(buffer) < _TIME_BYTES + _WINDOW_BYTES:
            state.set_bytes("samples", buffer)
            return None
        window_us = int.from_bytes(buffer[:_TIME_BYTES], "little")
        score = self._model.score(buffer[_TIME_BYTES : _TIME_BYTES + _WINDOW_BYTES])
        following = (window_us + HOP * STEP_US).to_bytes(_TIME_BYTES, "little")
        state.set_bytes("samples", following + buffer[_TIME_BYTES + _HOP_BYTES :])
        return packed_score(window_us, score)


def main() -> None:
    """Until a signal."""
    app = Application(
        broker_address=PLAN.bootstrap,
        consumer_group=PLAN.group,
        auto_offset_reset="earliest",
        state_dir=str(Path(PLAN.folder, "state")),
    )
    source = app.topic(
        PLAN.input,
        key_deserializer="bytes",
        value_deserializer="bytes",
        timestamp_extractor=_time_ms,
    )
    options = {"key_serializer": "bytes", "value_serializer": "bytes"}
    seconds, scores = app.topic(PLAN.seconds, **options), app.topic(PLAN.scores, **options)
    frames = app.dataframe(source).apply(_decoded)
    windows = frames.apply(lambda item: item[1]).tumbling_window(1000, grace_ms=_LATENESS_MS)
    windows.agg(value=Statistics()).final().apply(_second).to_topic(seconds)
    if JOB.disorder:
        frames = frames.apply(_in_order, stateful=True, metadata=True, expand=True)
    scored = frames.apply(Scores(), stateful=True, metadata=True)
    scored.filter(lambda record: record is not None).to_topic(scores)
    app.run()


if __name__ == "__main__":
    main()
