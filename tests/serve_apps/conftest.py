"""A query replica without Ray and PostgreSQL, in the test's process."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvicorn

from serve_apps.live.mirror import LiveMirror
from serve_apps.query.app import build_query_app
from serve_apps.query.health import HealthService
from serve_apps.query.operations import Operations
from serve_apps.query.service import QueryService
from tests.serve_apps.parts import (
    LocalFleet,
    LocalHub,
    MemoryControls,
    MemoryJobs,
    MemoryReads,
    Replica,
    Served,
)


@pytest.fixture
def replica() -> Replica:
    hub, reads, fleet = LocalHub(), MemoryReads(), LocalFleet()
    checks: dict[str, Callable[[], Awaitable[None]]] = {"database": reads.ping}
    jobs = MemoryJobs({"pump-1", "pump-2"})
    health = HealthService(
        checks, fleet.status, partitions=2, recompute=jobs.status, replay_budget_s=2.0
    )
    controls = MemoryControls()
    app = build_query_app(
        QueryService(reads, fleet, stale_after_s=300),
        health,
        LiveMirror(reads, lambda: hub),
        Operations(reads, controls.devices, controls.partitions, 2),
        jobs,
    )
    return Replica(hub, reads, fleet, checks, app, controls, jobs)


@pytest.fixture
def served(replica: Replica) -> Iterator[Served]:
    """The replica behind a real uvicorn on loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # A socket that a test left open must not hold the server up.
    config = uvicorn.Config(replica.app, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=loop.run_until_complete, args=[server.serve([listener])], daemon=True
    )
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    replica.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield replica, loop
    finally:
        server.should_exit = True
        thread.join(10)
        loop.run_until_complete(replica.hub.hub.close())
        loop.close()
        listener.close()
