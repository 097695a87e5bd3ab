"""Logs small enough to compute by hand: one partition, one profile, a model that takes the mean."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks.offline.outcome import Outcome, compute
from benchmarks.offline.records import Record
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.telemetry_pb2 import Assignment, Control, SampleBlock, Telemetry

MINUTE_S = 28_333_334 * 60
"""The start of a minute, in seconds since the epoch."""
NEVER_ALERT = AlertRule(threshold=1e9)


def profile(**changes: Any) -> Profile:
    """10 Hz, one channel, windows of 4 every 2 slots, scored by their mean."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "channels": ("x",),
        "rate_hz": 10,
        "window": WindowSpec(size=4, hop=2, aligned=True),
        "model": "mean@1",
        "alert": NEVER_ALERT,
    }
    return Profile(**fields | changes)


def block(
    start_s: float, values: list[float], *, period_ms: float = 100, channels: int = 1
) -> bytes:
    """A frame; values are those of the channels of each sample in turn."""
    return SampleBlock(
        t0_us=round(start_s * 1_000_000),
        period_ns=round(period_ms * 1_000_000),
        count=len(values) // channels,
        samples=np.array(values, "<f4").tobytes(),
    ).SerializeToString()


def sample(time_s: float, **metrics: float) -> bytes:
    """One sample."""
    return Telemetry(ts=round(time_s * 1000), metrics=metrics).SerializeToString()


def control(name: str, **change: Any) -> bytes:
    """A control record."""
    return Control(id=name, **change).SerializeToString()


class TinyLog:
    """Appends records; the log's clock stands at `now_s` unless told otherwise."""

    def __init__(self, folder: Path, used: Profile) -> None:
        self.now_s: float = MINUTE_S
        self.records: list[Record] = []
        self._folder = folder
        _write_mean_model(folder / "mean@1")
        self.add(control("1", profile_yaml=used.to_yaml()), key=b"!control")
        to_all = Assignment(device_pattern="*", profile=used.name, profile_revision=used.revision)
        self.add(control("2", assignment=to_all), key=b"!control")

    def add(self, value: bytes, *, key: bytes = b"default/a") -> int:
        """Append a record; returns its offset."""
        offset = len(self.records)
        self.records.append(Record(offset, round(self.now_s * 1e6), key, value))
        return offset

    def outcome(self) -> Outcome:
        """What the log means."""
        return compute({0: self.records}, self._folder)


def _write_mean_model(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    windows = helper.make_tensor_value_info(
        "windows", TensorProto.FLOAT, ["n", "slots", "channels"]
    )
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n"])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    mean = helper.make_node("ReduceMean", ["windows", "axes"], ["scores"], keepdims=0)
    graph = helper.make_graph([mean], "mean", [windows], [scores], initializer=[axes])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")
