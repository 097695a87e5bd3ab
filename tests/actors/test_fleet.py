"""Handles: a device is found where it is, and never asked for without end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors import fleet as fleets
from actors.door import Door
from actors.fleet import Fleet
from fleetpulse.errors import RetryLater
from fleetpulse.live import DeviceView, PartitionStatus
from fleetpulse.settings import Settings


@dataclass
class Method:
    """An actor's method."""

    answer: Any
    delay_s: float = 0.0
    calls: list[object] = field(default_factory=list)

    async def remote(self, *args: object) -> Any:
        self.calls.append(args)
        await asyncio.sleep(self.delay_s)
        return self.answer


@dataclass
class Status:
    partitions: tuple[PartitionStatus, ...]


class Shard:
    """A shard whose partitions all are in one state, and which has no device."""

    def __init__(self, state: str) -> None:
        parts = tuple(PartitionStatus(p, 0, 0, 0, 0, state) for p in range(4))
        self.status = Method(Status(parts))
        self.here = state != "stopped"
        self.open_door = Door("127.0.0.1", lambda _: (self.here, None))
        self.door = Method(self.open_door.address)

    def gives_up(self) -> None:
        self.here = False
        self.status = Method(Status(()))


FleetOf = Callable[[list[Shard]], Fleet]


@pytest.fixture
def fleet_of(monkeypatch: pytest.MonkeyPatch) -> FleetOf:
    """A fleet that finds these shards, as Ray would."""

    def fleet_of(shards: list[Shard]) -> Fleet:
        fleet = Fleet(Settings())
        monkeypatch.setattr(fleets, "shard_actors", lambda: list(map(str, range(len(shards)))))
        monkeypatch.setattr(fleet, "_shard", lambda name: shards[int(name)])
        return fleet

    return fleet_of


async def view(fleet: Fleet) -> DeviceView | None:
    try:
        return await fleet.device("pump-7").view()
    finally:
        await fleet.close()


def test_an_unknown_device_is_none(fleet_of: FleetOf) -> None:
    assert asyncio.run(view(fleet_of([Shard("running")]))) is None


def test_a_fleet_is_usable_in_one_event_loop_after_another(fleet_of: FleetOf) -> None:
    fleet = fleet_of([Shard("running")])
    for _ in range(2):
        assert asyncio.run(view(fleet)) is None


def test_a_shard_that_died_is_looked_for_again(fleet_of: FleetOf) -> None:
    shards = [Shard("running")]
    fleet, successor = fleet_of(shards), Shard("running")

    async def across() -> DeviceView | None:
        await fleet.device("pump-7").view()
        shards.pop().open_door.close()
        shards.append(successor)
        return await view(fleet)

    assert asyncio.run(across()) is None
    assert len(successor.door.calls) == 1


def test_a_device_that_moved_to_a_new_shard_is_found(fleet_of: FleetOf) -> None:
    shards = [Shard("running")]
    fleet = fleet_of(shards)

    async def across() -> DeviceView | None:
        await fleet.device("pump-7").view()
        shards[0].gives_up()
        shards.append(Shard("running"))
        return await view(fleet)

    assert asyncio.run(across()) is None
    assert len(shards[1].door.calls) == 1


def test_a_frozen_shard_does_not_hold_up_who_asks_for_a_device_of_another(
    fleet_of: FleetOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "CALL_TIMEOUT_S", 60.0)
    frozen = Shard("running")
    frozen.status = Method(None, delay_s=60.0)
    assert asyncio.run(view(fleet_of([frozen, Shard("running")]))) is None


def test_a_device_of_a_stopped_partition_is_given_up_in_time(
    fleet_of: FleetOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "LOOKUP_TIMEOUT_S", 0.2)
    shard = Shard("stopped")
    with pytest.raises(RetryLater, match="partition"):
        asyncio.run(view(fleet_of([shard])))
    assert len(shard.status.calls) < 30, "the shards are asked without a pause"
