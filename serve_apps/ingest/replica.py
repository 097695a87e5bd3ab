"""The Serve deployment of the ingest: real adapters around the application."""

import asyncio
import logging
from typing import Final

import ray
from ray import serve

from adapters.kafka.controls import ControlReader
from adapters.kafka.producer import TelemetryProducer
from fleetpulse.settings import Settings
from serve_apps.ingest.app import Ingest
from serve_apps.ingest.body import Receive, Scope, Send
from serve_apps.ingest.controls import follow
from serve_apps.ingest.devices import Devices
from serve_apps.ingest.straight import serve_straight
from serve_apps.lifespan import run_lifespan
from serve_apps.replica_on_loopback import bind_replica_to_loopback

CLOSE_TIMEOUT_S: Final = 5.0


class IngestRuntime:
    """An Ingest with its producer and its picture of the control records, as one application."""

    def __init__(self, settings: Settings, node_id: str) -> None:
        self._settings = settings
        self._node_id = node_id
        self._devices = Devices(node_id, replicas=settings.http.ingest_replicas)
        self._producer: TelemetryProducer | None = None
        self._follower: asyncio.Task[None] | None = None
        self.ingest: Ingest | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if self.ingest is not None and scope["type"] != "lifespan":
            await self.ingest(scope, receive, send)
        elif scope["type"] == "lifespan":
            await run_lifespan(receive, send, self.start, self.stop)

    async def start(self) -> None:
        """Connect; ticks begin."""
        http = self._settings.http
        self._producer = TelemetryProducer(
            self._settings.kafka,
            node_id=self._node_id,
            inflight_records_max=http.inflight_records_max,
            ack_timeout_s=http.ack_timeout_s,
        )
        self.ingest = Ingest(http, self._producer, self._devices)
        serve_straight(self.ingest)
        self._follower = asyncio.create_task(
            follow(
                self._devices,
                lambda: ControlReader(self._settings.kafka, client_id=f"ingest-{self._node_id}"),
            )
        )

    async def stop(self) -> None:
        """Flush and disconnect."""
        if self._follower:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        if self._producer:
            await asyncio.to_thread(self._producer.close, CLOSE_TIMEOUT_S)


@serve.ingress()
class IngestReplica:
    """One process of the ingest."""

    def __init__(self, settings: Settings) -> None:
        bind_replica_to_loopback()
        logging.getLogger("fleetpulse").setLevel(logging.INFO)
        node_id = ray.get_runtime_context().get_actor_id() or "ingest"
        self._runtime = IngestRuntime(settings, node_id[:12])

    def __serve_build_asgi_app__(self) -> IngestRuntime:
        """Serve asks for the application after the constructor."""
        return self._runtime

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new requests; True once those under way are answered."""
        ingest = self._runtime.ingest
        return ingest is None or await ingest.drain(timeout_s)
