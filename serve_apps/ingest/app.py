"""The raw ASGI application behind `POST /telemetry`: no framework between socket and broker."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final, Protocol

from actors.causes import Causes
from fleetpulse.effects import Reason
from fleetpulse.errors import InputError, Overloaded, RetryLater
from fleetpulse.identity import DEFAULT_TENANT
from fleetpulse.settings import HttpSettings
from serve_apps.ingest.body import Bodies, ClientGone, Message, Receive, Scope, Send
from serve_apps.ingest.devices import Devices
from serve_apps.ingest.json_body import records_of_json
from serve_apps.ingest.limits import OverRate, RateAccounts
from serve_apps.ingest.protobuf_body import records_of_protobuf
from serve_apps.ingest.records import Record, Request

Parser = Callable[[bytes, Request], list[Record]]

PARSERS: Final[dict[bytes, Parser]] = {
    b"application/json": records_of_json,
    b"application/x-protobuf": records_of_protobuf,
    b"application/protobuf": records_of_protobuf,
}
FIELD_CHARACTERS_MAX: Final = 200
"""Of a field's name and of a reason in an answer."""


class Log(Protocol):
    """Where accepted records go."""

    async def send_many(self, records: Sequence[Record]) -> None:
        """Return once every in-sync replica has all of them.

        Raises Overloaded before anything is written, BrokerUnavailable when it is not known.
        """


class Ingest:
    """Answers 202 only after `log` has all of a request's records.

    A request with a wrong record is refused whole. One with records of a device that sends too
    much gets 429: the other devices' records are durable, and sending all again is harmless.
    """

    def __init__(
        self,
        settings: HttpSettings,
        log: Log,
        devices: Devices,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._settings = settings
        self._log = log
        self._devices = devices
        self._clock_ns = clock_ns
        self._bodies = Bodies(settings.body_bytes_max)
        self._accounts = RateAccounts(monotonic_ns)
        self._causes = Causes()
        self._idle = asyncio.Event()
        self._idle.set()
        self.under_way = 0
        """Requests that were begun and not answered."""
        self.accepting = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            if path.rstrip("/") == "/health":
                await _answer(send, 200 if self.accepting else 503, self._health())
            else:
                await _answer(send, 202, {"accepted": await self._accept(scope, receive)})
        except InputError as error:
            if error.key:
                self._causes.note(error.key, f"refused: {error.field.partition('.')[0]}")
            await _refuse(send, error)
        except OverRate as error:
            await _put_off(send, error)
        except RetryLater as error:
            body = {"error": {"field": "", "reason": str(error)}}
            await _answer(send, 503, body, [_retry_after(error)])
        except ClientGone:
            return

    async def _accept(self, scope: Scope, receive: Receive) -> int:
        if scope["method"] != "POST":
            raise InputError("method", "must be POST", status=405)
        if not self.accepting:
            raise Overloaded("this ingest is shutting down")
        tenant, declared, parse = _headers(scope)
        self.under_way += 1
        self._idle.clear()
        try:
            body = await self._bodies.read(declared, receive)
            try:
                now_us = self._clock_ns() // 1000
                metrics_max = self._settings.metrics_per_sample_max
                request = Request(tenant, now_us, metrics_max, self._devices)
                return await self._send(parse(body, request), request)
            finally:
                self._bodies.release(body)
        finally:
            self.under_way -= 1
            if not self.under_way:
                self._idle.set()

    async def _send(self, records: list[Record], request: Request) -> int:
        """Raises OverRate once the records of the other devices are durable."""
        charges = request.charges
        put_off = self._accounts.charge(charges)
        if put_off:
            records = [each for index, each in enumerate(records) if index not in put_off]
            charges = [each for index, each in enumerate(charges) if index not in put_off]
        try:
            await self._log.send_many(records)
        except RetryLater:
            self._accounts.give_back(charges)
            raise
        if put_off:
            first = next(iter(put_off))
            for index in put_off:
                self._causes.note(request.charges[index][0], Reason.OVER_RATE.value)
            device = request.charges[first][0].partition(b"/")[2].decode()
            raise OverRate(device, len(records), list(put_off), max(put_off.values()))
        return len(records)

    def _health(self) -> dict[str, object]:
        return {
            "accepting": self.accepting,
            "causes": [asdict(each) for each in self._causes.listed()],
        }

    async def drain(self, timeout_s: float) -> bool:
        """Refuse what comes, wait for what is under way; True if that was answered in time."""
        self.accepting = False
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


def _headers(scope: Scope) -> tuple[str, int, Parser]:
    tenant, declared, media = DEFAULT_TENANT, 0, b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            media = value.partition(b";")[0].strip().lower()
        elif name == b"x-tenant":
            tenant = value.decode("latin-1")
        elif name == b"content-length":
            declared = int(value)
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise InputError("content-encoding", "must be identity", status=415)
    parser = PARSERS.get(media)
    if parser is None:
        known = ", ".join(name.decode() for name in PARSERS)
        raise InputError("content-type", f"must be one of {known}", status=415)
    return tenant, declared, parser


async def _refuse(send: Send, error: InputError) -> None:
    told: dict[str, object] = {
        "field": error.field[:FIELD_CHARACTERS_MAX],
        "reason": error.reason[:FIELD_CHARACTERS_MAX],
    }
    if error.index is not None:
        told["index"] = error.index
    headers = [(b"allow", b"POST")] if error.status == 405 else []
    await _answer(send, error.status, {"error": told}, headers)


async def _put_off(send: Send, error: OverRate) -> None:
    body = {
        "accepted": error.accepted,
        "error": {
            "field": "device_id",
            "reason": f"{error.device_id} {error}",
            "index": error.refused[0],
        },
        "refused": error.refused,
    }
    await _answer(send, 429, body, [_retry_after(error)])


def _retry_after(error: RetryLater) -> tuple[bytes, bytes]:
    return b"retry-after", str(math.ceil(error.retry_after_s)).encode()


async def _answer(
    send: Send, status: int, content: object, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    body = json.dumps(content).encode()
    length = str(len(body)).encode()
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", length),
            *headers,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
