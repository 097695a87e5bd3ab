"""An ingest on a log in memory, and what devices send to it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from adapters.kafka.producer import Delivered
from fleetpulse.control import ControlState
from fleetpulse.errors import FleetpulseError, Overloaded
from fleetpulse.profile import AlertRule, Profile
from fleetpulse.settings import HttpSettings
from fleetpulse.telemetry_pb2 import Control
from fleetpulse.wire import encode_block
from serve_apps.ingest.app import Ingest
from serve_apps.ingest.devices import Devices
from serve_apps.ingest.records import Record

NOW_MS = 1_790_000_000_000
YEAR_MS = 365 * 86_400_000
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
PUMP = Profile(
    name="pump",
    channels=("vib_x", "temp"),
    rate_hz=200,
    block_samples_max=100,
    alert=AlertRule(threshold=1.0),
)


class MemoryLog:
    """Takes records at once, or fails as told."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.failure: FleetpulseError | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    def send(self, records: Sequence[Record], then: Delivered) -> None:
        self.asked.set()
        if isinstance(self.failure, Overloaded):
            raise self.failure
        self._tasks.add(asyncio.ensure_future(self._take(records, then)))

    async def _take(self, records: Sequence[Record], then: Delivered) -> None:
        await self.gate.wait()
        if self.failure is None:
            self.records += records
        then(self.failure)


def ingest_of(log: MemoryLog) -> Ingest:
    """Knows the pump's profile; it is NOW."""
    controls = ControlState()
    controls.apply(Control(id="p", profile_yaml=PUMP.to_yaml()).SerializeToString())
    assignment = Control(id="a")
    assignment.assignment.device_pattern = "pump-*"
    assignment.assignment.profile = "pump"
    controls.apply(assignment.SerializeToString())
    settings = HttpSettings(body_bytes_max=200_000)
    return Ingest(settings, log, Devices("node-1", controls), clock_ns=lambda: NOW_MS * 1_000_000)


async def post_async(ingest: Ingest, content: Any, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(ingest)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        named = {"content-type": JSON} | headers
        return await client.post("/telemetry", content=content, headers=named)


def post(ingest: Ingest, content: Any, **headers: str) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(ingest)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.post("/telemetry", content=content, headers=named)

    return asyncio.run(run())


def sample(**changes: Any) -> dict[str, Any]:
    return {
        "device_id": "pump-1",
        "ts": NOW_MS,
        "metrics": {"vib_x": 0.5, "temp": 61},
    } | changes


def frame(count: int = 4, device: str = "pump-1", **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "samples": np.full((count, 2), 0.5, np.float32),
        "t0_us": NOW_MS * 1000,
        "period_ns": 5_000_000,
        "device_id": device,
    }
    return encode_block(**(fields | changes))
