"""A device that sends too much is put off at the door; nobody else notices."""

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest

from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import HttpSettings
from fleetpulse.telemetry_pb2 import Batch, SampleBlock
from serve_apps.ingest import limits
from serve_apps.ingest.app import Ingest
from serve_apps.ingest.limits import NO_LIMIT, Charge, allowance
from tests.serve_apps.ingest_parts import (
    JSON,
    NOW_MS,
    PROTOBUF,
    PUMP,
    YEAR_MS,
    MemoryLog,
    frame,
    ingest_of,
    post,
    sample,
)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


def flood(count: int, device: str = "pump-1") -> bytes:
    """A Batch of whole seconds of a device."""
    block = SampleBlock.FromString(frame(100, device))
    return Batch(blocks=[block] * count).SerializeToString()


class Clock:
    ns = 10**15

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def limited(log: MemoryLog) -> tuple[Ingest, Clock]:
    """PUMP allows 200 Hz × 4 and, at the ingest, half of its 300 s at once: 300 frames of 100."""
    clock = Clock()
    settings = HttpSettings(body_bytes_max=2_000_000)
    wall = NOW_MS * 1_000_000
    return Ingest(
        settings, log, ingest_of(log)._devices, clock_ns=lambda: wall, monotonic_ns=clock
    ), clock  # fmt: skip


def test_a_device_that_sends_too_much_is_put_off(
    limited: tuple[Ingest, Clock], log: MemoryLog
) -> None:
    ingest, clock = limited
    assert post(ingest, flood(300), content_type=PROTOBUF).status_code == 202
    response = post(ingest, flood(3), content_type=PROTOBUF)
    assert response.status_code == 429
    assert response.json()["refused"] == [0, 1, 2]
    assert response.json()["error"]["field"] == "device_id"
    assert "pump-1" in response.json()["error"]["reason"]
    wait_s = int(response.headers["retry-after"])
    assert wait_s == 1
    clock.ns += wait_s * 10**9
    assert post(ingest, flood(8), content_type=PROTOBUF).status_code == 202, "4 × 2 frames/s"
    assert post(ingest, flood(1), content_type=PROTOBUF).status_code == 429
    assert len(log.records) == 308


def test_its_gateway_gets_the_other_devices_accepted(
    limited: tuple[Ingest, Clock], log: MemoryLog
) -> None:
    ingest, _ = limited
    post(ingest, flood(300), content_type=PROTOBUF)
    log.records.clear()
    mixed = Batch(
        blocks=[SampleBlock.FromString(frame(100, f"pump-{n}")) for n in (2, 1, 3, 1)]
    ).SerializeToString()
    response = post(ingest, mixed, content_type=PROTOBUF)
    assert response.status_code == 429
    assert response.json()["accepted"] == 2
    assert response.json()["refused"] == [1, 3]
    assert [record.key for record in log.records] == [b"default/pump-2", b"default/pump-3"]


def test_what_the_log_did_not_take_costs_nothing(
    limited: tuple[Ingest, Clock], log: MemoryLog
) -> None:
    ingest, _ = limited
    log.failure = BrokerUnavailable("gone")
    for _ in range(3):
        assert post(ingest, flood(200), content_type=PROTOBUF).status_code == 503
    log.failure = None
    assert post(ingest, flood(300), content_type=PROTOBUF).status_code == 202


def test_the_door_tells_whom_it_refuses(limited: tuple[Ingest, Clock]) -> None:
    ingest, _ = limited
    post(ingest, flood(303), content_type=PROTOBUF)
    for _ in range(2):
        far = sample(device_id="pump-2100", ts=NOW_MS + 75 * YEAR_MS)
        post(ingest, json.dumps(far), content_type=JSON)
    post(ingest, frame(device="pump-3", samples=np.full((4, 2), np.nan)), content_type=PROTOBUF)

    async def health() -> Any:
        transport = httpx.ASGITransport(ingest)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get("/health")).json()

    causes = asyncio.run(health())["causes"]
    assert [(c["device"], c["cause"], c["count"]) for c in causes] == [
        ("default/pump-1", "over_rate", 3),
        ("default/pump-2100", "refused: ts", 2),
        ("default/pump-3", "refused: samples", 1),
    ]


@pytest.mark.parametrize(("replicas", "factor"), [(1, 4), (2, 2), (8, 2)])
def test_replicas_share_what_a_device_may_send(replicas: int, factor: int) -> None:
    cost_ns, burst_ns = allowance(PUMP, replicas)
    assert cost_ns == 5_000_000 // factor
    assert burst_ns * replicas <= 300 * 10**9 / 2 / 4 * max(1, replicas / 2)
    assert allowance(PUMP.model_copy(update={"rate_limit": None}), replicas) == NO_LIMIT


def test_accounts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ACCOUNTS_MAX", 100)
    clock = Clock()
    accounts = limits.RateAccounts(clock)
    for number in range(1000):
        accounts.charge([Charge(b"default/%d" % number, 10, allowance(PUMP, 1))])
        clock.ns += 1000
    assert len(accounts._paid_ns) <= 100
