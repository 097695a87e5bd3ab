"""A query replica's mirror of the live hub: one poll for all of its sockets."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol

from ray.exceptions import RayError

from actors.hub_client import HubClient
from actors.live_hub import (
    LivePage,
    NumberedAlert,
    NumberedEvent,
    connect_live_hub,
)
from fleetpulse.effects import Forgotten, Presence, SessionEvent
from fleetpulse.errors import RetryLater
from fleetpulse.identity import DeviceKey
from fleetpulse.live import LiveScore
from serve_apps.live.fleet_view import FleetPicture, FleetQuery
from serve_apps.live.messages import (
    alert_message,
    encode,
    event_message,
    samples_message,
    score_message,
)
from serve_apps.live.outbox import Outbox

POLL_S: Final = 0.5
CALL_TIMEOUT_S: Final = 10.0
PICTURE_S: Final = 1.0
RETRY_S: Final = 1.0

_log = logging.getLogger("fleetpulse.live")

Numbered = NumberedAlert | NumberedEvent
Connect = Callable[[], Any]
"""The hub's handle; raises ValueError while there is none."""


class Stored(Protocol):
    """What the database knows of devices, as record keys."""

    async def open_alerts(self) -> set[bytes]:
        """Those with an open alert."""

    async def offline_devices(self) -> set[bytes]:
        """Those that are offline."""


class Subscriber:
    """One socket as the mirror sees it."""

    def __init__(self, tenant: str, only: bytes | None = None) -> None:
        """Gets alerts and events of this tenant; only: of this device."""
        self.outbox = Outbox()
        self.tenant = tenant
        self.only = only
        self.news = asyncio.Event()
        """Something happened to the only device."""
        self.wants_alerts = False
        self.wants_events = False
        self.devices: set[bytes] = set()
        self.fleet: FleetQuery | None = None


class LiveMirror:
    """Polls the hub and fills the subscribers' outboxes. Owns its tasks."""

    def __init__(self, stored: Stored, connect: Connect = connect_live_hub) -> None:
        self._stored = stored
        self._connect = connect
        self._hub: HubClient | None = None
        self._connecting = asyncio.Lock()
        self._reader_id = uuid.uuid4().hex
        self._subscribers: set[Subscriber] = set()
        self._hub_id = ""
        self._next_number = 1
        self._open: set[bytes] = set()
        self._offline: set[bytes] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to poll; needs a running loop."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._forever(self._poll_once)),
                asyncio.create_task(self._forever(self._picture_once)),
            ]

    async def close(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._hub is not None:
            self._hub.close()

    def join(self, subscriber: Subscriber) -> None:
        """Begin to fill this subscriber's outbox."""
        self._subscribers.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Forget it."""
        self._subscribers.discard(subscriber)

    async def catch_up(self, subscriber: Subscriber, cursor: str) -> None:
        """Send what it wants of the alerts and events after `cursor`; tells when some are gone.

        It must want them already: one that comes meanwhile is sent twice, not never.
        """
        hub_id, _, number = cursor.partition(":")
        known = hub_id == self._hub_id and number.isdigit()
        page = await self._ask(int(number) + 1, frozenset(), 0.0) if known else None
        if page is None or page.hub != hub_id or page.missed_alerts:
            subscriber.outbox.alert(encode({"type": "alerts_missed"}))
        if page:
            for each in _in_order(page):
                self._hand_out(page.hub, each, [subscriber])

    async def _forever(self, once: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await once()
            except (RayError, RetryLater, ValueError, OSError) as error:
                _log.warning("live hub: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _poll_once(self) -> None:
        watching = frozenset().union(*(each.devices for each in self._subscribers))
        page = await self._ask(self._next_number, watching, POLL_S)
        if page.hub != self._hub_id:
            await self._begin(page.hub)
            return
        self._next_number = page.next_number
        for each in _in_order(page):
            self._note(each)
            self._hand_out(page.hub, each, self._subscribers)
        self._hand_out_live(page)

    async def _ask(self, number: int, watching: frozenset[bytes], timeout_s: float) -> LivePage:
        hub = await self._connected()
        # A catching-up socket is another reader: it must not take the mirror's live chunks.
        reader = self._reader_id if timeout_s else f"{self._reader_id}-catch-up"
        page: LivePage = await hub.call(
            "poll", reader, number, watching, timeout_s, timeout_s=CALL_TIMEOUT_S
        )
        return page

    async def _connected(self) -> HubClient:
        async with self._connecting:
            if self._hub is None or not self._hub.usable:
                address = await asyncio.wait_for(self._connect().door.remote(), CALL_TIMEOUT_S)
                self._hub = await HubClient.connect(address, CALL_TIMEOUT_S)
            return self._hub

    async def _begin(self, hub_id: str) -> None:
        """Another hub: its numbers start anew, and what happened between is in the database."""
        self._open = await self._stored.open_alerts()
        self._offline = await self._stored.offline_devices()
        missed = bool(self._hub_id)
        self._hub_id, self._next_number = hub_id, 1
        for each in self._subscribers if missed else ():
            if each.wants_alerts or each.wants_events:
                each.outbox.alert(encode({"type": "alerts_missed"}))

    def _hand_out(self, hub: str, numbered: Numbered, to: Iterable[Subscriber]) -> None:
        key = DeviceKey(numbered.event.tenant, numbered.event.device_id).encode()
        is_alert = isinstance(numbered, NumberedAlert)
        message = _message(hub, numbered)
        for each in to:
            if each.tenant == numbered.event.tenant and each.only in (None, key):
                each.news.set()
                if each.wants_alerts if is_alert else each.wants_events:
                    each.outbox.alert(message)

    def _hand_out_live(self, page: LivePage) -> None:
        for chunk in page.live:
            watching = [each for each in self._subscribers if chunk.device in each.devices]
            if watching:
                message = (
                    score_message(chunk) if isinstance(chunk, LiveScore) else samples_message(chunk)
                )
                for each in watching:
                    each.outbox.live(message)
        if page.dropped:
            for each in self._subscribers:
                if each.devices:
                    each.outbox.lost(page.dropped)

    def _note(self, numbered: Numbered) -> None:
        event = numbered.event
        if isinstance(event, SessionEvent):
            return
        key = DeviceKey(event.tenant, event.device_id).encode()
        if isinstance(event, Forgotten):
            self._open.discard(key)
            self._offline.discard(key)
            return
        state = self._offline if isinstance(event, Presence) else self._open
        if event.kind in ("raised", "offline"):
            state.add(key)
        else:
            state.discard(key)

    async def _picture_once(self) -> None:
        if any(each.fleet for each in self._subscribers):
            answer = self._connect().fleet.remote()
            summary, table = await asyncio.wait_for(answer, CALL_TIMEOUT_S)
            picture = FleetPicture(summary, table, self._open, self._offline)
            for each in self._subscribers:
                if each.fleet:
                    each.outbox.fleet(encode(picture.message(each.fleet, each.devices)))
        await asyncio.sleep(PICTURE_S)


def _in_order(page: LivePage) -> list[Numbered]:
    return sorted([*page.alerts, *page.events], key=lambda each: each.number)


def _message(hub: str, numbered: Numbered) -> str:
    if isinstance(numbered, NumberedAlert):
        return alert_message(hub, numbered)
    return event_message(hub, numbered)
