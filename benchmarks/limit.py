"""The bare loop: what consuming, decoding, windowing and scoring cost with nothing around them.

One process, one thread of its own, canonical frames of one length, windows by arrival, no state
that could be lost, no output. Run as `python -m benchmarks.limit PLAN.json` its CPU is its own.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message
from confluent_kafka import TopicPartition as Place
from numpy.typing import NDArray

from benchmarks.topics import consumer
from fleetpulse.settings import load_settings

_CONSUME_RECORDS = 10_000
_SCORE_WINDOWS = 64
_HEADER_BYTES = 38
"""Of a canonical block: fixed-width fields up to and with the tag of `samples`."""


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """What the loop reads. `prefix`: of the keys of this run's devices."""

    prefix: str
    frame_samples: int
    channels: int
    window: int
    hop: int
    model: str


@dataclass(frozen=True, slots=True)
class LimitResult:
    """What the loop did, and the CPU seconds of its process from the first record on."""

    samples: int
    windows: int
    cpu_s: float
    wall_s: float

    @property
    def cpu_s_per_million_samples(self) -> float:
        """The figure to compare an engine with."""
        return self.cpu_s / self.samples * 1e6 if self.samples else float("nan")


class Session(Protocol):
    """What the loop needs of ONNX Runtime's."""

    def get_inputs(self) -> Any:
        """Descriptions of the inputs."""

    def run(self, names: None, fed: dict[str, Any]) -> Any:
        """The outputs."""


class BareWindows:
    """Rows of samples per device; windows leave in batches."""

    def __init__(self, plan: LimitPlan, session: Session) -> None:
        self.scored = 0
        self._frame_bytes, self._layout = _layout(plan)
        self._plan = plan
        self._session = session
        self._input = session.get_inputs()[0].name
        self._index: dict[bytes, int] = {}
        rows = plan.window + plan.hop + plan.frame_samples
        self._samples = np.empty((0, rows, plan.channels), np.float32)
        self._filled = np.empty(0, np.int64)

    def decoded(self, values: list[bytes]) -> NDArray[np.float32]:
        """Canonical frames of one length: float32 [n, frame_samples, channels]."""
        size = self._frame_bytes
        # over HTTP the device's name follows the samples
        cut = [value if len(value) == size else value[:size] for value in values]
        samples: NDArray[np.float32] = np.frombuffer(b"".join(cut), self._layout)["samples"]
        return samples

    def take(self, keys: list[bytes], frames: NDArray[np.float32]) -> None:
        """frames: float32 [n, frame_samples, channels], in order of arrival."""
        known = self._index
        device = np.array([known.setdefault(key, len(known)) for key in keys])
        if len(known) > len(self._filled):
            self._grow(len(known))
        order = np.argsort(device, kind="stable")
        ordered = device[order]
        first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        rank = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
        for turn in range(int(rank.max()) + 1):
            chosen = order[rank == turn]
            self._append(device[chosen], frames[chosen])

    def _append(self, device: NDArray[np.int64], frames: NDArray[np.float32]) -> None:
        plan, count = self._plan, self._plan.frame_samples
        at = self._filled[device][:, None] + np.arange(count)
        self._samples[device[:, None], at] = frames
        self._filled[device] += count
        full = device[self._filled[device] >= plan.window]
        for begin in range(0, len(full), _SCORE_WINDOWS):
            batch = self._samples[full[begin : begin + _SCORE_WINDOWS], : plan.window]
            self.scored += len(self._session.run(None, {self._input: batch})[0])
        keep = self._samples.shape[1] - plan.hop
        self._samples[full, :keep] = self._samples[full, plan.hop :]
        self._filled[full] -= plan.hop

    def _grow(self, devices: int) -> None:
        samples = np.zeros((2 * devices, *self._samples.shape[1:]), np.float32)
        samples[: len(self._samples)] = self._samples
        filled = np.zeros(2 * devices, np.int64)
        filled[: len(self._filled)] = self._filled
        self._samples, self._filled = samples, filled


def run(plan: LimitPlan) -> LimitResult:
    """Read the telemetry topic once through the bare loop."""
    settings = load_settings()
    path = settings.model.folder / plan.model / "model.onnx"
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    windows = BareWindows(plan, session)
    kafka = settings.kafka
    places = [Place(kafka.topic("telemetry"), p, OFFSET_BEGINNING) for p in range(kafka.partitions)]
    with consumer(kafka, **{"queued.max.messages.kbytes": 65_536}) as reader:
        reader.assign(places)
        message = reader.poll(30.0)
        before = _usage()
        samples = 0
        for messages in _batches(reader, message, len(places)):
            samples += _take(windows, plan, messages)
        after = _usage()
    return LimitResult(samples, windows.scored, after[0] - before[0], after[1] - before[1])


def _batches(reader: Consumer, first: Message | None, partitions: int) -> Iterator[list[Message]]:
    messages = [first] if first is not None else []
    ended = 0
    while ended < partitions:
        good = [message for message in messages if message.error() is None]
        ended += len(messages) - len(good)
        if good:
            yield good
        messages = reader.consume(_CONSUME_RECORDS, 0.01)


def _take(windows: BareWindows, plan: LimitPlan, messages: list[Message]) -> int:
    prefix = plan.prefix.encode()
    keys, values = [], []
    for message in messages:
        key, value = message.key(), message.value()
        if key is not None and value is not None and key.startswith(prefix):
            keys.append(key)
            values.append(value)
    if not keys:
        return 0
    windows.take(keys, windows.decoded(values))
    return len(keys) * plan.frame_samples


def _layout(plan: LimitPlan) -> tuple[int, np.dtype[Any]]:
    """Bytes of a frame, and where its samples are."""
    body = plan.frame_samples * plan.channels * 4
    length_bytes = 1 if body < 128 else 2 if body < 16_384 else 3
    size = _HEADER_BYTES + length_bytes + body
    fields = [
        ("header", "u1", (size - body,)),
        ("samples", "<f4", (plan.frame_samples, plan.channels)),
    ]
    return size, np.dtype(fields)


def _usage() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, time.monotonic()


if __name__ == "__main__":
    result = run(LimitPlan(**json.loads(Path(sys.argv[1]).read_text())))
    print(json.dumps(asdict(result)))
