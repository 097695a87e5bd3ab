"""The FastAPI application of a query replica, from its services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket
from fastapi_offline import FastAPIOffline

from fleetpulse.errors import InputError
from serve_apps.live.mirror import LiveMirror
from serve_apps.live.socket import LiveSocket
from serve_apps.page.routes import add_page
from serve_apps.query.errors import answer_errors
from serve_apps.query.health import HealthService
from serve_apps.query.ingest_contract import describe_ingest
from serve_apps.query.routes import api_routes, health_route
from serve_apps.query.service import QueryService

POLICY_VIOLATION = 1008


def build_query_app(service: QueryService, health: HealthService, mirror: LiveMirror) -> FastAPI:
    """REST, socket, documentation and page."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        mirror.start()
        yield
        await mirror.close()
        await service.reads.close()

    app = FastAPIOffline(title="Fleetpulse", version="1", redoc_url=None, lifespan=lifespan)
    answer_errors(app)
    app.include_router(api_routes(service))
    app.include_router(health_route(health))
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

    return app


def _same_origin(socket: WebSocket) -> bool:
    """Browsers let any page open a socket to this machine; only ours may read it."""
    origin = socket.headers.get("origin")
    return origin is None or origin.partition("://")[2] == socket.headers.get("host")
