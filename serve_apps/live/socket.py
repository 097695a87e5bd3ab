"""`WS /ws`: what a client may ask for, and the two halves of its connection.

The client sends {"subscribe": "alerts" | "events" | "device" | "fleet", ...} or
{"unsubscribe": ...}.
"""

import asyncio
from typing import Annotated, Final, Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from fleetpulse.errors import InputError
from fleetpulse.identity import DEFAULT_TENANT, DeviceKey, check_name
from serve_apps.live.fleet_view import ROWS_MAX, FleetQuery, Order
from serve_apps.live.messages import encode
from serve_apps.live.mirror import LiveMirror, Subscriber
from serve_apps.live.outbox import TooSlow

SEND_TIMEOUT_S: Final = 30.0
DEVICES_MAX: Final = 16
"""Devices that one socket may watch."""
TRY_AGAIN_LATER: Final = 1013

Topic = Literal["alerts", "events", "device", "fleet"]
Text = Annotated[str, msgspec.Meta(max_length=200)]


class _Ask(msgspec.Struct, forbid_unknown_fields=True):
    """One message of a client."""

    subscribe: Topic | None = None
    unsubscribe: Topic | None = None
    id: Text = ""
    after: Text = ""
    search: Text = ""
    order: Order = "severity"
    limit: Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)] = 200


_decode = msgspec.json.Decoder(_Ask).decode


class LiveSocket:
    """One connection: reads wishes, writes what the mirror puts into its outbox."""

    def __init__(self, socket: WebSocket, mirror: LiveMirror) -> None:
        self._socket = socket
        self._mirror = mirror
        self._tenant = check_name("tenant", socket.query_params.get("tenant", DEFAULT_TENANT))
        self._subscriber = Subscriber(self._tenant)

    async def serve(self) -> None:
        """Until either side ends it."""
        await self._socket.accept()
        self._mirror.join(self._subscriber)
        halves = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._mirror.leave(self._subscriber)
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                await self._take(await self._socket.receive_text())
        except WebSocketDisconnect:
            return

    async def _write(self) -> None:
        try:
            while True:
                message = await self._subscriber.outbox.next()
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._socket.send_text(message)
        except (TooSlow, TimeoutError):
            await self._socket.close(TRY_AGAIN_LATER, "too slow: reconnect with your cursor")
        except (WebSocketDisconnect, RuntimeError):
            return  # the client is gone

    async def _take(self, text: str) -> None:
        try:
            ask = _decode(text)
            if ask.subscribe:
                await self._subscribe(ask)
            else:
                self._unsubscribe(ask)
        except msgspec.DecodeError as error:
            self._refuse("message", str(error))
        except InputError as error:
            self._refuse(error.field, error.reason)

    async def _subscribe(self, ask: _Ask) -> None:
        subscriber = self._subscriber
        if ask.subscribe == "fleet":
            subscriber.fleet = FleetQuery(self._tenant, ask.search, ask.order, ask.limit)
        elif ask.subscribe == "device":
            if len(subscriber.devices) >= DEVICES_MAX:
                raise InputError(
                    "id", f"is one more than the {DEVICES_MAX} that a socket may watch"
                )
            subscriber.devices.add(self._key(ask.id))
        else:
            if ask.subscribe == "alerts":
                subscriber.wants_alerts = True
            else:
                subscriber.wants_events = True
            if ask.after:
                await self._mirror.catch_up(subscriber, ask.after)

    def _unsubscribe(self, ask: _Ask) -> None:
        if ask.unsubscribe == "fleet":
            self._subscriber.fleet = None
        elif ask.unsubscribe == "alerts":
            self._subscriber.wants_alerts = False
        elif ask.unsubscribe == "events":
            self._subscriber.wants_events = False
        elif ask.unsubscribe == "device":
            self._subscriber.devices.discard(self._key(ask.id))
        else:
            raise InputError("subscribe", "or unsubscribe must be alerts, events, device or fleet")

    def _key(self, device_id: str) -> bytes:
        return DeviceKey(self._tenant, check_name("id", device_id)).encode()

    def _refuse(self, field: str, reason: str) -> None:
        refusal = {"type": "refused", "error": {"field": field, "reason": reason}}
        self._subscriber.outbox.live(encode(refusal))
