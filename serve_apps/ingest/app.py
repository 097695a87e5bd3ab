"""The application behind `POST /telemetry`: no framework between socket and broker."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Final, NamedTuple, Protocol

from actors.causes import Causes
from fleetpulse.effects import Reason
from fleetpulse.errors import FleetpulseError, InputError, Overloaded, RetryLater
from fleetpulse.identity import DEFAULT_TENANT
from fleetpulse.settings import HttpSettings
from serve_apps.ingest.answers import FAILED, Answer, accepted, answer, later, refusal
from serve_apps.ingest.body import Bodies, ClientGone, Receive, Scope, Send
from serve_apps.ingest.devices import Devices
from serve_apps.ingest.json_body import records_of_json
from serve_apps.ingest.limits import Charge, OverRate, RateAccounts
from serve_apps.ingest.protobuf_body import records_of_protobuf
from serve_apps.ingest.records import Record, Request

Parser = Callable[[bytes, Request], list[Record]]
Answered = Callable[[Answer], None]

PARSERS: Final[dict[bytes, Parser]] = {
    b"application/json": records_of_json,
    b"application/x-protobuf": records_of_protobuf,
    b"application/protobuf": records_of_protobuf,
}
PATH: Final = "/telemetry"
_log = logging.getLogger("fleetpulse.ingest")


class Log(Protocol):
    """Where accepted records go."""

    def send(
        self, records: Sequence[Record], then: Callable[[FleetpulseError | None], None], /
    ) -> None:
        """Tell `then` on the loop: None once every in-sync replica has all of them.

        Raises Overloaded before anything is written; tells BrokerUnavailable when it is not known.
        """


class Form(NamedTuple):
    """What a request's headers say of its body."""

    tenant: str
    length: int
    """As declared; 0 if it is not."""
    parse: Parser


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
        self._metrics_max = settings.metrics_per_sample_max
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
        """One HTTP request, as ASGI."""
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.rstrip("/") == "/health":
            told = answer(200 if self.accepting else 503, self._health())
        else:
            try:
                told = await self._post(scope, receive)
            except ClientGone:
                return
        await send({"type": "http.response.start", "status": told.status, "headers": told.headers})
        await send({"type": "http.response.body", "body": told.body})

    def take(self, form: Form, body: bytes, answered: Answered) -> None:
        """A whole request. `answered` is called once: now, or when the log has the records."""
        try:
            self._begin()
        except RetryLater as error:
            answered(later(error))
            return
        try:
            self._bodies.hold(body)
        except (InputError, RetryLater) as error:
            self._end()
            answered(self._told(error))
            return
        self._send(form, body, answered)

    async def _post(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return refusal(InputError("method", "must be POST", status=405))
        try:
            self._begin()
        except RetryLater as error:
            return later(error)
        try:
            form = form_of(scope["headers"])
            body = await self._bodies.read(form.length, receive)
        except (InputError, RetryLater) as error:
            self._end()
            return self._told(error)
        except BaseException:
            self._end()
            raise
        settled: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def answered(told: Answer) -> None:
            if not settled.done():  # its task may have been cancelled
                settled.set_result(told)

        self._send(form, body, answered)
        return await settled

    def _send(self, form: Form, body: bytes, answered: Answered) -> None:
        """The body counts as held and the request as under way until `answered`."""
        work = _UnderWay(self, len(body), answered)
        try:
            request = Request(
                form.tenant, self._clock_ns() // 1000, self._metrics_max, self._devices
            )
            records = form.parse(body, request)
            work.charges = request.charges
            work.put_off = put_off = self._accounts.charge(request.charges)
            if put_off:
                records = [each for index, each in enumerate(records) if index not in put_off]
            if records:
                self._log.send(records, work.delivered)
            else:
                work.delivered(None)
        except FleetpulseError as error:
            work.delivered(error)
        except Exception:  # noqa: BLE001  # a fault of ours must not hold the request open
            _log.exception("a request could not be handled")
            work.end(FAILED)

    def settle(self, work: "_UnderWay", error: FleetpulseError | None) -> None:
        """The log has the request's records, or it has an error."""
        if error is None and not work.put_off:
            work.end(accepted(len(work.charges)))
            return
        if isinstance(error, RetryLater):
            self._accounts.give_back(
                [each for index, each in enumerate(work.charges) if index not in work.put_off]
            )
        work.end(self._told(error or self._over_rate(work)))

    def finish(self, length: int) -> None:
        """A request with a body of so many bytes was answered."""
        self._bodies.release(length)
        self._end()

    def _told(self, error: FleetpulseError) -> Answer:
        if isinstance(error, InputError):
            if error.key:
                self._causes.note(error.key, f"refused: {error.field.partition('.')[0]}")
            return refusal(error)
        if isinstance(error, RetryLater):
            return later(error)
        _log.error("a request could not be handled: %s", error)
        return FAILED

    def _over_rate(self, work: "_UnderWay") -> OverRate:
        charges, put_off = work.charges, work.put_off
        for index in put_off:
            self._causes.note(charges[index].key, Reason.OVER_RATE.value)
        device = charges[next(iter(put_off))].key.partition(b"/")[2].decode()
        durable = len(charges) - len(put_off)
        return OverRate(device, durable, list(put_off), max(put_off.values()))

    def _begin(self) -> None:
        if not self.accepting:
            raise Overloaded("this ingest is shutting down")
        self.under_way += 1
        self._idle.clear()

    def _end(self) -> None:
        self.under_way -= 1
        if not self.under_way:
            self._idle.set()

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


class _UnderWay:
    """A request between its body and its answer."""

    __slots__ = ("_answered", "_ingest", "_length", "charges", "put_off")

    def __init__(self, ingest: Ingest, length: int, answered: Answered) -> None:
        self._ingest = ingest
        self._length = length
        self._answered = answered
        self.charges: list[Charge] = []
        self.put_off: dict[int, float] = {}

    def delivered(self, error: FleetpulseError | None) -> None:
        """From the log."""
        self._ingest.settle(self, error)

    def end(self, told: Answer) -> None:
        """Answer."""
        self._ingest.finish(self._length)
        self._answered(told)


def form_of(headers: Iterable[tuple[bytes, bytes]]) -> Form:
    """Raises InputError."""
    tenant, declared, media = DEFAULT_TENANT, 0, b""
    for name, value in headers:
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
    return Form(tenant, declared, parser)
