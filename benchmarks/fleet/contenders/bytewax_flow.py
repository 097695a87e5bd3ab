"""Bytewax: a stateful operator per device, and the model behind it, batched over devices.

Run as `python -m bytewax.run benchmarks.fleet.contenders.bytewax_flow:flow`.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

import bytewax.operators as op
import numpy as np
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

from benchmarks.fleet.contenders.device import Device
from benchmarks.fleet.contenders.runtime import PLAN, Model, note_first, packed_score
from benchmarks.fleet.job import CHANNELS, WINDOW

_BATCH: Final = 1000
_MODEL_BATCH: Final = 64
_models: list[Model] = []


class DeviceLogic(StatefulBatchLogic):
    """State of one key. Bytewax does not tell which: its first record does."""

    def __init__(self, state: Device | None) -> None:
        self._device = state

    def on_batch(self, values: list[KafkaSourceMessage]) -> tuple[list[Any], bool]:
        """Seconds as records, windows to score."""
        device = self._device or Device(values[0].key)
        self._device = device
        found: list[Any] = []
        for message in values:
            seconds, windows = device.add(message.value)
            found += seconds
            found += windows
        return found, False

    def snapshot(self) -> Device | None:
        """For a recovery store."""
        return deepcopy(self._device)


def _keyed(message: KafkaSourceMessage) -> tuple[str, KafkaSourceMessage]:
    note_first()
    return message.key.decode(), message


def _is_second(item: tuple[str, Any]) -> bool:
    return isinstance(item[1], bytes)


def _record(item: tuple[str, bytes]) -> KafkaSinkMessage:
    return KafkaSinkMessage(item[0].encode(), item[1])


def _scored(batch: list[tuple[str, tuple[int, bytes]]]) -> Iterator[KafkaSinkMessage]:
    if not _models:
        _models.append(Model())
    for at in range(0, len(batch), _MODEL_BATCH):
        part = batch[at : at + _MODEL_BATCH]
        joined = np.frombuffer(b"".join([samples for _, (_, samples) in part]), np.float32)
        scores = _models[0].scores(joined.reshape(len(part), WINDOW, CHANNELS))
        for (key, (start_us, _)), score in zip(part, scores.tolist(), strict=True):
            yield KafkaSinkMessage(key.encode(), packed_score(start_us, score))


flow = Dataflow("fleet")
_source = kafka.input("in", flow, brokers=[PLAN.bootstrap], topics=[PLAN.input], batch_size=_BATCH)
_devices = op.stateful_batch("device", op.map("key", _source.oks, _keyed), DeviceLogic)
_kinds = op.branch("kind", _devices, _is_second)
kafka.output(
    "seconds",
    op.map("record", _kinds.trues, _record),
    brokers=[PLAN.bootstrap],
    topic=PLAN.seconds,
)
kafka.output(
    "scores",
    op.flat_map_batch("score", _kinds.falses, _scored),
    brokers=[PLAN.bootstrap],
    topic=PLAN.scores,
)
