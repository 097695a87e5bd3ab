"""Requests through the ingest application on a log in memory, against decoding and encoding."""

import asyncio
import json
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, Final

import msgspec

from benchmarks.smoke.race import Pair, Work
from fleetpulse.control import ControlState
from fleetpulse.settings import HttpSettings
from fleetpulse.telemetry_pb2 import Telemetry
from serve_apps.ingest.app import Ingest
from serve_apps.ingest.devices import Devices

REQUESTS: Final = 6000
NOW_MS: Final = 1_790_000_000_000


def ingest_pairs() -> list[Pair]:
    """All pairs of this file."""
    return [Pair("ingest, JSON", partial(_ours, _json(), b"application/json"), _bare)]


class _Log:
    """Takes everything at once."""

    async def send_many(self, records: Sequence[object]) -> None:
        del records


def _ours(bodies: list[bytes], kind: bytes) -> Work:
    devices = Devices("smoke", ControlState())
    ingest = Ingest(HttpSettings(), _Log(), devices, clock_ns=lambda: NOW_MS * 1_000_000)
    statuses: list[int] = []

    async def all_requests() -> None:
        for body in bodies:
            await _post(ingest, body, kind, statuses)

    def work() -> None:
        asyncio.run(all_requests())
        assert statuses == [202] * len(bodies), statuses[:3]

    return work


async def _post(ingest: Ingest, body: bytes, kind: bytes, statuses: list[int]) -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/telemetry",
        "headers": [(b"content-type", kind), (b"content-length", str(len(body)).encode())],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await ingest(scope, receive, send)


def _bare() -> Work:
    bodies = _json()

    def work() -> None:
        for body in bodies:
            sample = msgspec.json.decode(body)
            Telemetry(
                device_id=sample["device_id"], ts=sample["ts"], metrics=sample["metrics"]
            ).SerializeToString()

    return work


@cache
def _json() -> list[bytes]:
    return [
        json.dumps(
            {
                "device_id": f"pump-{number % 500}",
                "ts": NOW_MS,
                "metrics": {"vib_x": 0.25, "temp": 61.5, "current": float(number)},
            }
        ).encode()
        for number in range(REQUESTS)
    ]
