"""The least that a durable endpoint does: the same server and producer, and nothing else.

It posts the body as it came under one of some keys, without a look at it, and answers 202 after the
acknowledgement. What the ingest costs beyond it is what the ingest does.
"""

from itertools import cycle
from typing import Any, Final

from ray import serve

from adapters.kafka.producer import TelemetryProducer
from fleetpulse.settings import Settings
from serve_apps.ingest.body import Receive, Scope, Send
from serve_apps.lifespan import run_lifespan
from serve_apps.replica_on_loopback import bind_replica_to_loopback

KEYS: Final = 1000
_LENGTH: Final = (b"content-length", b"15")
_MEDIA: Final = (b"content-type", b"application/json")
_BODY: Final[dict[str, Any]] = {"type": "http.response.body", "body": b'{"accepted": 1}'}


class BoundApplication:
    """Read, produce, await, answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: TelemetryProducer | None = None
        keys = [f"default/bound-{number:05}" for number in range(KEYS)]
        headers: list[tuple[str, str | bytes | None]] = [
            ("device-id", b"bound-00000"),
            ("schema-version", b"1"),
            ("ingest-node-id", b"bound"),
        ]
        self._next = cycle([(key.encode(), headers) for key in keys]).__next__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await run_lifespan(receive, send, self.start, self.stop)
            return
        assert self._producer is not None
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        key, names = self._next()
        await self._producer.send_many([(key, body, names)])
        # Serve adds its own to this list.
        headers = [_MEDIA, _LENGTH]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send(_BODY)

    async def start(self) -> None:
        """Connect."""
        http = self._settings.http
        self._producer = TelemetryProducer(
            self._settings.kafka,
            node_id="bound",
            inflight_records_max=http.inflight_records_max,
            ack_timeout_s=http.ack_timeout_s,
        )

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer:
            self._producer.close(5.0)


@serve.ingress()
class BoundReplica:
    """One process of it."""

    def __init__(self, settings: Settings) -> None:
        bind_replica_to_loopback()
        self._application = BoundApplication(settings)

    def __serve_build_asgi_app__(self) -> BoundApplication:
        """Serve asks for the application after the constructor."""
        return self._application
