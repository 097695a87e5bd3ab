"""What is left of an incarnation that ended."""

import gc
import weakref
from threading import Event
from typing import Any

import pytest

from actors import device_shard
from actors.device_shard import DeviceShard
from actors.meter import Meter
from fleetpulse.errors import Fenced


class _Incarnation:
    """Refers to itself, as loop, reader and sinks refer to each other."""

    def __init__(self) -> None:
        self.loop: Any = self

    def run(self) -> None:
        raise Fenced("another owns the partitions", partitions=(0,))

    def close(self) -> None:
        """Nothing."""


def test_nothing_of_an_ended_incarnation_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = object.__new__(DeviceShard)
    shard._stopping, shard._incarnation = Event(), None
    shard._settings = shard._scorer = shard._quarantine = None  # type: ignore[assignment]
    begun: list[weakref.ref[_Incarnation]] = []
    left: list[_Incarnation | None] = []

    def incarnate(*_: object) -> _Incarnation:
        left.extend(each() for each in begun)
        if begun:
            shard._stopping.set()
        incarnation = _Incarnation()
        begun.append(weakref.ref(incarnation))
        return incarnation

    monkeypatch.setattr(device_shard, "incarnate", incarnate)
    monkeypatch.setattr(device_shard.logger, "disabled", True)  # pytest keeps what is logged
    gc.disable()  # as good as it is in a shard, whose batches make no garbage that would be counted
    try:
        shard._live(0, Meter("shard-0", 1))
    finally:
        gc.enable()
    assert left == [None], "the engine of an ended incarnation is kept beside its successor's"
