"""The doors through which people change what runs. 202: durable, and in force within seconds."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from fleetpulse.errors import InputError
from fleetpulse.identity import DEFAULT_TENANT
from serve_apps.query.operations import Changed, Operations, PartitionChanged
from serve_apps.query.routes import Tenant

Person = Annotated[str, Query(alias="by", min_length=1, max_length=100)]


def operation_routes(operations: Operations) -> APIRouter:
    """`/api/v1`, what changes something."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(own_origin)])

    @api.post("/devices/{device_id}/pause", status_code=202)
    async def pause_device(device_id: str, tenant: Tenant = DEFAULT_TENANT) -> Changed:
        """Leave the device's records in the log until it is resumed; its state stands still."""
        return await operations.pause_device(tenant, device_id, paused=True)

    @api.post("/devices/{device_id}/resume", status_code=202)
    async def resume_device(device_id: str, tenant: Tenant = DEFAULT_TENANT) -> Changed:
        """Go on with what comes from here on."""
        return await operations.pause_device(tenant, device_id, paused=False)

    @api.delete("/devices/{device_id}", status_code=202)
    async def forget_device(device_id: str, tenant: Tenant = DEFAULT_TENANT) -> Changed:
        """Drop the device's state and rows. A later record begins it anew."""
        return await operations.forget_device(tenant, device_id)

    @api.post("/partitions/{partition}/pause", status_code=202)
    async def pause_partition(partition: int, paused_by: Person = "api") -> PartitionChanged:
        """Stop fetching: the backlog grows, nothing is lost while the log keeps it."""
        return await operations.pause_partition(partition, paused_by)

    @api.post("/partitions/{partition}/resume", status_code=202)
    async def resume_partition(partition: int) -> PartitionChanged:
        """Work the backlog off, in order."""
        return await operations.resume_partition(partition)

    return api


async def own_origin(request: Request) -> None:
    """Browsers let any page post to this machine; only ours may change something."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise InputError("origin", "another site's page may not change anything", status=403)
