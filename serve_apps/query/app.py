"""The FastAPI application of a query replica, from its services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket
from fastapi_offline import FastAPIOffline

from fleetpulse.errors import InputError
from fleetpulse.identity import DEFAULT_TENANT
from fleetpulse.recompute.requests import Jobs
from serve_apps.live.mirror import LiveMirror
from serve_apps.live.session_socket import POLICY_VIOLATION, SessionSocket
from serve_apps.live.socket import LiveSocket
from serve_apps.page.routes import add_page
from serve_apps.query.errors import answer_errors
from serve_apps.query.health import HealthService
from serve_apps.query.ingest_contract import describe_ingest
from serve_apps.query.metrics import metrics_route
from serve_apps.query.operation_routes import operation_routes
from serve_apps.query.operations import Operations
from serve_apps.query.reprocess import reprocess_routes
from serve_apps.query.routes import api_routes, health_route, session_routes
from serve_apps.query.service import QueryService


def build_query_app(
    service: QueryService,
    health: HealthService,
    mirror: LiveMirror,
    operations: Operations,
    jobs: Jobs,
) -> FastAPI:
    """REST, socket, documentation and page."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        mirror.start()
        yield
        await mirror.close()
        await service.reads.close()
        await jobs.close()

    app = FastAPIOffline(title="Fleetpulse", version="1", redoc_url=None, lifespan=lifespan)
    answer_errors(app)
    app.include_router(api_routes(service))
    app.include_router(operation_routes(operations))
    app.include_router(session_routes(service, "/api/v1"))
    app.include_router(session_routes(service, ""), include_in_schema=False)
    app.include_router(reprocess_routes(jobs))
    app.include_router(health_route(health))
    app.include_router(metrics_route(health))
    add_page(app)
    describe_ingest(app)

    @app.websocket("/ws")
    async def live(socket: WebSocket) -> None:
        if not _same_origin(socket):
            await socket.close(POLICY_VIOLATION, "another site's page may not listen")
            return
        try:
            connection = LiveSocket(socket, mirror)
        except InputError as error:
            await socket.close(POLICY_VIOLATION, str(error))
            return
        await connection.serve()

    @app.websocket("/ws/session/{session_id}")
    async def session(socket: WebSocket, session_id: str, tenant: str = DEFAULT_TENANT) -> None:
        if not _same_origin(socket):
            await socket.close(POLICY_VIOLATION, "another site's page may not listen")
            return
        await SessionSocket(socket, mirror, lambda: service.session(tenant, session_id)).serve()

    return app


def _same_origin(socket: WebSocket) -> bool:
    """Browsers let any page open a socket to this machine; only ours may read it."""
    origin = socket.headers.get("origin")
    return origin is None or origin.partition("://")[2] == socket.headers.get("host")
