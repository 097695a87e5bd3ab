"""The ingest as an ASGI application: what it accepts, what it refuses and how it says so."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from fleetpulse.errors import BrokerUnavailable, Overloaded, RetryLater
from fleetpulse.telemetry_pb2 import Batch, SampleBlock, Telemetry
from serve_apps.ingest.app import Ingest
from tests.serve_apps.ingest_parts import (
    JSON,
    NOW_MS,
    PROTOBUF,
    MemoryLog,
    frame,
    ingest_of,
    post,
    post_async,
    sample,
)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def ingest(log: MemoryLog) -> Ingest:
    return ingest_of(log)


def refused(
    response: httpx.Response, log: MemoryLog, status: int, field: str, index: int | None = None
) -> str:
    error = response.json()["error"]
    assert response.status_code == status, f"refused for another reason: {error}"
    assert error["field"] == field, f"the answer names another field: {error}"
    assert error.get("index") == index, f"the answer names another record: {error}"
    assert log.records == [], "a refused request left records in the log"
    return str(error["reason"])


def test_one_json_sample_becomes_a_telemetry_record(ingest: Ingest, log: MemoryLog) -> None:
    response = post(ingest, json.dumps(sample()), content_type=JSON)
    assert (response.status_code, response.json()) == (202, {"accepted": 1})
    (record,) = log.records
    assert record.key == b"default/pump-1"
    stored = Telemetry.FromString(record.value)
    assert (stored.ts, dict(stored.metrics)) == (NOW_MS, {"vib_x": 0.5, "temp": 61.0})
    assert dict(record.headers) == {
        "device-id": b"pump-1",
        "schema-version": b"1",
        "ingest-node-id": b"node-1",
    }


@pytest.mark.parametrize(
    "ts",
    [
        pytest.param(NOW_MS + 0.4, id="fraction"),
        pytest.param("2026-09-21T14:13:20Z", id="utc"),
        pytest.param("2026-09-21T16:13:20.000+02:00", id="offset"),
    ],
)
def test_times_are_epoch_milliseconds_or_rfc3339(
    ingest: Ingest, log: MemoryLog, ts: float | str
) -> None:
    assert post(ingest, json.dumps(sample(ts=ts)), content_type=JSON).status_code == 202
    assert Telemetry.FromString(log.records[0].value).ts == NOW_MS


def test_a_list_is_accepted_whole(ingest: Ingest, log: MemoryLog) -> None:
    body = json.dumps([sample(), sample(device_id="pump-2")])
    response = post(ingest, body, content_type=f"{JSON}; charset=utf-8", x_tenant="acme")
    assert response.json() == {"accepted": 2}
    assert [record.key for record in log.records] == [b"acme/pump-1", b"acme/pump-2"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(frame(), id="block"),
        pytest.param(
            Telemetry(device_id="pump-1", ts=NOW_MS, metrics={"temp": 1.5}).SerializeToString(),
            id="telemetry",
        ),
    ],
)
def test_a_protobuf_message_reaches_the_log_unchanged(
    ingest: Ingest, log: MemoryLog, body: bytes
) -> None:
    assert post(ingest, body, content_type=PROTOBUF).json() == {"accepted": 1}
    assert log.records[0].value == body
    assert log.records[0].key == b"default/pump-1"


def test_a_batch_becomes_its_messages(ingest: Ingest, log: MemoryLog) -> None:
    one = Telemetry(device_id="pump-1", ts=NOW_MS, metrics={"temp": 1.5})
    block = SampleBlock.FromString(frame(device="pump-2"))
    body = Batch(telemetry=[one], blocks=[block]).SerializeToString()
    assert post(ingest, body, content_type="application/protobuf").json() == {"accepted": 2}
    assert [record.key for record in log.records] == [b"default/pump-1", b"default/pump-2"]


def test_a_device_without_profile_is_left_to_the_core(ingest: Ingest, log: MemoryLog) -> None:
    body = json.dumps(sample(device_id="fan-1", metrics={"anything": 1}))
    assert post(ingest, body, content_type=JSON).status_code == 202


MANY = {f"m{n}": 1.0 for n in range(10_000)}

BAD_SAMPLES = [
    pytest.param(sample(device_id=""), "device_id", id="empty-id"),
    pytest.param(sample(device_id="a b/c"), "device_id", id="bad-id"),
    pytest.param(sample(device_id=7), "device_id", id="id-not-text"),
    pytest.param(sample(ts=0), "ts", id="year-1970"),
    pytest.param(sample(ts=NOW_MS // 1000), "ts", id="seconds-instead-of-milliseconds"),
    pytest.param(sample(ts="2100-01-01T00:00:00Z"), "ts", id="year-2100"),
    pytest.param(sample(ts=NOW_MS + 5_001), "ts", id="beyond-the-future-bound"),
    pytest.param(sample(ts="2026-09-21T14:13:20"), "ts", id="time-without-offset"),
    pytest.param(sample(ts="yesterday"), "ts", id="time-in-words"),
    pytest.param(sample(ts=None), "ts", id="no-time"),
    pytest.param(sample(ts=10**30), "ts", id="time-beyond-64-bit"),
    pytest.param(sample(metrics=MANY), "metrics", id="ten-thousand-metrics"),
    pytest.param(sample(metrics={}), "metrics", id="no-metrics"),
    pytest.param(sample(metrics=[1]), "metrics", id="metrics-not-an-object"),
    pytest.param(sample(metrics={"vib_x": math.nan}), "metrics.vib_x", id="nan"),
    pytest.param(sample(metrics={"vib_x": math.inf}), "metrics.vib_x", id="infinity"),
    pytest.param(sample(metrics={"vib_x": 1e39}), "metrics.vib_x", id="beyond-float32"),
    pytest.param(sample(metrics={"vib_x": 10**400}), "metrics.vib_x", id="huge-integer"),
    pytest.param(sample(metrics={"vib_x": "1"}), "metrics.vib_x", id="text-as-value"),
    pytest.param(sample(metrics={"vib_x": True}), "metrics.vib_x", id="boolean-as-value"),
    pytest.param(sample(metrics={"vib_q": 1}), "metrics.vib_q", id="unknown-channel"),
    pytest.param(sample(unit="mm"), "unit", id="unknown-field"),
    pytest.param({"device_id": "pump-1", "ts": NOW_MS}, "metrics", id="field-missing"),
    pytest.param("text", "body", id="not-an-object"),
]


@pytest.mark.parametrize(("bad", "field"), BAD_SAMPLES)
def test_a_bad_sample_is_refused_with_its_field(
    ingest: Ingest, log: MemoryLog, bad: Any, field: str
) -> None:
    refused(post(ingest, json.dumps(bad), content_type=JSON), log, 422, field)


@pytest.mark.parametrize(("bad", "field"), BAD_SAMPLES)
def test_one_bad_sample_refuses_the_whole_list(
    ingest: Ingest, log: MemoryLog, bad: Any, field: str
) -> None:
    body = json.dumps([sample(), sample(), sample(), bad])
    refused(post(ingest, body, content_type=JSON), log, 422, field, index=3)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b'{"device_id": "pump-1",\n "ts": ]', "line 2 column 8", id="broken"),
        pytest.param(b"", "line 1 column 1", id="empty"),
        pytest.param(b'{"device_id": "\xff"}', "JSON", id="not-utf-8"),
        pytest.param(b"[" * 50_000, "JSON", id="bottomless"),
    ],
)
def test_broken_json_is_a_400_that_says_where(
    ingest: Ingest, log: MemoryLog, body: bytes, says: str
) -> None:
    assert says in refused(post(ingest, body, content_type=JSON), log, 400, "body")


BAD_FRAMES = [
    pytest.param(frame(device=""), 422, "device_id", id="empty-id"),
    pytest.param(frame(t0_us=0), 422, "t0_us", id="year-1970"),
    pytest.param(frame(t0_us=4_102_444_800_000_000), 422, "t0_us", id="year-2100"),
    pytest.param(frame(period_ns=10**12), 422, "t0_us", id="ends-in-the-future"),
    pytest.param(frame(period_ns=0), 422, "period_ns", id="no-period"),
    pytest.param(frame(count=101), 422, "count", id="too-long"),
    pytest.param(frame(count=0), 422, "count", id="empty-frame"),
    pytest.param(frame(samples=np.zeros((4, 3), np.float32)), 422, "samples", id="three-channels"),
    pytest.param(frame(samples=np.full((4, 2), np.nan, np.float32)), 422, "samples", id="nan"),
    pytest.param(frame(profile_revision=9), 422, "profile_revision", id="other-revision"),
    pytest.param(frame()[:30], 400, "body", id="cut-off"),
    pytest.param(b"\xff\xff\xff", 400, "body", id="no-protobuf"),
    pytest.param(b"", 400, "body", id="empty"),
    pytest.param(
        Telemetry(device_id="pump-1", ts=NOW_MS, metrics={"temp": math.nan}).SerializeToString(),
        422,
        "metrics.temp",
        id="nan-in-telemetry",
    ),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD_FRAMES)
def test_a_bad_protobuf_body_is_refused_with_its_field(
    ingest: Ingest, log: MemoryLog, body: bytes, status: int, field: str
) -> None:
    refused(post(ingest, body, content_type=PROTOBUF), log, status, field)


def test_one_bad_frame_refuses_the_whole_batch(ingest: Ingest, log: MemoryLog) -> None:
    blocks = [SampleBlock.FromString(frame()), SampleBlock.FromString(frame(t0_us=1))]
    body = Batch(blocks=blocks).SerializeToString()
    refused(post(ingest, body, content_type=PROTOBUF), log, 422, "t0_us", index=1)


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        pytest.param({"content_type": "text/csv"}, 415, "content-type", id="unknown-type"),
        pytest.param({}, 415, "content-type", id="no-type"),
        pytest.param(
            {"content_type": JSON, "content_encoding": "gzip"},
            415,
            "content-encoding",
            id="compressed",
        ),
        pytest.param({"content_type": JSON, "x_tenant": "a/b"}, 422, "x-tenant", id="bad-tenant"),
    ],
)
def test_headers_that_are_refused(
    ingest: Ingest, log: MemoryLog, headers: dict[str, str], status: int, field: str
) -> None:
    refused(post(ingest, json.dumps(sample()), **headers), log, status, field)


def test_a_body_of_100_mb_is_refused_without_reading_it(ingest: Ingest, log: MemoryLog) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1600):
            read += 65_536
            yield bytes(65_536)

    response = post(ingest, endless(), content_type=JSON, content_length=str(100 * 2**20))
    refused(response, log, 413, "body")
    assert read <= 65_536, "the body was read although its length was declared"


def test_an_undeclared_large_body_is_cut_at_the_bound(ingest: Ingest, log: MemoryLog) -> None:
    chunks = 0

    async def receive() -> dict[str, Any]:
        nonlocal chunks
        chunks += 1
        return {"type": "http.request", "body": bytes(20_000), "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", JSON.encode())]
    scope = {"type": "http", "method": "POST", "path": "/telemetry", "headers": headers}
    asyncio.run(ingest(scope, receive, send))
    assert sent[0]["status"] == 413
    assert chunks == 11, "reading went on beyond 200,000 bytes"
    assert ingest._bodies.held == 0, "the refused body still counts"


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(BrokerUnavailable("no acknowledgement", retry_after_s=1.5), id="broker-away"),
        pytest.param(Overloaded("50000 records wait", retry_after_s=1.5), id="bound-reached"),
    ],
)
def test_what_may_work_later_is_a_503_with_retry_after(
    ingest: Ingest, log: MemoryLog, failure: RetryLater
) -> None:
    log.failure = failure
    response = post(ingest, json.dumps(sample()), content_type=JSON)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert ingest.under_way == ingest._bodies.held == 0, "the request still counts as under way"


def test_draining_refuses_new_requests_and_answers_those_under_way(
    ingest: Ingest, log: MemoryLog
) -> None:
    async def run() -> tuple[int, int, int]:
        log.gate.clear()
        transport = httpx.ASGITransport(ingest)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            content, headers = json.dumps(sample()), {"content-type": JSON}
            begun = asyncio.create_task(client.post("/", content=content, headers=headers))
            await log.asked.wait()
            drained = asyncio.create_task(ingest.drain(5))
            await asyncio.sleep(0)
            refused = await client.post("/", content=content, headers=headers)
            health = await client.get("/health")
            assert not drained.done(), "drained while a request waits for the broker"
            log.gate.set()
            assert await drained
            return (await begun).status_code, refused.status_code, health.status_code

    assert asyncio.run(run()) == (202, 503, 503)


def test_draining_ends_although_the_broker_does_not_answer(ingest: Ingest, log: MemoryLog) -> None:
    async def run() -> bool:
        log.gate.clear()
        request = asyncio.create_task(post_async(ingest, json.dumps(sample())))
        await log.asked.wait()
        drained = await ingest.drain(0.01)
        log.gate.set()
        await request
        return drained

    assert asyncio.run(run()) is False


def test_get_is_told_to_post(ingest: Ingest) -> None:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(ingest)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/telemetry")

    response = asyncio.run(run())
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
