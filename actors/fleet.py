"""Handles to virtual device actors: `await connect(settings).device("pump-7").view()`.

A device is addressed by id; which shard hosts it is looked up, remembered, and looked up again
when the device has moved.
"""

import asyncio
import time
from dataclasses import dataclass

import ray
from ray.exceptions import RayActorError

from actors.device_shard import Handle, shard_name
from actors.live_hub import NAMESPACE
from fleetpulse.errors import RetryLater
from fleetpulse.identity import DEFAULT_TENANT, DeviceKey, check_name, partition_of
from fleetpulse.live import DeviceView, ShardStatus
from fleetpulse.settings import Settings

LOOKUP_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 2.0
RETRY_S = 0.05


class Fleet:
    """All devices of a running stack. Needs a process that is connected to its Ray cluster."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.kafka.partitions
        self._count = settings.shard.count
        self._shards: dict[int, Handle] = {}
        self._owner: dict[int, int] = {}

    def device(self, device_id: str, *, tenant: str = DEFAULT_TENANT) -> "Device":
        """A handle; raises InputError for an impossible id. The device need not exist yet."""
        key = DeviceKey(check_name("tenant", tenant), check_name("device_id", device_id))
        return Device(self, key)

    async def view(self, key: bytes) -> DeviceView | None:
        """The device as its shard holds it; None if it is not known there.

        Waits while the device's partition moves, at most `LOOKUP_TIMEOUT_S`; then RetryLater.
        """
        partition = partition_of(key, self._partitions)
        deadline_s = time.monotonic() + LOOKUP_TIMEOUT_S
        pause_s = 0.0
        while True:
            slot = self._owner.get(partition)
            if slot is not None:
                here, view = await self._ask(slot, key)
                if here:
                    return view
            self._owner.pop(partition, None)
            if time.monotonic() > deadline_s:
                raise RetryLater(f"no shard runs partition {partition}")
            await asyncio.sleep(pause_s)
            await self._look_up()
            pause_s = RETRY_S

    async def status(self) -> list[ShardStatus]:
        """Of the shards that answer."""
        answers = await asyncio.gather(*(self._status(slot) for slot in range(self._count)))
        return [status for status in answers if status is not None]

    async def _look_up(self) -> None:
        for slot, status in enumerate(
            await asyncio.gather(*(self._status(slot) for slot in range(self._count)))
        ):
            if status is not None:
                self._owner |= {
                    part.partition: slot for part in status.partitions if part.state != "stopped"
                }

    async def _status(self, slot: int) -> ShardStatus | None:
        try:
            status: ShardStatus | None = await asyncio.wait_for(
                self._shard(slot).status.remote(), CALL_TIMEOUT_S
            )
        except (RayActorError, ValueError, TimeoutError):
            self._shards.pop(slot, None)
            return None
        return status

    async def _ask(self, slot: int, key: bytes) -> tuple[bool, DeviceView | None]:
        try:
            answer: tuple[bool, DeviceView | None] = await asyncio.wait_for(
                self._shard(slot).view.remote(key), CALL_TIMEOUT_S
            )
        except (RayActorError, ValueError, TimeoutError):
            self._shards.pop(slot, None)
            return False, None
        return answer

    def _shard(self, slot: int) -> Handle:
        if slot not in self._shards:
            self._shards[slot] = ray.get_actor(shard_name(slot), namespace=NAMESPACE)
        return self._shards[slot]


@dataclass(frozen=True, slots=True)
class Device:
    """A handle to one device."""

    fleet: Fleet
    key: DeviceKey

    async def view(self) -> DeviceView | None:
        """Last value, newest window, score and alert state; None if nothing was heard of it."""
        return await self.fleet.view(self.key.encode())


def connect(settings: Settings) -> Fleet:
    """The fleet of the Ray cluster that this process is connected to."""
    return Fleet(settings)
