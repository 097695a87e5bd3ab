"""Handles: a device is found where it is, and never asked for without end."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors import fleet as fleets
from actors.fleet import Fleet
from fleetpulse.errors import RetryLater
from fleetpulse.live import PartitionStatus
from fleetpulse.settings import Settings


@dataclass
class Method:
    """An actor's method that answers at once."""

    answer: Any
    calls: list[object] = field(default_factory=list)

    async def remote(self, *args: object) -> Any:
        self.calls.append(args)
        return self.answer


@dataclass
class Status:
    partitions: tuple[PartitionStatus, ...]


class Shard:
    """A shard whose partitions all are in one state, and which has no device."""

    def __init__(self, state: str) -> None:
        parts = tuple(PartitionStatus(p, 0, 0, 0, 0, state) for p in range(8))
        self.status = Method(Status(parts))
        self.view = Method((state != "stopped", None))


def fleet_of(shard: Shard) -> Fleet:
    fleet = Fleet(Settings())
    fleet._shards = dict.fromkeys(range(fleet._count), shard)
    return fleet


def test_an_unknown_device_is_none() -> None:
    fleet = fleet_of(Shard("running"))
    assert asyncio.run(fleet.device("pump-7").view()) is None


def test_a_device_of_a_stopped_partition_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleets, "LOOKUP_TIMEOUT_S", 0.2)
    shard = Shard("stopped")
    with pytest.raises(RetryLater, match="partition"):
        asyncio.run(fleet_of(shard).device("pump-7").view())
    assert len(shard.status.calls) < 30, "the shards are asked without a pause"
