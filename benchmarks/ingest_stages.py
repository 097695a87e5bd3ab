"""What each step of a request costs the ingest, in its own code but without sockets.

CPU time of one thread, in microseconds per request. Steps are differences of ever longer parts of
the way: decode, then decode and validate, then all between socket and log, then the log.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from adapters.kafka.producer import TelemetryProducer
from benchmarks.ingest_bodies import Body, Prepared
from fleetpulse.control import ControlState
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import Settings
from fleetpulse.wire import batch_parts, decode_block
from serve_apps.ingest.app import PATH, Ingest, form_of
from serve_apps.ingest.body import Receive, Scope, Send
from serve_apps.ingest.devices import Devices
from serve_apps.ingest.json_body import decode_samples
from serve_apps.ingest.records import Record, Request
from serve_apps.ingest.straight import StraightProtocol, straight_protocol

REQUESTS: Final = 4000
WARM_UP: Final = 1000
"""Each device once."""
TOGETHER: Final = 64
"""Requests whose records are under way at once."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Microseconds of CPU per request."""

    decode: float
    validate_and_encode: float
    head_account_answer: float
    produce: float
    acknowledge: float
    client_thread: float
    """librdkafka's own: batches, checksums, compression, its sockets."""


class _NoLog:
    """Takes everything at once."""

    def send(self, _: Sequence[Record], then: Callable[[FleetpulseError | None], None], /) -> None:
        then(None)


class _NoTransport:
    """Of a connection that nobody reads."""

    def write(self, data: bytes) -> None:
        """Forget it."""

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _: str) -> None:
        return None

    def close(self) -> None:
        """Nothing is open."""


def measure_stages(
    settings: Settings, controls: ControlState, body: Body, requests: list[Prepared]
) -> Stages:
    """With the broker of `settings`, which has nothing else to do."""
    devices = Devices("bench", controls)
    bodies = [each.body for each in requests]
    whole = [each.stamped(time.time_ns() // 1_000_000) for each in requests]
    decode_us = _decode_us(body, bodies)
    parse_us, records = _parse_us(settings, devices, whole[0], bodies)
    way_us = asyncio.run(_way_us(settings, devices, whole))
    produce_us, acknowledge_us, client_us = asyncio.run(_log_us(settings, records))
    return Stages(
        decode=decode_us,
        validate_and_encode=round(parse_us - decode_us, 2),
        head_account_answer=round(way_us - parse_us, 2),
        produce=produce_us,
        acknowledge=acknowledge_us,
        client_thread=client_us,
    )


def _decode_us(body: Body, bodies: list[bytes]) -> float:
    decode: Callable[[bytes], Any] = decode_samples
    if body == "frame":
        decode = decode_block
    elif body == "batch":

        def decode(value: bytes) -> Any:
            return [decode_block(part) for part in batch_parts(value)]

    return _us_each(lambda at: decode(bodies[at % len(bodies)]))


def _parse_us(
    settings: Settings, devices: Devices, request: bytes, bodies: list[bytes]
) -> tuple[float, list[list[Record]]]:
    lines = request.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")[1:]
    form = form_of([(name, value.strip()) for name, _, value in (x.partition(b":") for x in lines)])
    now_us = time.time_ns() // 1000
    records: list[list[Record]] = []

    def parse(at: int) -> None:
        asked = Request(form.tenant, now_us, settings.http.metrics_per_sample_max, devices)
        parsed = form.parse(bodies[at % len(bodies)], asked)
        if len(records) < len(bodies):
            records.append(parsed)

    return _us_each(parse), records


async def _way_us(settings: Settings, devices: Devices, whole: list[bytes]) -> float:
    protocol: type[StraightProtocol] = straight_protocol(
        Ingest(settings.http, _NoLog(), devices), PATH
    )

    async def application(_: Scope, __: Receive, ___: Send) -> None:
        """Only teaches the protocol the heads."""

    config = Config(application, log_level="critical", lifespan="off")
    config.load()
    for request in whole:
        connection = protocol(config, ServerState(), {})
        connection.connection_made(_NoTransport())  # type: ignore[arg-type]
        connection.data_received(request)
        await asyncio.sleep(0)
    connection = protocol(config, ServerState(), {})
    connection.connection_made(_NoTransport())  # type: ignore[arg-type]
    cost_us = _us_each(lambda at: connection.data_received(whole[at % len(whole)]))
    connection.connection_lost(None)
    return cost_us


async def _log_us(settings: Settings, records: list[list[Record]]) -> tuple[float, float, float]:
    http = settings.http
    producer = TelemetryProducer(
        settings.kafka,
        node_id="bench",
        inflight_records_max=http.inflight_records_max,
        ack_timeout_s=http.ack_timeout_s,
    )
    try:
        await producer.send_many(records[0])  # it is connected
        thread_ns, process_ns = time.thread_time_ns(), time.process_time_ns()
        produced_ns = 0
        for first in range(0, REQUESTS, TOGETHER):
            durable = asyncio.Event()
            left = TOGETHER

            def then(_: FleetpulseError | None, durable: asyncio.Event = durable) -> None:
                nonlocal left
                left -= 1
                if not left:
                    durable.set()

            begun_ns = time.thread_time_ns()
            for at in range(first, first + TOGETHER):
                producer.send(records[at % len(records)], then)
            produced_ns += time.thread_time_ns() - begun_ns
            await durable.wait()
        thread_ns = time.thread_time_ns() - thread_ns
        process_ns = time.process_time_ns() - process_ns
    finally:
        await asyncio.to_thread(producer.close, 5.0)
    sent = -(-REQUESTS // TOGETHER) * TOGETHER
    return (
        round(produced_ns / sent / 1000, 2),
        round((thread_ns - produced_ns) / sent / 1000, 2),
        round((process_ns - thread_ns) / sent / 1000, 2),
    )


def _us_each(work: Callable[[int], Any]) -> float:
    for at in range(WARM_UP):
        work(at)
    begun_ns = time.thread_time_ns()
    for at in range(REQUESTS):
        work(at)
    return round((time.thread_time_ns() - begun_ns) / REQUESTS / 1000, 2)
