"""Handles to virtual device actors: `await connect(settings).device("pump-7").view()`.

A device is addressed by id; which shard hosts it is looked up, remembered, and looked up again
when the device has moved.
"""

import asyncio
import time
from dataclasses import dataclass

import ray
from ray.exceptions import RayError

from actors.door import Answer
from actors.door_client import DoorClient
from actors.live_hub import NAMESPACE
from actors.shard_actors import Handle, shard_actors
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
        self._shards: dict[str, Handle] = {}
        self._doors: dict[str, DoorClient] = {}
        self._owner: dict[int, str] = {}

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
            name = self._owner.get(partition)
            if name is not None:
                here, view = await self._ask(name, key)
                if here:
                    return view
            self._owner.pop(partition, None)
            if time.monotonic() > deadline_s:
                raise RetryLater(f"no shard runs partition {partition}")
            await asyncio.sleep(pause_s)
            await self._look_up(partition)
            pause_s = RETRY_S

    async def status(self) -> list[ShardStatus]:
        """Of the shards that answer."""
        answers = await asyncio.gather(*map(self._status, await asyncio.to_thread(shard_actors)))
        return [status for _, status in answers if status is not None]

    async def close(self) -> None:
        """Hang up; the next view connects anew."""
        for client in self._doors.values():
            client.close()
        self._doors.clear()
        await asyncio.sleep(0)  # sockets close in the loop's next turn

    async def _look_up(self, partition: int) -> None:
        """Ask all shards where partitions are, until one has this one: another may be frozen."""
        names = await asyncio.to_thread(shard_actors)
        asked = [asyncio.ensure_future(self._status(name)) for name in names]
        try:
            for answer in asyncio.as_completed(asked):
                name, status = await answer
                for part in status.partitions if status else ():
                    if part.state != "stopped":
                        self._owner[part.partition] = name
                if partition in self._owner:
                    return
        finally:
            for each in asked:
                each.cancel()

    async def _status(self, name: str) -> tuple[str, ShardStatus | None]:
        try:
            status: ShardStatus | None = await asyncio.wait_for(
                self._shard(name).status.remote(), CALL_TIMEOUT_S
            )
        except (RayError, ValueError, TimeoutError):
            self._forget(name)
            return name, None
        return name, status

    async def _ask(self, name: str, key: bytes) -> Answer:
        try:
            return await (await self._door(name)).view(key, CALL_TIMEOUT_S)
        except (OSError, RayError, ValueError):
            self._forget(name)
            return False, None

    async def _door(self, name: str) -> DoorClient:
        client = self._doors.get(name)
        if client is None or not client.usable:
            address = await asyncio.wait_for(self._shard(name).door.remote(), CALL_TIMEOUT_S)
            client = self._doors[name] = await DoorClient.connect(address, CALL_TIMEOUT_S)
        return client

    def _forget(self, name: str) -> None:
        self._shards.pop(name, None)
        if client := self._doors.pop(name, None):
            client.close()

    def _shard(self, name: str) -> Handle:
        if name not in self._shards:
            self._shards[name] = ray.get_actor(name, namespace=NAMESPACE)
        return self._shards[name]


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
