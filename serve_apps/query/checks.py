"""What `GET /health` asks the parts that are not asked otherwise."""

import asyncio
import json
from typing import Final

from actors.live_hub import connect_live_hub
from adapters.kafka.admin import KafkaAdmin
from fleetpulse.errors import RetryLater
from fleetpulse.live import Cause
from fleetpulse.settings import HttpSettings, KafkaSettings

HTTP_TIMEOUT_S: Final = 2.0
ANSWER_BYTES_MAX: Final = 65_536


class BrokerCheck:
    """Asks the broker for the telemetry topic, at most one question at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin: KafkaAdmin | None = None
        self._question: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return when it answers; raises BrokerUnavailable or ConfigError."""
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(asyncio.to_thread(self._ask))
        await asyncio.shield(self._question)

    def _ask(self) -> None:
        if self._admin is None:
            self._admin = KafkaAdmin(self._settings)
        self._admin.topic_id()


async def check_hub() -> None:
    """Return when the live hub answers."""
    try:
        await connect_live_hub().summary.remote()
    except ValueError as error:
        raise RetryLater("the live hub does not run") from error


class IngestCheck:
    """Asks the ingest whether it accepts, over the port that devices use."""

    def __init__(self, settings: HttpSettings) -> None:
        self._address = (settings.host, settings.port)
        self.causes: tuple[Cause, ...] = ()
        """Devices that the replica which answered last refuses."""

    async def __call__(self) -> None:
        """Return when it does; raises RetryLater."""
        host, port = self._address
        request = f"GET /telemetry/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        try:
            async with asyncio.timeout(HTTP_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(request.encode())
                    answer = await reader.read(ANSWER_BYTES_MAX)
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise RetryLater(f"the ingest does not answer: {error}") from error
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.split()[1:2] != [b"200"]:
            raise RetryLater("the ingest does not accept data")
        self.causes = _causes(body)


def _causes(body: bytes) -> tuple[Cause, ...]:
    try:
        return tuple(Cause(**each) for each in json.loads(body).get("causes", ()))
    except (ValueError, TypeError):
        return ()  # another release, or cut off: the check itself needs nothing of it
