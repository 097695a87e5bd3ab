"""What people change at run time: devices are paused, resumed and deleted, partitions paused."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from fleetpulse.errors import InputError
from fleetpulse.identity import DeviceKey, check_name
from fleetpulse.reads import Reads


class Changed(BaseModel):
    """control: id of the record in the log that changes the device; null: it was so already."""

    device_id: str
    control: str | None


class PartitionChanged(BaseModel):
    """Its shard follows within seconds; `/health` shows it."""

    partition: int
    paused: bool


class DeviceControls(Protocol):
    """Writes control records; each call blocks, and raises RetryLater."""

    def pause(self, key: DeviceKey, *, paused: bool) -> str | None:
        """The control's id; None if nothing changes."""

    def forget(self, key: DeviceKey) -> str:
        """The control's id."""


class PartitionControls(Protocol):
    """Which partitions are paused; each call blocks, and raises RetryLater."""

    def pause(self, partition: int, paused_by: str) -> None:
        """Until it is resumed."""

    def resume(self, partition: int) -> None:
        """Also if it was not paused."""


@dataclass(frozen=True, slots=True)
class Operations:
    """Changes of one tenant's devices, and of partitions."""

    reads: Reads
    devices: DeviceControls
    partitions: PartitionControls
    partitions_total: int

    async def pause_device(self, tenant: str, device_id: str, *, paused: bool) -> Changed:
        """From the control's place in the log on."""
        key = _key(tenant, device_id)
        control = await asyncio.to_thread(self.devices.pause, key, paused=paused)
        return Changed(device_id=device_id, control=control)

    async def forget_device(self, tenant: str, device_id: str) -> Changed:
        """Raises InputError 404 for a device that nobody has heard of."""
        key = _key(tenant, device_id)
        if await self.reads.device(*key) is None:
            raise InputError("device_id", "is not known", status=404)
        control = await asyncio.to_thread(self.devices.forget, key)
        return Changed(device_id=device_id, control=control)

    async def pause_partition(self, partition: int, paused_by: str) -> PartitionChanged:
        """Raises InputError 404."""
        self._check(partition)
        await asyncio.to_thread(self.partitions.pause, partition, paused_by)
        return PartitionChanged(partition=partition, paused=True)

    async def resume_partition(self, partition: int) -> PartitionChanged:
        """Raises InputError 404."""
        self._check(partition)
        await asyncio.to_thread(self.partitions.resume, partition)
        return PartitionChanged(partition=partition, paused=False)

    def _check(self, partition: int) -> None:
        if not 0 <= partition < self.partitions_total:
            reason = f"must be 0 to {self.partitions_total - 1}"
            raise InputError("partition", reason, status=404)


def _key(tenant: str, device_id: str) -> DeviceKey:
    return DeviceKey(check_name("x-tenant", tenant), check_name("device_id", device_id))
