"""The REST API's doors: parse, call a service, return."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Response

from fleetpulse.identity import DEFAULT_TENANT, check_name
from fleetpulse.reads import Measure, PeriodFilter
from serve_apps.query.alert_answers import AlertPage
from serve_apps.query.answers import (
    DeviceDetail,
    DevicePage,
    Metrics,
    Session,
    SessionPage,
    Top,
)
from serve_apps.query.health import Health, HealthService
from serve_apps.query.service import METRICS_MAX, PAGE_MAX, QueryService
from serve_apps.times import epoch_us

Tenant = Annotated[str, Header(alias="x-tenant")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Time = Annotated[str | None, Query(description="RFC 3339 or epoch milliseconds")]
Text = Annotated[str, Query(max_length=128)]
Cursor = Annotated[str | None, Query(max_length=300)]


def _period_filter(
    tenant: Tenant = DEFAULT_TENANT,
    device_id: Annotated[str | None, Query(max_length=128)] = None,
    open_only: Annotated[bool | None, Query(alias="open")] = None,
    since: Annotated[Time, Query(alias="from")] = None,
    until: Annotated[Time, Query(alias="to")] = None,
) -> PeriodFilter:
    return PeriodFilter(
        tenant=check_name("x-tenant", tenant),
        device_id=device_id,
        open=open_only,
        from_us=epoch_us("from", since) if since else None,
        to_us=epoch_us("to", until) if until else None,
    )


Which = Annotated[PeriodFilter, Depends(_period_filter)]


def api_routes(service: QueryService) -> APIRouter:
    """`/api/v1`."""
    api = APIRouter(prefix="/api/v1")

    @api.get("/devices")
    async def devices(
        tenant: Tenant = DEFAULT_TENANT, search: Text = "", after: Text = "", limit: Limit = 100
    ) -> DevicePage:
        """Devices in order of id; `search` finds a part of the id."""
        return await service.devices(tenant, search, after, limit)

    @api.get("/devices/{device_id}")
    async def device(device_id: str, tenant: Tenant = DEFAULT_TENANT) -> DeviceDetail:
        """A device: what is stored, and what its actor holds now."""
        return await service.device(tenant, device_id)

    @api.get("/devices/{device_id}/metrics")
    async def metrics(
        device_id: str,
        tenant: Tenant = DEFAULT_TENANT,
        resolution: Literal["minute", "hour", "day"] = "minute",
        since: Annotated[Time, Query(alias="from")] = None,
        until: Annotated[Time, Query(alias="to")] = None,
        limit: Annotated[int, Query(ge=1, le=METRICS_MAX)] = 500,
    ) -> Metrics:
        """Statistics per channel and of the scores, oldest bucket first."""
        return await service.metrics(tenant, device_id, resolution, since, until, limit)

    @api.get("/top")
    async def top(
        tenant: Tenant = DEFAULT_TENANT,
        resolution: Literal["hour", "day"] = "hour",
        by: Measure = "max",
        since: Annotated[Time, Query(alias="from")] = None,
        until: Annotated[Time, Query(alias="to")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 10,
    ) -> Top:
        """The devices with the highest scores of each hour or day that begins in the range."""
        return await service.top(tenant, resolution, by, since, until, limit)

    @api.get("/alerts")
    async def alerts(where: Which, cursor: Cursor = None, limit: Limit = 100) -> AlertPage:
        """Alerts, newest first; `open=true` only those that were not cleared."""
        return await service.alerts(where, cursor, limit)

    return api


def session_routes(service: QueryService, prefix: str) -> APIRouter:
    """`/sessions` below a prefix: at the root they are the same, for whoever looks there."""
    api = APIRouter(prefix=prefix)

    @api.get("/sessions")
    async def sessions(where: Which, cursor: Cursor = None, limit: Limit = 100) -> SessionPage:
        """Sessions, newest first; `open=true` only those that run."""
        return await service.sessions(where, cursor, limit)

    @api.get("/sessions/{session_id}")
    async def session(session_id: str, tenant: Tenant = DEFAULT_TENANT) -> Session:
        """One session; with its statistics once it has ended."""
        return Session.of(await service.session(tenant, session_id))

    return api


def health_route(health: HealthService) -> APIRouter:
    """`/health`."""
    router = APIRouter()

    @router.get("/health", responses={503: {"model": Health}})
    async def report(response: Response) -> Health:
        """Parts, shards, lag per partition; 503 while something does not work."""
        found = await health.report()
        response.status_code = 503 if found.status == "unhealthy" else 200
        return found

    return router
