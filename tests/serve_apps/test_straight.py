"""The short way through the HTTP server answers as the long one does."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
import uvicorn

from fleetpulse.errors import BrokerUnavailable, Overloaded
from fleetpulse.telemetry_pb2 import Telemetry
from serve_apps.ingest import straight
from serve_apps.ingest.app import Ingest
from serve_apps.ingest.body import Receive, Scope, Send
from serve_apps.ingest.straight import StraightProtocol, straight_protocol
from tests.serve_apps.ingest_parts import (
    JSON,
    NOW_MS,
    PROTOBUF,
    MemoryLog,
    frame,
    ingest_of,
    sample,
)

pytestmark = pytest.mark.timeout(30)
_DATE = re.compile(rb"date: [^\r]*\r\n")


class Server(NamedTuple):
    """A real uvicorn with the protocol. long: how many requests took the long way."""

    port: int
    log: MemoryLog
    ingest: Ingest
    long: list[str]
    protocol: type[StraightProtocol]
    uvicorn: uvicorn.Server


class Connection:
    """Raw bytes out, whole answers in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, bytes]:
        """Status and body."""
        status, _, body = await self.whole()
        return status, body

    async def whole(self) -> tuple[int, bytes, bytes]:
        """Status, head, body."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            body = await self.reader.readexactly(int(length[1]) if length else 0)
        return int(head[9:12]), head, body

    async def ask(self, *parts: bytes) -> tuple[int, bytes]:
        """Send each part on its own, return the answer."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0.01 if len(parts) > 1 else 0)
        return await self.answer()


Scenario = Callable[[Server, Callable[[], Awaitable[Connection]]], Awaitable[None]]


async def until(true: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def serve(scenario: Scenario) -> None:
    """Run it against a server of its own."""

    async def run() -> None:
        log = MemoryLog()
        ingest = ingest_of(log)
        long: list[str] = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            long.append(scope["path"])
            await ingest(scope, receive, send)

        protocol = straight_protocol(ingest, "/telemetry")
        config: Any = {"lifespan": "off", "log_level": "critical", "http": protocol, "port": 0}
        server = uvicorn.Server(uvicorn.Config(application, **config))
        task = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        opened: list[Connection] = []

        async def connect() -> Connection:
            opened.append(Connection(*await asyncio.open_connection("127.0.0.1", port)))
            return opened[-1]

        try:
            await scenario(Server(port, log, ingest, long, protocol, server), connect)
        finally:
            log.gate.set()
            for each in opened:
                each.writer.close()
            server.should_exit = True
            await task

    asyncio.run(run())


def request(body: bytes | str, media: str = JSON, *more: str, path: str = "/telemetry") -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"POST {path} HTTP/1.1", "Host: fleet", f"Content-Type: {media}"]
    head = "\r\n".join([*lines, f"Content-Length: {len(raw)}", *more, "", ""])
    return head.encode() + raw


ONE = request(json.dumps(sample()))


def test_a_repeated_head_takes_the_short_way() -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        first, second = await connect(), await connect()
        for connection in (first, first, second):
            assert await connection.ask(ONE) == (202, b'{"accepted": 1}')
        assert server.long == ["/telemetry"], "only the first request with a head is parsed"
        assert [Telemetry.FromString(each.value).ts for each in server.log.records] == [NOW_MS] * 3
        assert server.ingest.under_way == server.ingest._bodies.held == 0

    serve(scenario)


@pytest.mark.parametrize(
    ("body", "media", "more"),
    [
        pytest.param(json.dumps(sample()), JSON, (), id="sample"),
        pytest.param(json.dumps([sample(), sample()]), JSON, (), id="list"),
        pytest.param(json.dumps(sample()), JSON, ("X-Tenant: acme",), id="tenant"),
        pytest.param(json.dumps(sample()), JSON, ("X-Tenant: a/b",), id="bad-tenant"),
        pytest.param(json.dumps(sample(ts=0)), JSON, (), id="refused"),
        pytest.param("{", JSON, (), id="broken"),
        pytest.param("", JSON, (), id="empty"),
        pytest.param(json.dumps(sample()), "text/csv", (), id="unknown-type"),
        pytest.param(json.dumps(sample()), JSON, ("Content-Encoding: gzip",), id="compressed"),
        pytest.param(frame(), PROTOBUF, (), id="frame"),
        pytest.param(frame()[:30], PROTOBUF, (), id="cut-off"),
    ],
)
def test_both_ways_answer_the_same(body: bytes | str, media: str, more: tuple[str, ...]) -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        answers = []
        for _ in range(2):
            connection.writer.write(request(body, media, *more))
            status, head, content = await connection.whole()
            answers.append((status, sorted(_DATE.sub(b"", head).split(b"\r\n")), content))
        assert answers[0] == answers[1]

    serve(scenario)


@pytest.mark.parametrize(
    "failure",
    [BrokerUnavailable("no acknowledgement"), Overloaded("50000 records wait")],
    ids=["broker-away", "bound-reached"],
)
def test_the_short_way_says_when_to_try_again(failure: Any) -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        await connection.ask(ONE)
        server.log.failure = failure
        connection.writer.write(ONE)
        status, head, _ = await connection.whole()
        assert status == 503
        assert b"retry-after: 1\r\n" in head
        server.log.failure = None
        assert (await connection.ask(ONE))[0] == 202, "the connection goes on"
        assert len(server.long) == 1
        assert server.ingest.under_way == server.ingest._bodies.held == 0

    serve(scenario)


def test_a_body_in_pieces_is_put_together() -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        end = ONE.index(b"\r\n\r\n") + 4
        cuts = [10, end - 2, end, end + 1, len(ONE) - 1]
        await connection.ask(ONE)
        for cut in cuts:
            assert (await connection.ask(ONE[:cut], ONE[cut:]))[0] == 202, f"cut at {cut}"
        assert len(server.log.records) == 1 + len(cuts)
        assert (await connection.ask(ONE))[0] == 202
        assert len(server.long) == 1 + len(cuts), "the last one is whole again"

    serve(scenario)


def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        await connection.ask(ONE)
        bad = request(json.dumps(sample(ts=1_000_000_000_000)))  # its head is as long as ONE's
        server.log.gate.clear()
        connection.writer.write(ONE)
        await server.log.asked.wait()
        connection.writer.write(bad + ONE)
        await asyncio.sleep(0.05)
        connection.writer.write(ONE)
        await asyncio.sleep(0.05)
        server.log.gate.set()
        assert [(await connection.answer())[0] for _ in range(4)] == [202, 422, 202, 202]

    serve(scenario)


def test_what_needs_more_than_its_body_is_not_remembered() -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        body = json.dumps(sample())
        for unusual in (
            request(body, JSON, "Connection: keep-alive"),
            request(body, JSON, "X-Request-Id: 17"),
            request(body, path="/telemetry?debug=1"),
            request(body, path="/telemetry/"),
            b"\r\n\r\n" + ONE,
            ONE.replace(b"POST", b"PUT "),
        ):
            connection = await connect()
            for _ in range(2):
                connection.writer.write(unusual)
                await connection.answer()
            assert server.protocol.heads.known == {}, unusual
        connection = await connect()
        assert (await connection.ask(request(body, JSON, "Connection: close")))[0] == 202
        assert await connection.reader.read() == b"", "it asked for the end"
        assert server.protocol.heads.known == {}

    serve(scenario)


def test_remembered_heads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "HEADS_MAX", 10)

    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        for number in range(25):
            told = request(json.dumps(sample()), JSON, f"Number: {number}")
            assert (await connection.ask(told))[0] == 202
        assert len(server.protocol.heads.known) <= 10
        long = request(json.dumps(sample()), JSON, f"Padding: {'x' * 4000}")
        assert (await connection.ask(long))[0] == 202
        assert all(len(head) < 4000 for head in server.protocol.heads.known)

    serve(scenario)


def test_a_client_that_leaves_disturbs_nobody() -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        stays, leaves = await connect(), await connect()
        await stays.ask(ONE)
        server.log.asked.clear()
        server.log.gate.clear()
        leaves.writer.write(ONE)
        await server.log.asked.wait()
        leaves.writer.close()
        await leaves.writer.wait_closed()
        server.log.gate.set()
        assert (await stays.ask(ONE))[0] == 202
        await until(lambda: not server.ingest.under_way)
        assert len(server.log.records) == 3, "what it sent is durable all the same"

    serve(scenario)


def test_a_stopping_server_answers_what_was_asked() -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        busy, idle = await connect(), await connect()
        for connection in (busy, idle):
            await connection.ask(ONE)
        server.log.asked.clear()
        server.log.gate.clear()
        busy.writer.write(ONE)
        await server.log.asked.wait()
        server.uvicorn.should_exit = True
        assert await idle.reader.read() == b"", "an idle connection ends at once"
        server.log.gate.set()
        assert (await busy.answer())[0] == 202
        assert await busy.reader.read() == b"", "it stays open"

    serve(scenario)


def test_draining_refuses_on_the_short_way_too() -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        busy, late = await connect(), await connect()
        await busy.ask(ONE)
        server.log.asked.clear()
        server.log.gate.clear()
        busy.writer.write(ONE)
        await server.log.asked.wait()
        drained = asyncio.create_task(server.ingest.drain(5))
        await asyncio.sleep(0)
        assert (await late.ask(ONE))[0] == 503
        assert not drained.done(), "drained while a request waits for the broker"
        server.log.gate.set()
        assert await drained
        assert (await busy.answer())[0] == 202

    serve(scenario)


def test_an_idle_connection_ends_after_its_time_and_a_used_one_does_not() -> None:
    async def scenario(server: Server, connect: Callable[[], Awaitable[Connection]]) -> None:
        server.uvicorn.config.timeout_keep_alive = 1
        used, idle = await connect(), await connect()
        await used.ask(ONE)
        await idle.ask(ONE)
        for _ in range(8):
            assert (await used.ask(ONE))[0] == 202
            await asyncio.sleep(0.25)
        async with asyncio.timeout(10):
            assert await idle.reader.read() == b""
        assert (await used.ask(ONE))[0] == 202
        async with asyncio.timeout(10):
            assert await used.reader.read() == b"", "it stays open for ever"

    serve(scenario)
